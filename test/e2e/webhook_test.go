package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/ledger"
	"pillarbox/internal/signature"
	"pillarbox/test/harness"
)

// hook is a receiver of webhooks that verifies each request, and remembers each event by its id.
type hook struct {
	*httptest.Server
	verifier *signature.Verifier
	answer   atomic.Int64 // status of what is to be refused, in place of 204
	refuses  atomic.Value // string: bodies that have it in them are; "" for all

	mu     sync.Mutex
	seen   map[string]int // requests by event that were answered with 204
	bodies map[string]string
	wrong  []string // what is not as it must be
}

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func startHook(t *testing.T) *hook {
	t.Helper()
	verifier, err := signature.Compile(signature.Settings{Scheme: "standard-webhooks", Secrets: []string{hookSecret}})
	if err != nil {
		t.Fatal(err)
	}
	h := &hook{verifier: verifier, seen: map[string]int{}, bodies: map[string]string{}}
	h.refuses.Store("")
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the server was killed in the middle of it
	}
	var header pillarbox.Header
	for name, values := range r.Header {
		header = append(header, pillarbox.HeaderField{Name: name, Value: values[0]})
	}
	verified, err := h.verifier.Verify(&signature.Request{Header: header, Body: body}, time.Now())
	var event pillarbox.Event
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || verified.ID != event.RequestID || r.Header.Get("Idempotency-Key") != event.RequestID || r.Header.Get("X-Team") != "a" {
		h.wrong = append(h.wrong, fmt.Sprintf("%v: %q of event %q", err, verified.ID, event.RequestID))
	}
	if status := h.answer.Load(); status != 0 && strings.Contains(string(event.Body), h.refuses.Load().(string)) {
		http.Error(w, "the receiver says no", int(status))
		return
	}
	h.seen[event.RequestID]++
	h.bodies[event.RequestID] = string(event.Body)
	w.WriteHeader(http.StatusNoContent)
}

// check sees that each request was right, and that an event is there for each receipt.
func (h *hook) check(t *testing.T, receipts []pillarbox.Receipt) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, wrong := range h.wrong[:min(3, len(h.wrong))] {
		t.Errorf("of %d requests that are not as they must be: %s", len(h.wrong), wrong)
	}
	for _, receipt := range receipts {
		if h.seen[receipt.RequestID] == 0 {
			t.Errorf("event %s has a receipt, and never came", receipt.RequestID)
		}
	}
}

func (h *hook) events() (events, requests int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.seen {
		requests += n
	}
	return len(h.seen), requests
}

