package main

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
)

// TestEventsAreAskedForByWhatIsKnown of them, of a running server and of its directory, and CSV has
// all of it.
func TestEventsAreAskedForByWhatIsKnown(t *testing.T) {
	s := startServer(t, "")
	events := enginetest.Events(3, 1)
	events[0].Facts = &pillarbox.Facts{Caller: "shop", CEID: "1", CESource: "/s", CEType: "a.b", CETime: "now", CESubject: "x",
		Attributes: pillarbox.Attributes{{Name: "plan", Value: "a=b"}, {Name: "tenant", Value: "größe"}}}
	events[1].Facts = &pillarbox.Facts{Caller: "shop"}
	events[2].Facts = nil
	if err := s.engines.Sinks["events"].Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	cases := map[string][]int{
		"--caller shop": {0, 1}, "--ce-type a.b": {0}, "--ce-id 1 --ce-source /s --ce-subject x": {0}, "--ce-type a": {},
		"--attribute tenant=größe --attribute plan=a=b": {0}, "--attribute tenant=acme": {}, "": {0, 1, 2},
	}
	check := func(where ...string) {
		t.Helper()
		for flags, want := range cases {
			got := try(t, append(append([]string{"events", "--oldest", "-o", "csv"}, where...), strings.Fields(flags)...)...)
			rows, err := csv.NewReader(strings.NewReader(got.out)).ReadAll()
			if err != nil || got.err != nil || len(rows) == 0 {
				t.Fatalf("%s: %v, %v\n%s", flags, got.err, err, got.out)
			}
			for i, row := range rows[1:] {
				if len(rows)-1 != len(want) || row[1] != events[want[i]].RequestID {
					t.Errorf("%s: got\n%s", flags, got.out)
				}
			}
			if len(rows)-1 != len(want) {
				t.Errorf("%s: %d events, want %d", flags, len(rows)-1, len(want))
			}
			if flags == "--ce-type a.b" {
				at := slices.Index(rows[0], "caller")
				known := []string{"shop", "1", "/s", "a.b", "now", "x", "", `{"plan":"a=b","tenant":"größe"}`}
				if !slices.Equal(rows[1][at:], known) {
					t.Errorf("CSV has %q, want %q", rows[1][at:], known)
				}
			}
		}
	}
	check("--server", s.admin)
	for _, wrong := range []string{"tenant", "Tenant=x", "=x"} {
		if got := try(t, "events", "--attribute", wrong, "--server", s.admin); got.err == nil {
			t.Errorf("--attribute %s is taken", wrong)
		}
	}
}
