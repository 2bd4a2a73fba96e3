package bus_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"pillarbox"
	"pillarbox/internal/engine/sqlite"
	"pillarbox/internal/ledger"
	"pillarbox/internal/torture"
)

// build makes the real binary.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "pillarbox")
	command := exec.Command("go", "build", "-o", binary, "./cmd/pillarbox")
	command.Dir = "../.."
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

// TestEveryBrokerGetsEveryEventOverKills: while events come in, the server is killed three times.
// SQLite, the stream and the topic then have the same events, once they are told apart by their id:
// each that has a receipt, and the stream and SQLite each of them once.
func TestEveryBrokerGetsEveryEventOverKills(t *testing.T) {
	binary, data := build(t), t.TempDir()
	jetstream, cluster := startNATS(t, nil), startKafka(t, kfake.SeedTopics(3, "events"))
	config := filepath.Join(t.TempDir(), "p.yaml")
	text := fmt.Sprintf(`
sources: { app: {} }
destinations:
  base: { url: "sqlite:", sources: [app], probe: { initial: 50ms, max: 200ms } }
  nats: { url: "%s", sources: [app], probe: { initial: 50ms, max: 200ms } }
  kafka: { url: "%s", sources: [app], probe: { initial: 50ms, max: 200ms } }
`, jetstream.url("events.in"), kafkaURL(cluster, "events"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	receipts := map[string]bool{}
	var s *torture.Server
	for life := range 4 {
		var err error
		if s, err = torture.Start(t.Context(), binary, data, "--config", config); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.End)
		load(t, s, receipts, 300*(life+1), life < 3)
	}
	waitDrained(t, s)
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	base := stored(t, filepath.Join(data, "base.db"))
	inStream, inTopic := map[string]int{}, map[string]int{}
	for _, m := range jetstream.messages("events.in") {
		inStream[idOf(t, m.Data())]++
	}
	for _, record := range records(t, cluster, "events") {
		inTopic[idOf(t, record.Value)]++
	}
	for id := range receipts {
		if base[id] != 1 || inStream[id] != 1 || inTopic[id] == 0 {
			t.Errorf("event %s with a receipt is in SQLite %d times, in the stream %d, in the topic %d", id, base[id], inStream[id], inTopic[id])
		}
	}
	more := 0
	for id, n := range inTopic {
		if more += n - 1; base[id] != 1 {
			t.Errorf("event %s is in the topic, and not in SQLite", id)
		}
	}
	if len(base) != len(inStream) || len(base) != len(inTopic) || len(receipts) < 1200 {
		t.Errorf("%d events in SQLite, %d in the stream, %d in the topic, %d receipts", len(base), len(inStream), len(inTopic), len(receipts))
	}
	t.Logf("%d events, %d receipts; %d records more than events in the topic", len(base), len(receipts), more)
}

// load posts until there are so many receipts in all, and may then kill the server under it.
func load(t *testing.T, s *torture.Server, receipts map[string]bool, want int, kill bool) {
	t.Helper()
	var mu sync.Mutex
	var senders sync.WaitGroup
	enough := make(chan struct{})
	for sender := range 8 {
		senders.Go(func() {
			for n := range 2000 {
				response, err := http.Post(s.Public+"/app", "text/plain", strings.NewReader(fmt.Sprint(sender, n)))
				if err != nil {
					return // it was killed
				}
				var receipt pillarbox.Receipt
				err = json.NewDecoder(response.Body).Decode(&receipt)
				_ = response.Body.Close()
				if err != nil || response.StatusCode != http.StatusAccepted {
					return
				}
				mu.Lock()
				receipts[receipt.RequestID] = true
				if len(receipts) == want {
					close(enough)
				}
				mu.Unlock()
				select {
				case <-enough:
					if !kill {
						return
					}
				default:
				}
			}
		})
	}
	<-enough
	if kill {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	senders.Wait()
}

// waitDrained waits until nothing is pending for any destination, and each account balances.
func waitDrained(t *testing.T, s *torture.Server) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var account ledger.Totals
		if err := s.Get("/api/v1/ledger", &account); err != nil {
			t.Fatal(err)
		}
		pending := uint64(0)
		for _, entry := range account.Destinations {
			if pending += entry.Pending; entry.Pending == 0 && !entry.Balanced {
				t.Errorf("the account is wrong: %+v", entry)
			}
		}
		switch {
		case pending == 0 && len(account.Destinations) == 3:
			return
		case time.Now().After(deadline):
			t.Fatalf("the ledger stays at %+v\n%s", account, s.Log())
		}
	}
}

func stored(t *testing.T, path string) map[string]int {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ids := map[string]int{}
	for filter := (pillarbox.EventFilter{Limit: pillarbox.MaxListLimit}); ; {
		events, err := store.List(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return ids
		}
		for _, event := range events {
			ids[event.RequestID]++
		}
		filter.After = events[len(events)-1].Key()
	}
}

func idOf(t *testing.T, text []byte) string {
	t.Helper()
	var event pillarbox.Event
	if err := json.Unmarshal(text, &event); err != nil {
		t.Fatal(err)
	}
	return event.RequestID
}
