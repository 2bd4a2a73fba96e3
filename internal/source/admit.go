package source

import (
	"net/http"

	"pillarbox"
	"pillarbox/internal/cloudevent"
	"pillarbox/internal/decode"
	"pillarbox/internal/protocol"
	"pillarbox/internal/signature"
)

// Head is what is known of a request before its body is read. It is read during a call only.
type Head struct {
	Method          string
	Path            string // as it came, escaped
	Query           string
	RemoteAddr      string       // IP address without port
	Certificate     *Certificate // that the client has proven; nil for none
	Header          pillarbox.Header
	ContentEncoding []string // the lines of that header

	MaxBatchBytes int64                   // of a batch, when it is decoded; for a single event it is MaxBody of the source
	Room          func(bytes int64) error // asks for the memory of a decoded body; nil: there is enough
	Batch         bool                    // many events are in one body
	MayWait       bool                    // for some seconds, where it takes that to say who comes; else it is ErrMustWait
}

// Admission is a request that may come in. The zero value is none. It points into nothing of the
// request.
type Admission struct {
	source *Source
	coding decode.Encoding // of the body
	who    identity        // as of Grant
	from   sender          // where the source has limits
}

// Checked is a request whose content is what it says. The zero value is none.
type Checked struct {
	grant Grant
	body  []byte
	from  sender
}

// Body is the body without its Content-Encoding: the one that came, or memory of its own.
func (c Checked) Body() []byte { return c.body }

// Grant is a request that may be accepted. The zero value is none, and is refused.
type Grant struct {
	source *Source
	who    identity // whom it is from; nobody where it is not asked
	key    [16]byte // digest of its idempotency key, if that was signed or is in the header
	keyed  bool
	facts  *pillarbox.Facts // of a CloudEvent; nil for none
	events bool             // the items of the batch are CloudEvents, or should be
	failed *failure         // its signature fails: it may be kept in quarantine, and nowhere else
	quota  Quota
}

// Quota is what is left of the limits of the source.
func (g *Grant) Quota() Quota { return g.quota }

// Source returns the source that the request came in by, or nil.
func (g Grant) Source() *Source { return g.source }

// Facts are what is known beside the request, if anything is. They share memory with the request.
func (g Grant) Facts() (facts pillarbox.Facts, known bool) { return g.with(g.facts) }

// ItemFacts are those of an item of a batch.
func (g Grant) ItemFacts(body []byte) (facts pillarbox.Facts, known bool) {
	return g.with(g.itemEvent(body))
}

func (g Grant) with(event *pillarbox.Facts) (facts pillarbox.Facts, known bool) {
	if event != nil {
		facts = *event
	}
	facts.Caller, facts.Attributes = g.who.caller, g.who.attributes
	return facts, event != nil || g.who.caller != "" || len(g.who.attributes) > 0
}

// identify finds the idempotency key that is signed or in the header. A signed id goes first: whoever
// sends a signed request again can't give it another one.
func (g *Grant) identify(head *Head, signedID string) (err error) {
	if signedID != "" {
		g.key, g.keyed = digestOf(g.source.Name, "signed", signedID), true
		return nil
	}
	g.key, g.keyed, err = g.source.headerKey(head.Header, g.who.caller)
	return err
}

// Admit decides about a request before its body is read: who may come in, and with what. It costs
// no allocation where it lets the request in. Errors are those that the client is to be answered
// with; among them protocol.Reply, for what is no event.
func (s *Source) Admit(head *Head) (Admission, error) {
	if s.address != nil {
		if err := s.address.check(head.RemoteAddr); err != nil {
			return Admission{}, err
		}
	}
	if err := s.route(head); err != nil {
		return Admission{}, err
	}
	admission := Admission{source: s}
	if err := s.known(&admission, head); err != nil {
		return Admission{}, err
	}
	admission.who.attributes = s.pattern.Attributes(admission.who.attributes, head.Path)
	if s.Signature != nil && s.Signature.Absent(head.Header) {
		switch apart, err := s.keepsApart(head); {
		case err != nil:
			return Admission{}, err
		case !apart:
			s.stranger(&admission.from)
			return Admission{}, s.unverified(signature.Missing) // without reading its body
		}
	}
	var err error
	if admission.coding, err = decode.Parse(head.ContentEncoding); err != nil {
		return Admission{}, err
	}
	return admission, nil
}

