package ingest

import (
	"context"
	"testing"

	"pillarbox"
	"pillarbox/internal/protocol"
	"pillarbox/internal/source"
)

// keeping is a queue that keeps copies.
type keeping struct {
	sinkhole
	events []*pillarbox.Event
}

func (k *keeping) Append(_ context.Context, events []*pillarbox.Event) error {
	for _, e := range events {
		copied := *e
		copied.Facts = e.Facts.Clone()
		k.events = append(k.events, &copied)
	}
	return nil
}

// TestWhatIsNotKeptIsSaidOfEachItem, of the header that they share as of their own bodies; an item
// that can't be kept costs the others nothing.
func TestWhatIsNotKeptIsSaidOfEachItem(t *testing.T) {
	from := source.New(source.Settings{Name: "app", Redact: source.Places{JSON: []string{"/card"}}}, source.Options{})
	grant, _, err := from.AdmitOne(&source.Head{Method: "POST"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	queue := &keeping{}
	request := Request{Grant: grant, Method: "POST", Path: "/app", Query: "token=s3cret",
		Header: pillarbox.Header{{Name: "Cookie", Value: "s3cret"}}}
	bodies := [][]byte{[]byte(`{"card":1}`), []byte(`{"x":1}`), []byte("no JSON"), []byte(`{"card":2}`)}
	results := New(queue, Options{}).AcceptBatch(t.Context(), request, bodies, nil)
	for i, want := range []int{0, 0, 400, 0} {
		if got := results[i].Err; (got == nil) != (want == 0) || got != nil && protocol.StatusOf(got) != want {
			t.Errorf("item %d is answered with %v, want %d", i, got, want)
		}
	}
	want := []struct{ body, removed string }{
		{`{"card":"REDACTED"}`, "query token, redacted json /card, header Cookie"},
		{`{"x":1}`, "query token, header Cookie"},
		{`{"card":"REDACTED"}`, "query token, redacted json /card, header Cookie"},
	}
	if len(queue.events) != len(want) {
		t.Fatalf("%d events are stored, want %d", len(queue.events), len(want))
	}
	for i, e := range queue.events {
		if string(e.Body) != want[i].body || e.Facts.Removed != want[i].removed || e.Query != "token=REDACTED" || len(e.Header) != 0 {
			t.Errorf("said of item %d: %s, %q, %q, %v", i, e.Body, e.Facts.Removed, e.Query, e.Header)
		}
	}
}
