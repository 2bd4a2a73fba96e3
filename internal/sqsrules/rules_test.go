package sqsrules_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/sqsrules"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func at(t time.Time) pillarbox.Timestamp { return pillarbox.TimestampOf(t) }

func text(t *testing.T, message *pillarbox.Message) string {
	t.Helper()
	encoded, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func event() *pillarbox.Event {
	return &pillarbox.Event{Timestamp: at(noon.Add(-time.Hour)), RequestID: "id", Source: "app",
		Body: []byte("body")}
}

// TestReadBelievesWhatSQSSays, and where it says nothing, or nonsense, what is safe: one receive,
// sent now.
func TestReadBelievesWhatSQSSays(t *testing.T) {
	for name, c := range map[string]struct {
		attributes  map[string]string
		receives    int
		first, sent time.Time
	}{
		"nothing": {nil, 1, noon, noon},
		"nonsense": {map[string]string{
			sqsrules.AttributeReceives: "0", sqsrules.AttributeFirst: "x",
			sqsrules.AttributeSent: "99999999999999999",
		}, 1, noon, noon},
		"negative": {map[string]string{sqsrules.AttributeReceives: "-3", sqsrules.AttributeSent: "-1"},
			1, noon, noon},
		"sent": {map[string]string{sqsrules.AttributeSent: "1000"}, 1, time.Unix(1, 0),
			time.Unix(1, 0)},
		"all": {map[string]string{
			sqsrules.AttributeReceives: "3", sqsrules.AttributeFirst: "2000", sqsrules.AttributeSent: "1000",
		}, 3, time.Unix(2, 0), time.Unix(1, 0)},
	} {
		r := sqsrules.Read("m", text(t, &pillarbox.Message{Event: event()}), c.attributes, "door", noon)
		if r.Receives != c.receives || r.First != at(c.first) || r.Sent != at(c.sent) || r.Lost != nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
}

// TestUnreadableBecomesAnEventOfItsText, whatever else of it could be read: nothing of that counts.
func TestUnreadableBecomesAnEventOfItsText(t *testing.T) {
	claim := `{"request_id":"x","body_encoding":"claim","body_claim":{"key":"k","bytes":1,"sha256":"0"}}`
	for _, text := range []string{"", "no JSON", `{"request_id":"x"}`, claim, `{"event":{}}`, "null"} {
		r := sqsrules.Read("m", text, nil, "door", noon)
		e := r.Message.Event
		if r.Lost == nil || !strings.HasPrefix(r.Lost.Error(),
			"the message can't be read as an event: ") {
			t.Fatalf("%q: lost for %v", text, r.Lost)
		}
		if string(e.Body) != text || e.RequestID != "m" || e.Source != "door" || e.Timestamp != at(noon) {
			t.Errorf("%q became %+v", text, e)
		}
		if r.Claim != nil || r.Message.Claim != nil || r.Message.Letter != nil {
			t.Errorf("%q: something else of it counts: %+v", text, r.Message)
		}
		if v := r.Rejection(noon); v == nil || v.Reason != r.Lost.Error() || v.DeadAt != at(noon) {
			t.Errorf("%q: the rejection is %+v", text, v)
		}
	}
}

// restorer answers for every body.
type restorer struct {
	body []byte
	err  error
	lies bool // says that it is done, and is not
}

func (r restorer) Put(context.Context, pillarbox.Key, []byte) (pillarbox.Claim, error) {
	panic("not called")
}

func (r restorer) Get(context.Context, pillarbox.Claim) ([]byte, error) { return r.body, r.err }

func (r restorer) Restore(ctx context.Context, message *pillarbox.Message) error {
	if r.lies {
		return nil
	}
	return sqsrules.RestoreBody(ctx, r, message)
}

// TestRestore: a body comes back; or it can't be had now, and the message waits as it is; or it is
// gone, and its claim stands in its place. A letter has the same event all the while.
func TestRestore(t *testing.T) {
	full := &pillarbox.DeadLetter{Version: pillarbox.DeadLetterVersion, Destination: "events",
		Reason: "no"}
	for _, letter := range []*pillarbox.DeadLetter{nil, full} {
		for name, c := range map[string]struct {
			from restorer
			body string
			lost bool
			err  error
		}{
			"there": {from: restorer{body: []byte("body")}, body: "body"},
			"gone": {from: restorer{err: pillarbox.ErrNotFound},
				body: `{"body_claim":{"key":"k","bytes":4,`, lost: true},
			"corrupt": {from: restorer{err: fmt.Errorf("bits: %w", pillarbox.ErrCorrupt)},
				body: `{"body_claim":{"key":"k"`, lost: true},
			"an outage": {from: restorer{err: pillarbox.ErrUnavailable}, err: pillarbox.ErrUnavailable},
			"refused":   {from: restorer{err: pillarbox.ErrInvalid}, err: pillarbox.ErrInvalid},
			"a lie":     {from: restorer{lies: true}, err: pillarbox.ErrUnavailable},
		} {
			message := pillarbox.Message{Event: event(), Letter: letter}
			claim := pillarbox.NewClaim("k", message.Event.Body)
			if message.Claim = &claim; letter != nil {
				letter.Event = message.Event
			}
			r := sqsrules.Read("m", text(t, &message), nil, "door", noon)
			err := r.Restore(t.Context(), c.from)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("%s: %v", name, err)
			}
			if !strings.HasPrefix(string(r.Message.Event.Body), c.body) || (r.Lost != nil) != c.lost {
				t.Errorf("%s: the body is %q, lost for %v", name, r.Message.Event.Body, r.Lost)
			}
			if (r.Message.Claim == nil) != (c.err == nil) || r.Claim == nil || *r.Claim != claim {
				t.Errorf("%s: the claim is %v, once %v", name, r.Message.Claim, r.Claim)
			}
			if letter != nil && r.Message.Letter.Event != r.Message.Event {
				t.Errorf("%s: the letter has another event", name)
			}
			if c.lost && !strings.Contains(r.Lost.Error(), "claimed as k with 4 bytes") {
				t.Errorf("%s: %v does not say what is lost", name, r.Lost)
			}
		}
	}
	if err := sqsrules.RestoreBody(t.Context(), nil, &pillarbox.Message{Event: event()}); err != nil {
		t.Errorf("without a claim: %v", err)
	}
	nowhere := &pillarbox.Message{Event: event(), Claim: &pillarbox.Claim{Key: "k"}}
	if err := sqsrules.RestoreBody(t.Context(), nil,
		nowhere); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("without a place: %v", err)
	}
}

