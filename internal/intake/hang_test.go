package intake_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/ingest"
	"pillarbox/internal/intake"
	"pillarbox/internal/vfs/faultfs"
)

// TestHangingDiskOnBothFronts lets the disk hang in a commit under real connections. Every client
// is answered while it hangs, and when it answers again, well or with an error, the next post is
// accepted: what was acknowledged is there, what was refused is not, nothing is there twice, and
// everything as it was sent.
func TestHangingDiskOnBothFronts(t *testing.T) {
	for _, end := range []error{nil, syscall.EIO} {
		for _, kind := range []faultfs.Kind{faultfs.Write, faultfs.Sync} {
			t.Run(fmt.Sprintf("%s/%v", kind, end), func(t *testing.T) {
				onFronts(t, func(t *testing.T, f front) { testHangingDisk(t, f, kind, end) })
			})
		}
	}
}

// hangingLog is a log whose disk hangs where it is armed.
type hangingLog struct {
	*seglog.Log
	armed   atomic.Bool
	entered chan struct{}
	release chan error
}

func openHangingLog(t *testing.T, kind faultfs.Kind) *hangingLog {
	t.Helper()
	disk := faultfs.New(faultfs.Options{})
	h := &hangingLog{entered: make(chan struct{}), release: make(chan error)}
	var live atomic.Pointer[string] // the file that groups are written to
	disk.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.Write && op.Offset > 0 && op.Length <= 16<<10 {
			live.Store(&op.Name)
		}
		if name := live.Load(); op.Kind == kind && name != nil && *name == op.Name &&
			h.armed.CompareAndSwap(true, false) {
			close(h.entered)
			return <-h.release
		}
		return nil
	})
	log, err := seglog.Open(disk, "queue",
		seglog.Options{SegmentBytes: 1 << 20, MinFreeBytes: 1, CommitTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	h.Log = log
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := log.Account(destination); err != nil {
		t.Fatal(err)
	}
	return h
}

func testHangingDisk(t *testing.T, f front, kind faultfs.Kind, end error) {
	h := openHangingLog(t, kind)
	b := openBox(t, intake.Options{})
	b.accept = ingest.New(h.Log, ingest.Options{})
	b.public = intake.New(intake.Options{Acceptor: b.accept, Sources: b.sources})
	f.limits.AcceptTimeout = time.Second
	server := f.serve(t, b, 0, 0)

	var mu sync.Mutex
	told := map[string]string{} // what was told of each body
	send := func(body string) string {
		response, err := http.Post("http://"+server.addr+"/app", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return ""
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		what := "refused"
		switch {
		case err != nil:
			t.Error(err)
		case response.StatusCode == http.StatusAccepted:
			what = "accepted"
		case response.StatusCode != http.StatusServiceUnavailable ||
			response.Header.Get("Retry-After") == "":
			t.Errorf("%d %v %s", response.StatusCode, response.Header, text)
		case strings.Contains(string(text), "is not known"):
			what = "unknown"
		}
		mu.Lock()
		defer mu.Unlock()
		told[body] = what
		return what
	}
	if what := send("before"); what != "accepted" {
		t.Errorf("before: %s", what)
	}
	h.armed.Store(true)
	var clients sync.WaitGroup
	unknown := atomic.Int64{}
	for i := range 10 {
		clients.Go(func() {
			if send(fmt.Sprintf("%d %s", i, strings.Repeat("x", 90*i))) == "unknown" {
				unknown.Add(1)
			}
		})
	}
	<-h.entered
	clients.Wait() // the disk hangs until they are all answered
	if unknown.Load() == 0 {
		t.Error("nobody was told that the outcome is not known")
	}
	if what := send("meanwhile"); what != "refused" || h.Stats().Problem == "" {
		t.Errorf("meanwhile: %s, and the queue says %q", what, h.Stats().Problem)
	}
	h.release <- end
	for deadline := time.Now().Add(30 * time.Second); send("after") != "accepted"; time.Sleep(
		time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is accepted any more")
		}
	}
	server.stop()
	stored := map[string]bool{}
	err := h.Scan(context.Background(), destination,
		func(event *pillarbox.Event, _ pillarbox.Standing) error {
			body := string(event.Body)
			if what := told[body]; stored[body] || what != "accepted" && what != "unknown" {
				t.Errorf("%.20q is stored, and was told as %q (there already: %t)", body, what, stored[body])
			}
			stored[body] = true
			return nil
		})
	if err != nil {
		t.Error(err)
	}
	for body, what := range told {
		if what == "accepted" && !stored[body] {
			t.Errorf("%.20q was acknowledged, and is not stored", body)
		}
	}
}
