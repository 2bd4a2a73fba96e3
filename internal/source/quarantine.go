package source

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"pillarbox"
	"pillarbox/internal/cloudevent"
	"pillarbox/internal/decode"
	"pillarbox/internal/protocol"
	"pillarbox/internal/signature"
	"pillarbox/internal/telemetry"
)

// keepsApart reports whether a request whose signature fails is kept in quarantine: a single one, with
// room for it. A front that must not wait can't keep it, and gets ErrMustWait.
func (s *Source) keepsApart(head *Head) (bool, error) {
	switch {
	case s.hasRoom == nil, head.Batch:
		return false, nil
	case !s.hasRoom():
		s.QuarantineFull()
		return false, nil
	case !head.MayWait:
		return false, ErrMustWait
	}
	return true, nil
}

// QuarantineFull tells, once a minute, that a request is refused that would be kept, had it room.
func (s *Source) QuarantineFull() {
	if n := s.crowded.add(s.now()); n > 0 {
		s.logger.Warn("requests whose signature fails are refused: the quarantine has no room; release or discard what is in it, or set quarantine.max_bytes and max_entries; told once a minute",
			telemetry.KeySource, s.Name, telemetry.KeyRequests, n)
	}
}

// RefuseSuspect is the answer to a request that could not be kept in quarantine, as to every other one
// that is not verified.
func (g Grant) RefuseSuspect() error {
	g.source.QuarantineFull()
	return errUnverified
}

// failure is a request whose signature fails.
type failure struct {
	reason string
	body   []byte // as it came
}

// IsSuspect reports whether the grant is for the quarantine alone, because the signature of the request
// fails.
func (g Grant) IsSuspect() bool { return g.failed != nil }

// Suspect says why the signature of a suspect fails, and returns its body as it came.
func (g Grant) Suspect() (reason string, body []byte) { return g.failed.reason, g.failed.body }

// Caller is whom the request is from, and what is known of them.
func (g Grant) Caller() (name string, attributes pillarbox.Attributes) {
	return g.who.caller, g.who.attributes
}

// suspect decides about a request whose signature fails. What would be refused if it were signed, and
// what is no event, gets the one refusal: the answer is to tell a forger nothing.
func (a Admission) suspect(head *Head, body []byte, why error) (Checked, error) {
	s := a.source
	apart, err := s.keepsApart(head)
	if err != nil {
		return Checked{}, err
	}
	if !apart {
		s.stranger(&a.from)
		return Checked{}, s.unverified(why)
	}
	grant, decoded, err := a.event(head, body)
	if err != nil {
		if protocol.StatusOf(err) >= http.StatusInternalServerError {
			return Checked{}, err // ours: it may be sent again
		}
		s.stranger(&a.from)
		return Checked{}, s.unverified(why)
	}
	s.stranger(&a.from) // and nobody else: a forger must not use up what those may send who are known
	grant.failed = &failure{reasonOf(why), body}
	return Checked{grant: grant, body: decoded, from: a.from}, nil
}

// event is Check for a single event, without its signature.
func (a Admission) event(head *Head, body []byte) (Grant, []byte, error) {
	s, grant := a.source, Grant{source: a.source, who: a.who}
	body, err := a.decode(head, body)
	if err != nil {
		return Grant{}, nil, err
	}
	if s.greeter != nil {
		if err := s.greeter.WithBody(body); err != nil {
			return Grant{}, nil, errUnverified // a handshake is asked again
		}
	}
	contentType, _ := cloudevent.Look(head.Header)
	if s.IsEventBatch(contentType) {
		return Grant{}, nil, errBatchBody
	}
	if grant.facts, err = s.cloudEvent(head.Header, body); err != nil {
		return Grant{}, nil, err
	}
	return grant, body, grant.identify(head, "")
}

// KeptApart tells, once a minute, that a request of this grant is in quarantine.
func (g Grant) KeptApart() {
	g.source.tell(&g.source.apart, "requests are in quarantine: they are not signed as the source asks; look at them with \"pillarbox quarantine list\"; told once a minute", g.failed.reason)
}

// Again is a request that comes out of quarantine.
type Again struct {
	Head
	Body       []byte    // as it came
	ReceivedAt time.Time // that a signed time is held against
	Caller     string
	Attributes pillarbox.Attributes
	Forced     bool // a person vouches for it: its signature is not looked at
	Reason     string
}

// Unverified is the attribute of an event that was released by force: why its signature failed.
const Unverified = "unverified"

// Readmit decides about a request that comes out of quarantine by the rules that the source has now. Who
// may come in, and how much, was decided when it came. Errors: ErrConflict, which says what a person can
// do.
func (s *Source) Readmit(again *Again) (Grant, []byte, error) {
	signedID := ""
	switch {
	case again.Forced:
	case s.Signature == nil:
		return Grant{}, nil, refused("the source %s asks for no signature any more, so that nothing proves the request; release it with force, or discard it", s.Name)
	default:
		verified, err := s.Signature.Verify(&signature.Request{Method: again.Method, Path: again.Path,
			Query: again.Query, Header: again.Header, Body: again.Body}, again.ReceivedAt)
		if err != nil {
			return Grant{}, nil, refused("its signature does not prove it with the secrets that the source %s has now (%s); set the secret that it was signed with, release it with force, or discard it", s.Name, reasonOf(err))
		}
		signedID = verified.ID
	}
	a := Admission{source: s, who: identity{again.Caller, again.Attributes}}
	if again.Forced {
		a.who.attributes = slices.Clone(again.Attributes)
		a.who.attributes.Set(Unverified, again.Reason)
	}
	grant, body, err := a.again(again, signedID)
	if err != nil && protocol.StatusOf(err) < http.StatusInternalServerError {
		err = refused("the source %s does not take it: %v", s.Name, err)
	}
	return grant, body, err
}

func (a Admission) again(again *Again, signedID string) (grant Grant, body []byte, err error) {
	for _, field := range again.Header {
		if field.Name == "Content-Encoding" {
			again.ContentEncoding = append(again.ContentEncoding, field.Value)
		}
	}
	if a.coding, err = decode.Parse(again.ContentEncoding); err != nil {
		return Grant{}, nil, err
	}
	if grant, body, err = a.event(&again.Head, again.Body); err != nil {
		return Grant{}, nil, err
	}
	return grant, body, grant.identify(&again.Head, signedID)
}

// refused is of what a person can change.
func refused(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), pillarbox.ErrConflict)
}

// ReleaseKey is by what an event is known that comes out of quarantine and has no key of its own: a
// release that a crash has interrupted stores nothing twice.
func ReleaseKey(requestID string) pillarbox.Idempotency {
	return pillarbox.Idempotency{Key: digestOf("", "released", requestID)}
}
