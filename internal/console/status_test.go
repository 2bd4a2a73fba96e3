package console_test

import (
	"bytes"
	"strings"
	"testing"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/console"
)

func TestStatusLineTellsWhatIsNew(t *testing.T) {
	status := &adminapi.Status{Ready: true, Destinations: []adminapi.DestinationStatus{{Destination: "events", State: "down", Pending: 7, DeadLetters: 2}}}
	status.Queue.Accepted = 12
	var out bytes.Buffer
	console.WriteStatusLine(&out, status, &adminapi.Status{Queue: adminapi.QueueStatus{Accepted: 5}})
	for _, part := range []string{"ready accepted=12 (+7)", "events=down pending=7 dead=2"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q has no %q", out.String(), part)
		}
	}
	if strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%q is not one line", out.String())
	}
}

// TestStatusSaysHowTheCanaryFared in a line, without what moves a cursor.
func TestStatusSaysHowTheCanaryFared(t *testing.T) {
	var out bytes.Buffer
	status := &adminapi.Status{Ready: true, Canary: &adminapi.CanaryStatus{Text: "lost at events (\x1b[31m)"}}
	if err := console.WriteStatus(&out, status, console.Form{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "\ncanary: lost at events (") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%q", out.String())
	}
}
