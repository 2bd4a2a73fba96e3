package console_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/console"
	"pillarbox/internal/ledger"
)

// TestTraceIsInOrderOfTime, across destinations, with what is so now at its end.
func TestTraceIsInOrderOfTime(t *testing.T) {
	at := func(n int) *pillarbox.Timestamp { stamp := pillarbox.Timestamp(n); return &stamp }
	story := &adminapi.Trace{State: pillarbox.StatePending}
	story.Event = &pillarbox.Event{Timestamp: 1, RequestID: "id", Source: "app"}
	story.Deliveries = []ledger.Delivery{
		{Destination: "late", State: pillarbox.StatePending,
			Attempts: []pillarbox.Attempt{{At: 6, Class: "refused"}}},
		{Destination: "mended", State: pillarbox.StateStored,
			Attempts: []pillarbox.Attempt{{At: 2, Class: "refused"}, {At: 4, Class: "refused"}},
			DeadAt:   at(3), Resolved: &pillarbox.Resolution{At: 7,
				How: pillarbox.ResolvedReplayed}, StoredAt: at(5)},
	}
	var out strings.Builder
	if err := console.WriteTrace(&out, story, console.Form{Kind: console.CSV}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n")[1:] {
		fields := strings.Split(line, ",")
		got = append(got, fields[1]+" "+fields[2])
	}
	want := []string{"accepted app", "attempt 1 refused mended", "dead letter mended",
		"attempt 2 refused mended", "stored mended", "attempt 1 refused late", "replayed mended", "pending late"}
	if !slices.Equal(got, want) {
		t.Errorf("told as\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestTextOfClientsCantMoveTheCursor in a table, wherever that is written to.
func TestTextOfClientsCantMoveTheCursor(t *testing.T) {
	var out bytes.Buffer
	table := console.Rows{Head: []string{"body"}}
	table.Add("a\x1b[2J\r\nb\x00\u202e")
	if err := table.Write(&out, console.Form{Kind: console.Table}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\r\x00\u202e") ||
		strings.Count(out.String(), "\n") != 2 {
		t.Errorf("the table is %q", out.String())
	}
}
