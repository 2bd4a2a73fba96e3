package e2e_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/backfill"
	"pillarbox/internal/ledger"
	"pillarbox/internal/replay"
	"pillarbox/test/harness"
)

const backfilled = 3000

// ledgerOf waits until a destination has so many stored events, and returns its account.
func ledgerOf(t *testing.T, s *harness.Server, name string, is func(ledger.Entry) bool) (found ledger.Entry) {
	t.Helper()
	until(t, "the account of "+name, func() bool {
		var totals ledger.Totals
		s.Get("/api/v1/ledger", &totals)
		for _, e := range totals.Destinations {
			if e.Accepted != e.Stored+e.Dead+e.Skipped+e.Pending+e.Damaged {
				t.Errorf("the account is no equation: %+v", e)
			}
			if e.Destination == name {
				found = e
			}
		}
		return is(found)
	})
	return found
}

// TestBackfillOutlivesAKill: a new destination gets what was accepted before it, and another is given it
// by a person, over a kill in the middle; the account is an equation whenever it is asked for, and
// each event is there once.
func TestBackfillOutlivesAKill(t *testing.T) {
	const before = "sources: { app: {} }\ndestinations:\n  events: { url: \"sqlite:\", sources: [app] }\n"
	data := t.TempDir()
	s := harness.Start(t, data, "--config", configured(t, before))
	if out, talk, code := harness.Run(t, "post", s.Public+"/app", "-n", fmt.Sprint(backfilled), "--body", `{"type":"a"}`); code != 0 {
		t.Fatalf("post: %s%s", out, talk)
	}
	s.WaitUntil("all is stored", drained)
	s.Stop()
	after := configured(t, before+"  late: { url: \"sqlite:late.db\", sources: [app], from: beginning }\n  asked: { url: \"sqlite:asked.db\", sources: [app], where: 'json.type == \"a\"' }\n")
	s = harness.Start(t, data, "--config", after)
	s.Kill() // whenever that is
	s = harness.Start(t, data, "--config", after)
	ledgerOf(t, s, "late", func(e ledger.Entry) bool { return e.Stored == backfilled && e.Skipped == 0 })
	if e := ledgerOf(t, s, "asked", func(ledger.Entry) bool { return true }); e.SkippedBy.Before != backfilled {
		t.Errorf("what nobody has asked for: %+v", e)
	}

	run := func(want int, args ...string) string {
		t.Helper()
		out, talk, code := harness.Run(t, append(args, "--server", s.Admin)...)
		if code != want {
			t.Errorf("%v: exit %d, want %d\n%s%s", args, code, want, out, talk)
		}
		return out + talk
	}
	if out := run(0, "backfill", "asked", "--dry-run"); !strings.Contains(out, fmt.Sprintf("%d events would be given", backfilled)) {
		t.Errorf("dry run: %s", out)
	}
	run(2, "backfill")
	run(1, "backfill", "nowhere")
	run(0, "backfill", "asked", "--rate", "1000", "--detach")
	if out := run(1, "backfill", "asked"); !strings.Contains(out, "is running") {
		t.Errorf("a second one: %s", out)
	}
	ledgerOf(t, s, "asked", func(e ledger.Entry) bool { return e.Stored > 0 })
	s.Kill()
	s = harness.Start(t, data, "--config", after)
	ledgerOf(t, s, "asked", func(e ledger.Entry) bool { return e.Stored == backfilled && e.Skipped == 0 })
	until(t, "the back-fill is done", func() bool {
		var list adminapi.BackfillList
		s.Get(adminapi.BackfillsPath, &list)
		return len(list.Backfills) == 2 && list.Backfills[0].State == backfill.StateDone && list.Backfills[1].State == backfill.StateDone
	})
	run(0, "audit")
}