func (h *hook) configure(t *testing.T) (config string) {
	t.Helper()
	t.Setenv("HOOK_SECRET", hookSecret)
	config = filepath.Join(t.TempDir(), "p.yaml")
	text := fmt.Sprintf(`
sources: { app: {} }
destinations:
  hook:
    url: "%s/in"
    sources: [app]
    allow_private: true
    signing_secrets: ["${HOOK_SECRET}"]
    headers: { X-Team: a }
    max_attempts: 2
    backoff: { initial: 10ms, max: 100ms }
    probe: { initial: 50ms, max: 200ms }
`, h.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// TestAWebhookGetsEveryEventOverKills: while events come in, the server is killed three times. Each
// event with a receipt gets to the receiver, and as many events as were accepted, once they are told
// apart by their id.
func TestAWebhookGetsEveryEventOverKills(t *testing.T) {
	h, data := startHook(t), t.TempDir()
	config := h.configure(t)
	var receipts []pillarbox.Receipt
	var s *harness.Server
	for life := range 4 {
		s = harness.Start(t, data, "--config", config)
		var mu sync.Mutex
		var senders sync.WaitGroup
		enough := make(chan struct{})
		for sender := range 8 {
			senders.Go(func() {
				for n := 0; n < 2000; n++ {
					response, err := http.Post(s.Public+"/app", "text/plain", strings.NewReader(fmt.Sprintf("%d %d %d", life, sender, n)))
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
					if receipts = append(receipts, receipt); len(receipts) == 400*(life+1) {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		if life < 3 {
			s.Kill()
		}
		senders.Wait()
	}
	entry := s.WaitUntil("all is delivered", drained)
	h.check(t, receipts)
	events, requests := h.events()
	if uint64(events) != entry.Accepted || !entry.Balanced || len(receipts) < 1600 {
		t.Errorf("%d events were received in %d requests, of %d receipts and %+v", events, requests, len(receipts), entry)
	}
	t.Logf("%d events in %d requests, over three kills", events, requests)
	s.Stop()
	if out, talk, code := harness.Run(t, "audit", "--data", data, "--config", config); code != 0 {
		t.Errorf("audit: exit %d\n%s%s", code, out, talk)
	}
}

// TestCommandsWorkOnAWebhook as far as they can where nothing is read back: audit, explain, waiting for
// the delivery, dead letters and their replay, and why there are no events to list.
func TestCommandsWorkOnAWebhook(t *testing.T) {
	h, data := startHook(t), t.TempDir()
	config := h.configure(t)
	s := harness.Start(t, data, "--config", config)
	run := func(want int, args ...string) string {
		t.Helper()
		out, talk, code := harness.Run(t, append(args, "--server", s.Admin)...)
		if code != want {
			t.Errorf("%v: exit %d, want %d\n%s%s", args, code, want, out, talk)
		}
		return out + talk
	}
	wants := func(text, want string) {
		t.Helper()
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	request, err := http.NewRequest("POST", s.Public+"/app", strings.NewReader("waited for"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Prefer", "wait=20")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	var waited pillarbox.Receipt
	if err := json.NewDecoder(response.Body).Decode(&waited); err != nil || response.StatusCode != http.StatusCreated || waited.Status != pillarbox.StateStored {
		t.Errorf("Prefer: wait: %d, %+v, %v", response.StatusCode, waited, err)
	}
	_ = response.Body.Close()
	wants(run(0, "explain", waited.RequestID), "stored")
	wants(run(2, "events"), "no destination can be read back")
	wants(run(2, "events", "--destination", "hook"), "can't be read back")
	run(0, "audit")

	h.refuses.Store("poison")
	h.answer.Store(http.StatusUnprocessableEntity)
	poison := accept(t, s.Public+"/app", "text/plain", []byte("a drop of poison"))
	h2 := accept(t, s.Public+"/app", "text/plain", []byte("harmless"))
	s.WaitUntil("one is dead", func(e ledger.Entry) bool { return e.Dead == 1 && e.Stored == 2 && e.Pending == 0 })
	wants(run(0, "dead", "show", poison.RequestID), "answered 422 Unprocessable Entity: the receiver says no")
	wants(run(0, "explain", poison.RequestID), "dead")
	run(0, "audit")
	h.answer.Store(0)
	run(0, "dead", "replay", "--all")
	s.WaitUntil("the replay is counted", func(e ledger.Entry) bool { return e.Dead == 0 && e.Stored == 3 && e.Balanced })
	wants(run(0, "explain", poison.RequestID), "stored")
	run(0, "audit")
	h.check(t, []pillarbox.Receipt{waited, poison, h2})
	if _, requests := h.events(); requests != 3 || h.bodies[poison.RequestID] != "a drop of poison" {
		t.Errorf("%d requests were taken, and the bodies are %v", requests, h.bodies)
	}
	if text := run(2, "purge", "events", "--older-than", "1d", "--destination", "hook", "--yes"); !strings.Contains(text, "purge") {
		t.Errorf("purge: %s", text)
	}
}

// TestAWebhookThatIsGonePausesItself, with a record of it that outlives a kill; a person resumes. While
// the receiver fails, nothing is spent of what waits.
func TestAWebhookThatIsGonePausesItself(t *testing.T) {
	h, data := startHook(t), t.TempDir()
	config := h.configure(t)
	s := harness.Start(t, data, "--config", config)
	h.answer.Store(http.StatusInternalServerError)
	var receipts []pillarbox.Receipt
	for range 10 {
		receipts = append(receipts, accept(t, s.Public+"/app", "text/plain", []byte("meanwhile")))
	}
	waitForStatus(t, s, func(d adminapi.DestinationStatus) bool {
		return d.State == "down" && strings.Contains(d.LastError, "answered 500")
	})
	h.answer.Store(http.StatusGone)
	gone := func(d adminapi.DestinationStatus) bool {
		return d.State == "paused" && d.PausedBy == "pillarbox" && strings.Contains(d.PauseReason, "answered 410 Gone")
	}
	waitForStatus(t, s, gone)
	s.Kill()
	s = harness.Start(t, data, "--config", config)
	waitForStatus(t, s, gone)
	h.answer.Store(0)
	if out, talk, code := harness.Run(t, "resume", "hook", "--server", s.Admin); code != 0 {
		t.Fatalf("resume: exit %d\n%s%s", code, out, talk)
	}
	entry := s.WaitUntil("all is delivered", drained)
	if entry.Stored != 10 || entry.Dead != 0 || !entry.Balanced {
		t.Errorf("%+v", entry)
	}
	h.check(t, receipts)
}
