package node_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/node"
	"pillarbox/internal/preset"
	"pillarbox/internal/quarantine"
	"pillarbox/internal/signature"
	"pillarbox/internal/source"
	"pillarbox/internal/vfs/faultfs"
)

// apartBox is a node with a source that keeps apart what is not signed, on a disk that can fail.
type apartBox struct {
	*node.Node
	t     *testing.T
	queue *memory.Queue
	disk  *faultfs.FS
}

func openApart(t *testing.T, limits quarantine.Limits, change func(*source.Settings)) *apartBox {
	t.Helper()
	b := &apartBox{t: t, queue: memory.NewQueue(nil), disk: faultfs.New(faultfs.Options{})}
	opts := node.Options{Engines: engines(b.queue), Settings: signedSettings(t, "first-secret", change), Roles: node.Roles()}
	opts.Settings.Quarantine = limits
	store, err := quarantine.Open(b.disk, quarantine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	opts.Engines.Quarantine = store
	if b.Node, err = node.Open(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func signedSettings(t *testing.T, secret string, change func(*source.Settings)) node.Settings {
	t.Helper()
	verifier, err := signature.Compile(signature.Settings{Scheme: "slack", Secrets: []string{secret}})
	if err != nil {
		t.Fatal(err)
	}
	all := settings()
	all.Sources[0].Signature, all.Sources[0].Quarantine = verifier, true
	if change != nil {
		change(&all.Sources[0])
	}
	return all
}

// post sends a body to a path, signed as Slack does with a secret and a time; an empty secret signs
// nothing.
func (b *apartBox) post(path, secret, at, body string, header ...string) (status int, receipt pillarbox.Receipt) {
	b.t.Helper()
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	if secret != "" {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte("v0:" + at + ":" + body))
		request.Header.Set("X-Slack-Request-Timestamp", at)
		request.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	b.PublicHandler(node.Limits{}).ServeHTTP(answer, request)
	if answer.Code == http.StatusAccepted {
		if err := json.Unmarshal(answer.Body.Bytes(), &receipt); err != nil {
			b.t.Fatal(err)
		}
	}
	return answer.Code, receipt
}

// now is the time of signing.
func now() string { return seconds(time.Now()) }

func seconds(at time.Time) string { text, _ := json.Marshal(at.Unix()); return string(text) }

// accepted are the events of the queue.
func (b *apartBox) accepted() (events []pillarbox.Event) {
	b.t.Helper()
	err := b.queue.Scan(context.Background(), "events", func(event *pillarbox.Event, _ pillarbox.Standing) error {
		events = append(events, *event)
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return events
}

// TestOnlySuspectsAreInQuarantine: what nobody may send, what is no single event, and what finds no
// room is refused as ever, and what is signed is accepted.
func TestOnlySuspectsAreInQuarantine(t *testing.T) {
	b := openApart(t, quarantine.Limits{MaxEntries: 3}, func(s *source.Settings) {
		s.Handshake, s.MaxBody = preset.Slack, 100
	})
	inside := func() int {
		page, err := b.Quarantine(t.Context(), quarantine.Filter{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Entries)
	}
	for _, c := range []struct {
		what, path, secret, at, body string
		status, kept                 int
		header                       []string
	}{
		{"signed", "/app", "first-secret", now(), "a", 202, 0, nil},
		{"a batch", "/app/batch", "other", now(), `["a"]`, 401, 0, []string{"Content-Type", "application/json"}},
		{"a batch of events", "/app", "other", now(), `[]`, 401, 0, []string{"Content-Type", "application/cloudevents-batch+json"}},
		{"a handshake", "/app", "other", now(), `{"type":"url_verification","challenge":"c"}`, 401, 0, nil},
		{"a coding that is none", "/app", "other", now(), "a", 401, 0, []string{"Content-Encoding", "gzip"}},
		{"too large", "/app", "other", now(), strings.Repeat("a", 101), 413, 0, nil},
		{"a key that is none", "/app", "other", now(), "a", 401, 0, []string{"Idempotency-Key", `""`}},
		{"by another secret", "/app", "other", now(), "b", 202, 1, nil},
		{"not signed", "/app", "", "", "c", 202, 1, nil},
		{"too old", "/app", "first-secret", seconds(time.Now().Add(-time.Hour)), "d", 202, 1, nil},
		{"no room", "/app", "other", now(), "e", 401, 0, nil},
		{"no room and not signed", "/app", "", "", "e", 401, 0, nil},
	} {
		before := inside()
		status, receipt := b.post(c.path, c.secret, c.at, c.body, c.header...)
		if status != c.status || inside() != before+c.kept {
			t.Errorf("%s: answered with %d, want %d, and %d more are in quarantine, want %d", c.what, status, c.status, inside()-before, c.kept)
		}
		if quarantined := receipt.Status == pillarbox.StateQuarantined; quarantined != (c.kept == 1) {
			t.Errorf("%s: the receipt is %+v", c.what, receipt)
		}
	}
	if events := b.accepted(); len(events) != 1 || string(events[0].Body) != "a" {
		t.Errorf("accepted are %v", events)
	}
	audit, err := b.Audit(t.Context())
	if err != nil || audit.Quarantined != 3 || audit.Accepted != 1 {
		t.Errorf("the audit is %+v, %v", audit, err)
	}
}

// TestStrangersAreNotInQuarantine: who may come in, and how much, goes first.
func TestStrangersAreNotInQuarantine(t *testing.T) {
	b := openApart(t, quarantine.Limits{}, func(s *source.Settings) {
		s.Users = []source.User{{Name: "shop", Password: "a-long-enough-password"}}
	})
	if status, _ := b.post("/app", "other", now(), "a"); status != 401 {
		t.Errorf("nobody is answered with %d", status)
	}
	good := "Basic c2hvcDphLWxvbmctZW5vdWdoLXBhc3N3b3Jk"
	status, receipt := b.post("/app", "other", now(), "a", "Authorization", good)
	entry, err := b.Quarantined(receipt.RequestID)
	if status != 202 || err != nil || entry.Event.Facts == nil || entry.Event.Facts.Caller != "shop" {
		t.Errorf("answered with %d, %+v, %v", status, entry, err)
	}
	if receipt, err = b.Release(t.Context(), receipt.RequestID, true); err != nil {
		t.Fatal(err)
	}
	events := b.accepted()
	if len(events) != 1 || events[0].Facts == nil || events[0].Facts.Caller != "shop" {
		t.Fatalf("accepted are %+v", events)
	}
	if why, _ := events[0].Facts.Attributes.Get(source.Unverified); why != "mismatch" {
		t.Errorf("what was forced is told to be %q", why)
	}
}

// TestAReleaseIsOneMove: by the secrets of today and the time of receipt, under the first id, once,
// although the disk fails between.
func TestAReleaseIsOneMove(t *testing.T) {
	b := openApart(t, quarantine.Limits{}, nil)
	_, first := b.post("/app", "second-secret", now(), "a")
	_, late := b.post("/app", "second-secret", seconds(time.Now().Add(-time.Hour)), "b")
	if _, err := b.Release(t.Context(), first.RequestID, false); !errors.Is(err, pillarbox.ErrConflict) || !strings.Contains(err.Error(), "mismatch") {
		t.Fatalf("with the first secret: %v", err)
	}
	if err := b.Reload(t.Context(), signedSettings(t, "second-secret", nil), nil); err != nil {
		t.Fatal(err)
	}
	var failing atomic.Bool
	failing.Store(true)
	b.disk.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.Remove && failing.Load() {
			return errors.New("no")
		}
		return nil
	})
	if _, err := b.Release(t.Context(), first.RequestID, false); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Fatalf("on a disk that fails: %v", err)
	}
	failing.Store(false)
	again, err := b.Release(t.Context(), first.RequestID, false)
	if err != nil || again.RequestID != first.RequestID || again.Timestamp != first.Timestamp {
		t.Fatalf("released again it is %+v, %v, and was %+v", again, err, first)
	}
	events := b.accepted()
	if len(events) != 1 || events[0].RequestID != first.RequestID || events[0].Timestamp != first.Timestamp || string(events[0].Body) != "a" {
		t.Fatalf("accepted are %+v", events)
	}
	if _, err := b.Release(t.Context(), first.RequestID, false); !errors.Is(err, pillarbox.ErrNotFound) {
		t.Errorf("a third time: %v", err)
	}
	if _, err := b.Release(t.Context(), late.RequestID, false); !errors.Is(err, pillarbox.ErrConflict) || !strings.Contains(err.Error(), "too_old") {
		t.Errorf("what came too late: %v", err)
	}
	trace, err := b.Trace(t.Context(), late.RequestID)
	if err != nil || trace.State != pillarbox.StateQuarantined || string(trace.Event.Body) != "b" {
		t.Errorf("the story is %+v, %v", trace, err)
	}
	check, err := b.Receipts(t.Context(), []pillarbox.Key{{Timestamp: late.Timestamp, RequestID: late.RequestID}, {Timestamp: 1, RequestID: "nowhere"}})
	if err != nil || check.Quarantined != 1 || check.Lost != 1 || len(check.Missing) != 1 {
		t.Errorf("the receipts are %+v, %v", check, err)
	}
}

// TestWhatIsReleasedWaitsAnew: an event that was long in quarantine is not too old for its destination.
func TestWhatIsReleasedWaitsAnew(t *testing.T) {
	disk, elapsed := faultfs.New(faultfs.Options{}), 1000*time.Hour
	queue, err := seglog.Open(disk, "queue", seglog.Options{Elapsed: func() time.Duration { return elapsed }})
	if err != nil {
		t.Fatal(err)
	}
	store, err := quarantine.Open(disk, quarantine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	opts := node.Options{Engines: engines(queue), Settings: settings(), Roles: node.Roles()}
	opts.Engines.Quarantine = store
	n, err := node.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	old := pillarbox.TimestampOf(time.Now().Add(-1000 * time.Hour))
	event := &pillarbox.Event{RequestID: "01a20982-735b-7980-86a3-0c4338e0f4c0", Timestamp: old, Source: "app", Method: "POST", Path: "/app"}
	if err := store.Put(t.Context(), event, "mismatch", &quarantine.Raw{Method: "POST", Path: "/app", Body: []byte("a")}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Release(t.Context(), event.RequestID, true); err != nil {
		t.Fatal(err)
	}
	deliveries, err := queue.Lease(t.Context(), "events", pillarbox.LeaseLimits{MaxEvents: 10})
	if err != nil || len(deliveries) != 1 || deliveries[0].Event.Timestamp != old {
		t.Fatalf("leased are %+v, %v", deliveries, err)
	}
	if d := deliveries[0]; !d.Measured || d.Waited > time.Hour {
		t.Errorf("it has waited for %v (measured: %v)", d.Waited, d.Measured)
	}
}
