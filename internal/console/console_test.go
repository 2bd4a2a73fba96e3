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
	"pillarbox/internal/posting"
	"pillarbox/internal/purge"
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

// TestTraceOfAPurgedEventSaysThatItIsGone, unless another destination still has it.
func TestTraceOfAPurgedEventSaysThatItIsGone(t *testing.T) {
	at := pillarbox.Timestamp(2)
	story := &adminapi.Trace{State: pillarbox.StateStored}
	story.Event = &pillarbox.Event{Timestamp: 1, RequestID: "id", Source: "app"}
	story.Deliveries = []ledger.Delivery{
		{Destination: "events", State: pillarbox.StateStored, PurgedAt: &at},
		{Destination: "archive", State: ledger.StateSkipped},
	}
	check := func(want string) {
		t.Helper()
		var out strings.Builder
		if err := console.WriteTrace(&out, story, console.Form{Kind: console.Table}); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(out.String(), "\n\n"+want+"\n") {
			t.Errorf("no %q at the end of\n%s", want, out.String())
		}
	}
	check("the event was stored, and is purged")
	story.Deliveries[1] = ledger.Delivery{Destination: "archive", State: pillarbox.StateStored,
		StoredAt: &at}
	check("the event is stored")
}

// TestTraceTellsWhatIsKnown of an event beside its request.
func TestTraceTellsWhatIsKnown(t *testing.T) {
	story := &adminapi.Trace{State: pillarbox.StateStored}
	story.Event = &pillarbox.Event{Timestamp: 1, RequestID: "id", Source: "app", RemoteAddr: "203.0.113.7", Facts: &pillarbox.Facts{
		Caller: "shop", CEType: "a.b", Attributes: pillarbox.Attributes{{Name: "tenant", Value: "ac\x1bme"}}}}
	var out strings.Builder
	if err := console.WriteTrace(&out, story, console.Form{Kind: console.Table}); err != nil {
		t.Fatal(err)
	}
	if want := "from 203.0.113.7; caller shop, ce_type a.b, tenant ac"; !strings.Contains(out.String(), want) ||
		strings.Contains(out.String(), "\x1b") {
		t.Errorf("no %q in\n%q", want, out.String())
	}
}

// TestATableOfEventsTellsWhatIsKnown, with columns for what is known of one of them at least.
func TestATableOfEventsTellsWhatIsKnown(t *testing.T) {
	plain := &pillarbox.Event{Timestamp: 1, RequestID: "id", Source: "app", Method: "POST", ContentType: "a/b", Body: []byte("x")}
	known := &pillarbox.Event{Timestamp: 2, RequestID: "id", Source: "app", Method: "POST", ContentType: "a/b", Body: []byte("x"),
		Facts: &pillarbox.Facts{Caller: "shop", Attributes: pillarbox.Attributes{{Name: "plan", Value: "free"}, {Name: "tenant", Value: "acme"}}}}
	table := func(events ...*pillarbox.Event) string {
		var out strings.Builder
		list := console.NewEvents(&out, console.Form{Kind: console.Table})
		for _, event := range events {
			if err := list.AddEvent(event); err != nil {
				t.Fatal(err)
			}
		}
		if err := list.End(); err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(out.String()), " ")
	}
	if got, want := table(plain), "TIMESTAMP REQUEST_ID SOURCE METHOD CONTENT_TYPE BYTES BODY 1970-01-01T00:00:00.000001Z id app POST a/b 1 x"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := table(plain, known), "SOURCE CALLER ATTRIBUTES METHOD"; !strings.Contains(got, want) ||
		!strings.Contains(got, "id app shop plan=free tenant=acme POST a/b") {
		t.Errorf("no %s in %s", want, got)
	}
}

// TestAuditEndsWithWhatIsWrong: the sentences stand behind the names, which may be a thousand, and
// a lost receipt does not make a balance in the table look like a contradiction.
func TestAuditEndsWithWhatIsWrong(t *testing.T) {
	entry := ledger.AuditEntry{Entry: ledger.Entry{Destination: "events"},
		Missing:  []ledger.Missing{{RequestID: "id", Timestamp: 1, Why: "gone"}},
		Problems: []string{"1 events are neither stored nor dead nor pending"}}
	check := func(audit *console.AuditResult, want string) {
		t.Helper()
		var out strings.Builder
		err := console.WriteAudit(&out, &out, audit, console.Form{Kind: console.Table})
		if err != nil || !strings.HasSuffix(out.String(), want) {
			t.Errorf("%v; no %q at the end of\n%s", err, want, out.String())
		}
	}
	check(&console.AuditResult{Audit: &ledger.Audit{Destinations: []ledger.AuditEntry{entry}}},
		": gone\nevents: 1 events are neither stored nor dead nor pending\nNOT balanced\n")
	entry.Balanced, entry.Missing, entry.Problems = true, nil, nil
	audit := &console.AuditResult{
		Audit: &ledger.Audit{Balanced: true, Destinations: []ledger.AuditEntry{entry}}}
	audit.Compared(&posting.Comparison{ReceiptCheck: ledger.ReceiptCheck{Checked: 2, Lost: 1}})
	check(audit, "\nNOT balanced: the ledger is, "+
		"but 1 of the receipts are of events that are nowhere\n")
}

// TestPurgeOfOneSourceNamesIt, before and after.
func TestPurgeOfOneSourceNamesIt(t *testing.T) {
	for _, dry := range []bool{true, false} {
		for source, want := range map[string]string{"": "3 events of archive from before ",
			"debug": "3 events of archive, of the source debug, from before "} {
			var out strings.Builder
			err := console.WritePurge(&out, &purge.Progress{Destination: "archive", Source: source,
				Matched: 3, Purged: 3, DryRun: dry}, console.Form{Kind: console.Table})
			if err != nil || !strings.Contains(out.String(), want) {
				t.Errorf("%v; no %q in %q", err, want, out.String())
			}
		}
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
