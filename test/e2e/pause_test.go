package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
)

// TestAPauseOutlivesAKill: while a destination is paused, events are accepted and pending, receipts say
// so at once, dead letters are not replayed to it, and all that holds after a kill -9 until somebody
// resumes.
func TestAPauseOutlivesAKill(t *testing.T) {
	data := t.TempDir()
	s := harness.Start(t, data)
	accept(t, s.Public+"/app", "text/plain", []byte("before"))
	s.WaitUntil("the first event is stored", drained)
	run := func(want int, args ...string) string {
		t.Helper()
		out, talk, code := harness.Run(t, append(args, "--server", s.Admin)...)
		if code != want {
			t.Errorf("%v: exit %d, want %d\n%s%s", args, code, want, out, talk)
		}
		return out + talk
	}
	run(1, "pause", "nothing-like-it")
	if talk := run(0, "pause", "events", "--reason", "migration"); !strings.Contains(talk, "pillarbox resume events") {
		t.Errorf("pause: %s", talk)
	}
	for range 20 {
		accept(t, s.Public+"/app", "text/plain", []byte("meanwhile"))
	}
	paused := func() {
		t.Helper()
		time.Sleep(1500 * time.Millisecond) // longer than a batch waits, and than a loop looks
		var status adminapi.Status
		s.Get("/api/v1/status", &status)
		d := status.Destinations[0]
		if d.State != "paused" || d.PauseReason != "migration" || d.PausedBy == "" || d.PausedSince == 0 || d.DownSince != 0 || d.Pending != 20 {
			t.Errorf("status %+v", d)
		}
		if out := run(0, "status"); !strings.Contains(out, "destination events is paused since") || !strings.Contains(out, "migration") {
			t.Errorf("status: %s", out)
		}
		if out := run(1, "dead", "replay", "--all"); !strings.Contains(out, "is paused since") {
			t.Errorf("replay: %s", out)
		}
	}
	paused()
	s.Kill()
	s = harness.Start(t, data)
	paused()
	request, err := http.NewRequest("POST", s.Public+"/app", strings.NewReader("waits"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Prefer", "wait=1")
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != http.StatusAccepted {
		t.Errorf("Prefer: wait: %v, %v", response, err)
	}
	_ = response.Body.Close()
	run(0, "resume", "events")
	s.WaitUntil("all is stored", func(e ledger.Entry) bool { return e.Stored == 22 && e.Pending == 0 && e.Balanced })
	run(0, "audit")
	if out := run(0, "audit", "--trail"); !strings.Contains(out, "destination.pause") || !strings.Contains(out, "destination.resume") {
		t.Errorf("the trail does not have it: %s", out)
	}
}
