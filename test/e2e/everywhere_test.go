package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/test/harness"
)

const everywhere = 10_000 // events

// anyEvents posts events of any bytes in query, headers and body, and returns what was accepted.
func anyEvents(t *testing.T, address string, n int) (ids map[string]bool) {
	t.Helper()
	ids = map[string]bool{}
	var mu sync.Mutex
	var posting sync.WaitGroup
	const senders = 8
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	for sender := range senders {
		posting.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(sender)))
			for range n / senders {
				body := make([]byte, random.IntN(400))
				for i := range body {
					body[i] = byte(random.Uint32())
				}
				if random.IntN(2) == 0 {
					body = fmt.Appendf(nil, `{"n":%d%09d,"s":"\u0000\ud800%c","f":1.00e%d}`, random.Uint64(), random.IntN(1e9), rune(0x100+random.IntN(500)), random.IntN(400))
				}
				request, err := http.NewRequest("POST", address+"/app?a="+url.QueryEscape(string(body[:min(5, len(body))]))+"&%ff=%zz;=", bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				request.Header.Set("Content-Type", "application/x; q=\xff")
				request.Header["X-Any"] = []string{"\xfe ä", "", "b"}
				response, err := client.Do(request)
				if err != nil {
					t.Error(err)
					return
				}
				var receipt pillarbox.Receipt
				err = json.NewDecoder(response.Body).Decode(&receipt)
				_ = response.Body.Close()
				if err != nil || response.StatusCode != http.StatusAccepted {
					t.Errorf("%d, %v", response.StatusCode, err)
					return
				}
				mu.Lock()
				ids[receipt.RequestID] = true
				mu.Unlock()
			}
		})
	}
	posting.Wait()
	return ids
}

// TestTheSameEverywhere: any bytes of query, headers and body are the same in every kind of
// destination, over a kill while they are delivered.
func TestTheSameEverywhere(t *testing.T) {
	var mu sync.Mutex
	hooked := map[string]*pillarbox.Event{}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return // the server was killed in the middle of it
		}
		mu.Lock()
		defer mu.Unlock()
		for line := range bytes.Lines(text) {
			var event pillarbox.Event
			if err := json.Unmarshal(line, &event); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			hooked[event.RequestID] = &event
		}
	}))
	defer receiver.Close()
	config := configured(t, fmt.Sprintf(`
sources: { app: {} }
destinations:
  sqlite: { url: "sqlite:", sources: [app] }
  postgres: { url: %q, sources: [app] }
  parquet: { url: "parquet:%s", sources: [app], batch: { max_age: 1s } }
  hook: { url: %q, sources: [app], allow_private: true, send: ndjson }
`, postgresServer.Server(t).Database(t)+"&table=events", t.TempDir(), receiver.URL))
	data := t.TempDir()
	s := harness.Start(t, data, "--config", config)
	ids := anyEvents(t, s.Public, everywhere/2)
	s.Kill()
	s = harness.Start(t, data, "--config", config)
	for id := range anyEvents(t, s.Public, everywhere/2) {
		ids[id] = true
	}
	if len(ids) != everywhere {
		t.Fatalf("%d receipts", len(ids))
	}
	settledEverywhere(t, s, 4)
	first := eventsOf(t, s, "sqlite")
	for id := range ids {
		if first[id] == nil {
			t.Fatalf("event %s has a receipt and is not in SQLite", id)
		}
	}
	for name, got := range map[string]map[string]*pillarbox.Event{"postgres": eventsOf(t, s, "postgres"), "parquet": eventsOf(t, s, "parquet"), "hook": hooked} {
		if len(got) != len(first) {
			t.Errorf("%s has %d events, SQLite %d", name, len(got), len(first))
		}
		for id, want := range first {
			switch {
			case got[id] == nil:
				t.Fatalf("event %s is not in %s", id, name)
			case enginetest.Diff(got[id], want) != "":
				t.Fatalf("event %s of %s: %s", id, name, enginetest.Diff(got[id], want))
			}
		}
	}
	if out, talk, code := harness.Run(t, "audit", "--server", s.Admin); code != 0 {
		t.Errorf("audit: %s%s", out, talk)
	}
}

// eventsOf reads all events of a destination.
func eventsOf(t *testing.T, s *harness.Server, name string) map[string]*pillarbox.Event {
	t.Helper()
	found, cursor := map[string]*pillarbox.Event{}, ""
	for {
		var page adminapi.EventPage
		s.Get("/api/v1/events?limit=1000&destination="+name+"&cursor="+url.QueryEscape(cursor), &page)
		for _, event := range page.Events {
			if found[event.RequestID] != nil {
				t.Errorf("event %s is twice in %s", event.RequestID, name)
			}
			found[event.RequestID] = event
		}
		if cursor = page.NextCursor; cursor == "" {
			return found
		}
	}
}
