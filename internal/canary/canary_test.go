package canary_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/canary"
	"pillarbox/internal/ledger"
	"pillarbox/internal/posting"
)

// door is a public door, and what the server says of the event.
type door struct {
	status  int
	stories []map[string]string // one after the other, the last one from then on; nil is that it is not known
	asked   int
}

func (d *door) run(t *testing.T, timeout time.Duration) *canary.Result {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(canary.Header) == "" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", r.Header)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(d.status)
		_, _ = w.Write([]byte(`{"request_id":"id-1","timestamp":"2026-11-23T14:12:00.123456Z","status":"accepted","detail":"closed"}`))
	}))
	defer server.Close()
	header := http.Header{"Content-Type": {"application/json"}, canary.Header: {"1"}}
	result, err := canary.Run(t.Context(), canary.Options{Timeout: timeout,
		Sender: &posting.Sender{URL: server.URL + "/canary", Header: header, Poster: &adminclient.Poster{HTTP: server.Client()}},
		Story: func(_ context.Context, id string) (*adminapi.Trace, error) {
			story := d.stories[min(d.asked, len(d.stories)-1)]
			if d.asked++; story == nil {
				return nil, pillarbox.ErrNotFound
			}
			trace := &ledger.Trace{Event: &pillarbox.Event{RequestID: id}}
			for name, state := range story {
				trace.Deliveries = append(trace.Deliveries, ledger.Delivery{Destination: name, State: state})
			}
			return (*adminapi.Trace)(trace), nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestACanaryTriesTheWholeWay(t *testing.T) {
	d := &door{status: 202, stories: []map[string]string{nil, {"events": "pending", "other": "skipped"}, {"events": "stored", "other": "skipped"}}}
	got := d.run(t, 0)
	if !got.OK || got.RequestID != "id-1" || len(got.Destinations) != 2 || got.Accepted <= 0 || d.asked != 3 {
		t.Errorf("%+v after %d looks", got, d.asked)
	}
}

func TestACanaryTellsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		door
		want string
	}{
		"refused":        {door{status: 503}, "not accepted: "},
		"dead":           {door{status: 202, stories: []map[string]string{{"events": "dead", "other": "stored"}}}, "events: dead"},
		"late":           {door{status: 202, stories: []map[string]string{{"events": "pending"}}}, "not stored yet after 300ms: events"},
		"held":           {door{status: 202, stories: []map[string]string{{"events": "held"}}}, "not stored yet"},
		"unknown":        {door{status: 202, stories: []map[string]string{nil}}, "not known: not found"},
		"nobody":         {door{status: 202, stories: []map[string]string{{}}}, "nobody has answered"},
		"skipped by all": {door{status: 202, stories: []map[string]string{{"events": "skipped"}}}, "every destination skips it"},
	} {
		if got := c.run(t, 300*time.Millisecond); got.OK || !strings.Contains(got.Reason, c.want) {
			t.Errorf("%s: %+v, want %q", name, got, c.want)
		}
	}
	sender := &posting.Sender{URL: "http://127.0.0.1:1/", Header: http.Header{}, Poster: &adminclient.Poster{HTTP: http.DefaultClient}}
	got, err := canary.Run(t.Context(), canary.Options{Sender: sender})
	if err != nil || got.OK || !strings.Contains(got.Reason, "not answered") {
		t.Errorf("%+v, %v", got, err)
	}
}
