// Package preset knows what the usual senders of webhooks want: how they sign, where the id of an
// event stands, which answer they take for a success, and how they ask, before they send anything,
// whether the address is the right one.
//
// A preset is data, and each of its values can be set by hand instead. A handshake is an answer to
// a request that is no event; what one answers is not stored, and what is stored is not answered by
// one. The facts are those of the senders' documents, as of November 2026.
package preset

import (
	"maps"
	"net/http"
	"slices"

	"pillarbox/internal/signature"
)

// Receipt is the Body of an answer that is the receipt of the event, as JSON.
const Receipt = "receipt"

// Places of the id of an event, besides "header:NAME" and "body:/POINTER".
const (
	KeyNone        = "none"
	KeyCloudEvents = "cloudevents" // ce-id and ce-source, or id and source of the body
)

// Answer is what an accepted event is answered with.
type Answer struct {
	Status      int    // 2xx
	Body        string // Receipt, or what is sent as it stands
	ContentType string // of a Body that is no Receipt and not empty
}

// Preset is what one sender wants.
type Preset struct {
	Name      string
	Scheme    string   // of its signatures; empty where there are none
	Key       string   // where the id of an event stands, that is the same when it is sent again
	Methods   []string // of what is stored
	Answer    Answer
	Handshake Handshake
	Events    bool // what is no CloudEvent is refused
}

// The answers. Senders that show a body to people, or take it for instructions, get an empty one.
var (
	accepted = Answer{Status: http.StatusAccepted, Body: Receipt}
	okay     = Answer{Status: http.StatusOK, Body: Receipt}
	empty    = Answer{Status: http.StatusOK}
	nothing  = Answer{Status: http.StatusNoContent}

	// instructions are TwiML that does nothing: voice and messages ask for TwiML, and callbacks
	// take it.
	instructions = Answer{Status: http.StatusOK, ContentType: "text/xml; charset=utf-8",
		Body: `<?xml version="1.0" encoding="UTF-8"?><Response></Response>`}
)

var presets = func() map[string]*Preset {
	const none = NoHandshake
	post := []string{http.MethodPost}
	all := map[string]*Preset{}
	for _, p := range []*Preset{
		{"stripe", signature.Stripe, "body:/id", post, okay, none, false},
		{"github", signature.GitHub, "header:X-GitHub-Delivery", post, accepted, none, false},
		{"slack", signature.Slack, "body:/event_id", post, empty, Slack, false},
		{"shopify", signature.Shopify, "header:X-Shopify-Webhook-Id", post, empty, none, false},
		{"twilio", signature.Twilio, "header:I-Twilio-Idempotency-Token", post, instructions, none, false},
		{"gitlab", signature.GitLab, "header:Idempotency-Key", post, okay, none, false},
		{"discord", signature.Discord, "body:/id", post, nothing, Discord, false},
		{"square", signature.Square, "body:/event_id", post, empty, none, false},
		{"meta", signature.Meta, KeyNone, post, empty, Meta, false},
		{"microsoft-graph", signature.MicrosoftGraph, KeyNone, post, accepted, MicrosoftGraph, false},
		{"standard-webhooks", signature.StandardWebhooks, "header:webhook-id", post, accepted, none, false},
		{"cloudevents", "", KeyCloudEvents, post, accepted, CloudEvents, true},
	} {
		all[p.Name] = p
	}
	return all
}()

// Names lists the presets.
func Names() []string { return slices.Sorted(maps.Keys(presets)) }

// Get returns a preset, or nil. Nobody changes it.
func Get(name string) *Preset { return presets[name] }
