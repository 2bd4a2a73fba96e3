package source

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"pillarbox/internal/preset"
	"pillarbox/internal/protocol"
)

// Answer is what an accepted event is answered with. Nobody changes it.
type Answer struct {
	Status      int // 2xx
	Receipt     bool
	Body        []byte // where it is no receipt
	ContentType string // where there is a body
	Plain       bool   // the usual one: 202 and the receipt
}

func newAnswer(wanted preset.Answer) *Answer {
	if wanted == (preset.Answer{}) {
		wanted.Body = preset.Receipt
	}
	a := &Answer{Status: cmp.Or(wanted.Status, http.StatusAccepted),
		ContentType: wanted.ContentType, Receipt: wanted.Body == preset.Receipt}
	switch {
	case a.Receipt:
		a.ContentType = protocol.TypeJSON
	case wanted.Body != "":
		a.Body = []byte(wanted.Body)
	default:
		a.ContentType = ""
	}
	a.Plain = a.Receipt && a.Status == http.StatusAccepted
	return a
}

// StatusOf is the status for an event in that state. A source that has one of its own has it for
// all of them; by default, 201 says that it is stored.
func (a *Answer) StatusOf(stored bool) int {
	if stored && a.Plain {
		return http.StatusCreated
	}
	return a.Status
}

// methods is what becomes of requests by their method.
type methods struct {
	stored       []string
	allow        string // the header, for single events
	justPosts    bool   // POST is stored, and asks for nothing before its body
	allowBatches string
}

func newMethods(settings *Settings) methods {
	stored := settings.Methods
	if len(stored) == 0 {
		stored = []string{http.MethodPost}
	}
	all := append([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, stored...)
	slices.Sort(all)
	return methods{stored: stored, allow: strings.Join(slices.Compact(all), ", "),
		allowBatches: "OPTIONS, POST",
		justPosts: slices.Contains(stored, http.MethodPost) &&
			settings.Handshake != preset.MicrosoftGraph}
}

// route returns nil for a request that is to be stored. What only asks is answered: whether the
// source is alive, what is possible, and whether this is the right address.
func (s *Source) route(head *Head) error {
	if head.Method == http.MethodPost && (head.Batch || s.methods.justPosts) {
		return nil
	}
	if head.Batch {
		if head.Method == http.MethodOptions {
			return s.possible(head, s.methods.allowBatches)
		}
		return protocol.NotAllowed(head.Method, s.methods.allowBatches)
	}
	if err := s.greet(s.greeter.BeforeBody(head.Method, head.Query, head.Header)); err != nil {
		return err
	}
	switch {
	case slices.Contains(s.methods.stored, head.Method):
		return nil
	case head.Method == http.MethodGet, head.Method == http.MethodHead:
		return alive
	case head.Method == http.MethodOptions:
		return s.possible(head, s.methods.allow)
	}
	return protocol.NotAllowed(head.Method, s.methods.allow)
}

// alive answers GET. Nobody changes it.
var alive = &protocol.Reply{Status: http.StatusOK, ContentType: protocol.TypeJSON,
	Body: []byte(`{"status":"ok"}` + "\n")}
