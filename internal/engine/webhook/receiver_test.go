package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/engine/webhook"
)

// receiver is what stands behind the URL: it takes what comes, and keeps each event once.
type receiver struct {
	*httptest.Server
	kept *memory.Sink

	mu       sync.Mutex
	requests []*http.Request // with their bodies read
	bodies   [][]byte
	answer   func(w http.ResponseWriter, r *http.Request, body []byte) bool // nil, or true where it has answered
}

// receive starts one.
func receive(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, body []byte) bool) *receiver {
	t.Helper()
	r := &receiver{kept: memory.NewSink(), answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // it was cut off
	}
	r.mu.Lock()
	r.requests, r.bodies = append(r.requests, request), append(r.bodies, body)
	answer := r.answer
	r.mu.Unlock()
	if answer != nil && answer(w, request, body) {
		return
	}
	events, err := eventsOf(request, body)
	if err == nil {
		err = r.kept.Write(request.Context(), events)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.requests)
}

// last returns the latest request.
func (r *receiver) last() (*http.Request, []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests[len(r.requests)-1], r.bodies[len(r.bodies)-1]
}

// eventsOf reads a request as a receiver does.
func eventsOf(r *http.Request, body []byte) (events []*pillarbox.Event, err error) {
	switch kind := r.Header.Get("Pillarbox-Timestamp"); {
	case kind != "":
		var event *pillarbox.Event
		event, err = eventOfFacts(r.Header, body)
		return append(events, event), err
	case r.Header.Get("Content-Type") == "application/x-ndjson":
		lines := bufio.NewScanner(bytes.NewReader(body))
		lines.Buffer(nil, len(body)+1)
		for lines.Scan() {
			event := &pillarbox.Event{}
			if err := json.Unmarshal(lines.Bytes(), event); err != nil {
				return nil, err
			}
			events = append(events, event)
		}
		return events, lines.Err()
	case bytes.HasPrefix(body, []byte("[")):
		return events, json.Unmarshal(body, &events)
	}
	event := &pillarbox.Event{}
	return append(events, event), json.Unmarshal(body, event)
}

// eventOfFacts puts an event together again from its body and its headers.
func eventOfFacts(header http.Header, body []byte) (*pillarbox.Event, error) {
	text := map[string][]string{}
	for name, values := range header {
		for _, value := range values {
			if slices.Contains(header["Pillarbox-Base64"], name) {
				plain, err := base64.StdEncoding.DecodeString(value)
				if err != nil {
					return nil, err
				}
				value = string(plain)
			}
			text[name] = append(text[name], value)
		}
	}
	one := func(name string) string { return strings.Join(text["Pillarbox-"+name], "") }
	at, err := pillarbox.ParseTimestamp(one("Timestamp"))
	event := &pillarbox.Event{Timestamp: at, RequestID: one("Request-Id"), Source: one("Source"), Method: one("Method"),
		Path: one("Path"), Query: one("Query"), ContentType: one("Content-Type"), RemoteAddr: one("Remote-Addr"),
		Traceparent: one("Traceparent"), Body: body}
	facts := &pillarbox.Facts{}
	for i, text := range facts.Texts() {
		*text = one(http.CanonicalHeaderKey(strings.ReplaceAll(pillarbox.FactNames()[i], "_", "-")))
	}
	for name, values := range text {
		if attribute, ok := strings.CutPrefix(name, "Pillarbox-Attribute-"); ok {
			facts.Attributes = append(facts.Attributes, pillarbox.Attribute{Name: strings.ToLower(attribute), Value: values[0]})
		}
		if field, ok := strings.CutPrefix(name, "Pillarbox-Header-"); ok {
			for _, value := range values {
				event.Header = append(event.Header, pillarbox.HeaderField{Name: field, Value: value})
			}
		}
	}
	slices.SortFunc(facts.Attributes, func(a, b pillarbox.Attribute) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(event.Header, func(a, b pillarbox.HeaderField) int { return strings.Compare(a.Name, b.Name) })
	if !facts.IsZero() {
		event.Facts = facts
	}
	return event, err
}

// open opens a sink on a receiver of this machine.
func open(t testing.TB, to string, opts webhook.Options) *webhook.Sink {
	t.Helper()
	opts.AllowPrivate = true
	sink, err := webhook.Open(to, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
	return sink
}

// readBack writes to a webhook, and reads what its receiver has kept.
type readBack struct {
	pillarbox.Sink
	kept *memory.Sink
}

func (r *readBack) Traits() pillarbox.SinkTraits { return pillarbox.SinkTraits{Readable: true} }

func (r *readBack) Find(ctx context.Context, id string) (*pillarbox.Event, error) {
	return r.kept.Find(ctx, id)
}

func (r *readBack) List(ctx context.Context, f pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	return r.kept.List(ctx, f)
}

func (r *readBack) Count(ctx context.Context) (uint64, error) { return r.kept.Count(ctx) }

func (r *readBack) Missing(ctx context.Context, keys []pillarbox.Key) ([]pillarbox.Key, error) {
	return r.kept.Missing(ctx, keys)
}

func (r *readBack) StoredAt(ctx context.Context, key pillarbox.Key) (pillarbox.Timestamp, error) {
	return r.kept.StoredAt(ctx, key)
}