// TestReplayOutlivesAKill: a replay that a kill has cut off goes on by itself.
func TestReplayOutlivesAKill(t *testing.T) {
	data := t.TempDir()
	refusing := configured(t, "sources: { app: {} }\ndestinations:\n  events: { url: \"sqlite:\", sources: [app], where: 'json.type == \"a\"', where_on_error: dead_letter }\n")
	s := harness.Start(t, data, "--config", refusing)
	const letters = 500
	if out, talk, code := harness.Run(t, "post", s.Public+"/app", "-n", fmt.Sprint(letters), "--body", "no JSON"); code != 0 {
		t.Fatalf("post: %s%s", out, talk)
	}
	ledgerOf(t, s, "events", func(e ledger.Entry) bool { return e.Dead == letters })
	progress := func() (p replay.Progress) {
		var list adminapi.ReplayList
		s.Get("/api/v1/replays", &list)
		if len(list.Replays) > 0 {
			p = list.Replays[0]
		}
		return p
	}
	body, err := json.Marshal(adminapi.ReplayRequest{Destination: "events", Rate: 100})
	if err != nil {
		t.Fatal(err)
	}
	accept(t, s.Admin+"/api/v1/replays", "application/json", body)
	until(t, "some are replayed", func() bool { return progress().Replayed > 0 })
	s.Kill()
	s = harness.Start(t, data, "--config", refusing)
	until(t, "the replay has ended", func() bool { p := progress(); return p.State == replay.StateDone && p.Replayed <= letters })
	e := ledgerOf(t, s, "events", func(e ledger.Entry) bool { return e.Dead == 0 })
	if e.Stored != letters {
		t.Errorf("ledger %+v", e)
	}
}

// TestACopyOutOfAStoreOutlivesAKill: what the queue has forgotten comes out of the store of another
// destination, by itself for one that is new, over kills, each event once and counted once.
func TestACopyOutOfAStoreOutlivesAKill(t *testing.T) {
	const before = "queue: { keep_bytes: 0, segment_bytes: 64KiB }\nsources: { app: {} }\ndestinations:\n  events: { url: \"sqlite:\", sources: [app] }\n"
	data := t.TempDir()
	s := harness.Start(t, data, "--config", configured(t, before))
	if out, talk, code := harness.Run(t, "post", s.Public+"/app", "-n", fmt.Sprint(backfilled), "--body", `{"type":"a"}`); code != 0 {
		t.Fatalf("post: %s%s", out, talk)
	}
	s.WaitUntil("all is stored", drained)
	until(t, "the queue has forgotten most", func() bool {
		segments, err := filepath.Glob(filepath.Join(data, "queue", "*.seg"))
		return err == nil && len(segments) > 0 && len(segments) <= 2
	})
	s.Stop()
	after := configured(t, before+"  asked: { url: \"sqlite:asked.db\", sources: [app] }\n  late: { url: \"sqlite:late.db\", sources: [app], from: beginning, from_store: events }\n")
	s = harness.Start(t, data, "--config", after)
	s.Kill() // whenever that is
	s = harness.Start(t, data, "--config", after)
	ledgerOf(t, s, "late", func(e ledger.Entry) bool { return e.Stored == backfilled && e.Skipped == 0 })

	out, talk, code := harness.Run(t, "backfill", "asked", "--dry-run", "--server", s.Admin)
	if want := fmt.Sprintf("%d events would be given", backfilled); code != 0 || strings.Contains(out, want) {
		t.Errorf("the queue alone: exit %d, %s%s", code, out, talk)
	}
	for args, want := range map[string]string{"asked": "its own store", "nowhere": "no destination"} {
		if out, talk, code := harness.Run(t, "backfill", "asked", "--from", args, "--server", s.Admin); code == 0 || !strings.Contains(talk, want) {
			t.Errorf("from %s: exit %d, %s%s", args, code, out, talk)
		}
	}
	if out, talk, code := harness.Run(t, "backfill", "asked", "--from", "events", "--rate", "1000", "--detach", "--server", s.Admin); code != 0 {
		t.Errorf("exit %d, %s%s", code, out, talk)
	}
	ledgerOf(t, s, "asked", func(e ledger.Entry) bool { return e.Stored > 100 })
	s.Kill()
	s = harness.Start(t, data, "--config", after)
	ledgerOf(t, s, "asked", func(e ledger.Entry) bool { return e.Stored == backfilled && e.Skipped == 0 && e.Pending == 0 })
	var list adminapi.BackfillList
	until(t, "both are done", func() bool {
		s.Get(adminapi.BackfillsPath, &list)
		return len(list.Backfills) == 2 && list.Backfills[0].State == backfill.StateDone && list.Backfills[1].State == backfill.StateDone
	})
	for _, done := range list.Backfills {
		// What was taken just before a kill is on the queue's record, and not in the progress.
		if done.Copied+done.Taken > backfilled || done.Uncounted != 0 || done.Copied == 0 {
			t.Errorf("%+v", done)
		}
	}
	if out, talk, code := harness.Run(t, "audit", "--server", s.Admin); code != 0 {
		t.Errorf("audit: exit %d, %s%s", code, out, talk)
	}
}