// known finds out who a request is from, and refuses who is over a limit, or is nobody. What nobody
// may send costs its address what an event costs.
func (s *Source) known(admission *Admission, head *Head) (err error) {
	if s.limits != nil {
		admission.from = s.limits.from(head.RemoteAddr)
		if err := s.look(&admission.from, notOfCaller); err != nil {
			return err
		}
	}
	if s.auth == nil {
		return nil
	}
	if admission.who, err = s.identify(head); err != nil {
		if s.limits != nil && protocol.StatusOf(err) == http.StatusUnauthorized {
			s.stranger(&admission.from)
		}
		return err
	}
	if s.limits == nil {
		return nil
	}
	s.limits.setCaller(&admission.from, admission.who.caller)
	return s.look(&admission.from, isOfCaller)
}

// Check decides about a request once its whole body is there, byte for byte as it came: whether it
// is what its head says, and who has signed it. The head is that of Admit. Errors are those that
// the client is to be answered with; among them protocol.Reply, for what is no event.
func (a Admission) Check(head *Head, body []byte) (Checked, error) {
	s := a.source
	if s == nil {
		return Checked{}, nil
	}
	grant := Grant{source: s, who: a.who}
	signedID := ""
	if s.Signature != nil {
		verified, why := s.verify(head, body)
		if why != nil {
			return a.suspect(head, body, why)
		}
		signedID = verified.ID
	}
	body, err := a.decode(head, body)
	if err != nil {
		return Checked{}, err
	}
	if s.greeter != nil && !head.Batch {
		if err := s.greet(s.greeter.WithBody(body)); err != nil {
			return Checked{}, err
		}
	}
	if head.Batch {
		contentType, _ := cloudevent.Look(head.Header)
		grant.events = s.IsEventBatch(contentType)
	} else if grant.facts, err = s.cloudEvent(head.Header, body); err != nil {
		return Checked{}, err
	}
	err = grant.identify(head, signedID)
	return Checked{grant: grant, body: body, from: a.from}, err
}

// decode takes the Content-Encoding from a body, after its signature: that is over what came.
func (a Admission) decode(head *Head, body []byte) ([]byte, error) {
	if a.coding == decode.Identity {
		return body, nil
	}
	limits := decode.Limits{Bytes: a.source.MaxBody, Name: a.source.MaxBodyKey(), Room: head.Room}
	if head.Batch {
		limits.Bytes, limits.Name = head.MaxBatchBytes, "http.max_batch_bytes"
	}
	decoded, err := decode.Body(a.coding, body, limits)
	if err == nil {
		a.source.metrics.Decoded(string(a.coding))
	}
	return decoded, err
}

// Charge takes so many events from what may come in now, or refuses and says when there will be
// enough: with 429, or with 503 where it is the server that takes no more. A batch that is larger
// than the bucket of a limit takes all of it: otherwise it could never be sent.
func (c Checked) Charge(events int) (Grant, error) {
	s := c.grant.source
	if s == nil || s.limits == nil || c.grant.failed != nil { // a suspect has cost its address, see suspect
		return c.grant, nil
	}
	now := s.elapsed()
	if err := s.take(&c.from, now, events); err != nil {
		return Grant{}, err
	}
	c.grant.quota = s.tightest(&c.from, now)
	return c.grant, nil
}

// AdmitOne is Admit, Check and Charge for a front that has all of one event at hand.
func (s *Source) AdmitOne(head *Head, body []byte) (Grant, []byte, error) {
	admission, err := s.Admit(head)
	if err != nil {
		return Grant{}, nil, err
	}
	return admission.One(head, body)
}

// One is Check and Charge for the body of one event, which is returned as it is to be stored.
func (a Admission) One(head *Head, body []byte) (Grant, []byte, error) {
	checked, err := a.Check(head, body)
	if err != nil {
		return Grant{}, nil, err
	}
	grant, err := checked.Charge(1)
	return grant, checked.body, err
}
