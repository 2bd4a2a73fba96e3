package preset

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"pillarbox"
	"pillarbox/internal/protocol"
)

// Handshake is how a sender asks whether an address is the right one.
type Handshake string

// The handshakes.
const (
	NoHandshake    Handshake = "none"
	Slack          Handshake = "slack"           // POST, signed: url_verification and a challenge
	Meta           Handshake = "meta"            // GET hub.mode, hub.verify_token and hub.challenge
	MicrosoftGraph Handshake = "microsoft-graph" // POST ?validationToken
	Discord        Handshake = "discord"         // POST, signed: PING
	CloudEvents    Handshake = "cloudevents"     // OPTIONS with WebHook-Request-Origin
)

// Handshakes lists the names.
func Handshakes() []string {
	return []string{string(NoHandshake), string(Slack), string(Meta), string(MicrosoftGraph),
		string(Discord), string(CloudEvents)}
}

// Limits of a handshake, in bytes. What is longer is none.
const (
	maxHandshakeBody = 16 << 10
	maxEcho          = 4 << 10 // of what is sent back
)

const plain = "text/plain; charset=utf-8"

// Options of a Greeter.
type Options struct {
	VerifyToken string // that Meta sends; without one, nobody is verified
	PerMinute   int    // events that the source takes, for CloudEvents; 0 for no limit
}

// Greeter answers the handshakes of one source. It may be used concurrently.
type Greeter struct {
	kind  Handshake
	token *[sha256.Size]byte // digest, or nil
	rate  string
}

// NewGreeter makes one. It is nil where there is no handshake; nil greets nobody.
func NewGreeter(kind Handshake, options Options) *Greeter {
	if kind == NoHandshake || kind == "" {
		return nil
	}
	g := &Greeter{kind: kind, rate: "*"}
	if options.VerifyToken != "" {
		sum := sha256.Sum256([]byte(options.VerifyToken))
		g.token = &sum
	}
	if options.PerMinute > 0 {
		g.rate = strconv.Itoa(options.PerMinute)
	}
	return g
}

// BeforeBody returns nil for what is no handshake by its head; else a protocol.Reply, or the error
// to refuse it with.
func (g *Greeter) BeforeBody(method, query string, header pillarbox.Header) error {
	if g == nil {
		return nil
	}
	switch {
	case g.kind == Meta && method == http.MethodGet && query != "":
		return g.meta(query)
	case g.kind == MicrosoftGraph && method == http.MethodPost && query != "":
		return graph(query)
	case g.kind == CloudEvents && method == http.MethodOptions:
		return g.cloudEvents(header)
	}
	return nil
}

// WithBody is BeforeBody for those handshakes that are in a body, whose signature was verified.
func (g *Greeter) WithBody(body []byte) error {
	if g == nil || len(body) > maxHandshakeBody {
		return nil
	}
	switch g.kind {
	case Slack:
		return slack(body)
	case Discord:
		return discord(body)
	}
	return nil
}

func echo(text string) error {
	return &protocol.Reply{Status: http.StatusOK, ContentType: plain, Body: []byte(text),
		Handshake: true}
}

// parameter returns a parameter that stands in a query once.
func parameter(query, name string) (value string, ok bool) {
	parsed, err := url.ParseQuery(query)
	if values := parsed[name]; err == nil && len(values) == 1 {
		return values[0], true
	}
	return "", false
}

// isEcho reports whether a text may be sent back: a line of text.
func isEcho(text string) bool {
	return text != "" && len(text) <= maxEcho &&
		!strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// meta proves to Meta that whoever has registered the address knows the token of the configuration.
func (g *Greeter) meta(query string) error {
	mode, hasMode := parameter(query, "hub.mode")
	if !hasMode {
		return nil
	}
	token, _ := parameter(query, "hub.verify_token")
	challenge, _ := parameter(query, "hub.challenge")
	sum := sha256.Sum256([]byte(token))
	known := g.token != nil && subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
	if !known || mode != "subscribe" || !isEcho(challenge) {
		return &protocol.Error{Status: http.StatusForbidden, Detail: "this subscription is not verified"}
	}
	return echo(challenge)
}

const validationToken = "validationToken"

// graph sends the decoded token back, as text that no browser takes for a page.
func graph(query string) error {
	parsed, err := url.ParseQuery(query)
	if !parsed.Has(validationToken) && (err == nil || !strings.Contains(query, validationToken+"=")) {
		return nil
	}
	token, ok := parameter(query, validationToken)
	if !ok || !isEcho(token) {
		return protocol.Invalid("want one validationToken, of up to %d bytes of text", maxEcho)
	}
	return echo(token)
}

// cloudEvents permits every origin: who may send is decided about by other rules of the source.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md, section 4.
func (g *Greeter) cloudEvents(header pillarbox.Header) error {
	for _, field := range header {
		if strings.EqualFold(field.Name, "WebHook-Request-Origin") && field.Value != "" {
			return &protocol.Reply{Status: http.StatusOK, Handshake: true, Header: http.Header{
				"Allow":                  {http.MethodPost},
				"Webhook-Allowed-Origin": {"*"},
				"Webhook-Allowed-Rate":   {g.rate},
			}}
		}
	}
	return nil
}

var urlVerification = []byte("url_verification")

func slack(body []byte) error {
	if !bytes.Contains(body, urlVerification) {
		return nil
	}
	var request struct {
		Type      string `json:"type"`
		Challenge string `json:"challenge"`
	}
	if json.Unmarshal(body, &request) != nil || request.Type != string(urlVerification) {
		return nil // an event that speaks of it
	}
	if !isEcho(request.Challenge) {
		return protocol.Invalid("want a challenge in a url_verification, of up to %d bytes of text",
			maxEcho)
	}
	return echo(request.Challenge)
}

// The types of Discord. That of an event is the same number as that of a PING of interactions; an
// event has a member that says so.
const (
	discordWebhookPing     = 0
	discordInteractionPing = 1
)

func discord(body []byte) error {
	var request struct {
		Type  *int            `json:"type"`
		Event json.RawMessage `json:"event"`
	}
	if json.Unmarshal(body, &request) != nil || request.Type == nil || request.Event != nil {
		return nil
	}
	switch *request.Type {
	case discordWebhookPing:
		return &protocol.Reply{Status: http.StatusNoContent, Handshake: true}
	case discordInteractionPing:
		return &protocol.Reply{Status: http.StatusOK, ContentType: protocol.TypeJSON,
			Body: []byte(`{"type":1}`), Handshake: true}
	}
	return nil
}