// TestAgain is the table of what is sent again.
func TestAgain(t *testing.T) {
	letter := &pillarbox.DeadLetter{Version: pillarbox.DeadLetterVersion, Destination: "events",
		Event: event(), Reason: "no"}
	claim := pillarbox.NewClaim("k", []byte("body"))
	young := pillarbox.Message{Event: event()}
	for name, c := range map[string]struct {
		message  pillarbox.Message
		receives int
		limits   sqsrules.Limits
		lost     error
		want     bool
	}{
		"in the middle":    {young, 17, sqsrules.Limits{MaxReceives: 20}, nil, false},
		"near the end":     {young, 18, sqsrules.Limits{MaxReceives: 20}, nil, true},
		"at the end":       {young, 20, sqsrules.Limits{MaxReceives: 20}, nil, true},
		"over it":          {young, 30, sqsrules.Limits{MaxReceives: 20}, nil, true},
		"no end":           {young, 900, sqsrules.Limits{}, nil, false},
		"the first of few": {young, 1, sqsrules.Limits{MaxReceives: 3}, nil, false},
		"the next of few":  {young, 2, sqsrules.Limits{MaxReceives: 3}, nil, true},
		"lost":             {young, 20, sqsrules.Limits{MaxReceives: 20}, pillarbox.ErrNotFound, false},
		"not too old":      {young, 20, sqsrules.Limits{MaxReceives: 20, MaxAge: time.Hour}, nil, true},
		"too old": {young, 20, sqsrules.Limits{MaxReceives: 20, MaxAge: time.Minute}, nil,
			false},
		"put back": {pillarbox.Message{Event: letter.Event, Letter: letter}, 20,
			sqsrules.Limits{MaxReceives: 20, MaxAge: time.Minute}, nil, true},
		"put back long ago": {pillarbox.Message{Event: letter.Event, Letter: letter,
			Since: at(noon.Add(-time.Hour))}, 20,
			sqsrules.Limits{MaxReceives: 20, MaxAge: time.Minute}, nil, false},
		"claimed": {pillarbox.Message{Event: event(), Claim: &claim}, 20,
			sqsrules.Limits{MaxReceives: 20}, nil, true},
	} {
		attributes := map[string]string{sqsrules.AttributeReceives: fmt.Sprint(c.receives)}
		r := sqsrules.Read("m", text(t, &c.message), attributes, "door", noon)
		r.Lost = c.lost
		if c.message.Claim != nil { // it stays where it is, also when it was brought back
			if err := r.Restore(t.Context(), restorer{body: []byte("body")}); err != nil {
				t.Fatal(err)
			}
		}
		again := r.Again(c.limits, noon)
		if (again != nil) != c.want {
			t.Errorf("%s: sent again as %+v", name, again)
			continue
		}
		if again != nil && (text(t, again) != text(t, &pillarbox.Message{
			Event: r.Message.Event, Claim: c.message.Claim, Letter: r.Message.Letter, Since: r.Since(),
		})) {
			t.Errorf("%s: sent again as %s", name, text(t, again))
		}
	}
}

// TestEarlier: what SQS has counted and nobody knows more of, within a bound.
func TestEarlier(t *testing.T) {
	for _, c := range []struct{ receives, known, want int }{
		{1, 0, 0}, {3, 0, 2}, {3, 1, 1}, {3, 2, 0}, {3, 7, 0}, {1 << 30, 0, sqsrules.MaxEarlier},
	} {
		r := sqsrules.Received{Receives: c.receives, First: 7}
		got := r.Earlier(c.known)
		if len(got) != c.want {
			t.Errorf("%d receives, %d known: %d attempts", c.receives, c.known, len(got))
		}
		for _, attempt := range got {
			want := pillarbox.Attempt{At: 7, Class: pillarbox.ClassRefused, Error: sqsrules.EarlierError}
			if attempt != want {
				t.Fatalf("an attempt is %+v", attempt)
			}
		}
	}
}
