package dashboard

import (
	"testing"
	"time"

	"pillarbox"
)

func TestBarsAddUp(t *testing.T) {
	for _, counts := range [][]part{
		{{Kind: "stored", Count: 1_000_000}, {Kind: "dead", Count: 1}, {Kind: "pending", Count: 0}},
		{{Kind: "stored", Count: 1}}, {}, {{Kind: "stored", Count: 0}},
		{{Kind: "stored", Count: 3}, {Kind: "dead", Count: 3}, {Kind: "skipped", Count: 3}},
	} {
		x := 0
		for _, p := range bar(counts...) {
			if p.X != x || p.W < barWidth/100 || p.Count == 0 {
				t.Errorf("%+v: part %+v", counts, p)
			}
			x += p.W
		}
		if x != 0 && x != barWidth {
			t.Errorf("%+v: the bar is %d wide", counts, x)
		}
	}
}

func TestWordsOfADestination(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 12, 0, 0, time.UTC)
	at := func(ago time.Duration) pillarbox.Timestamp { return pillarbox.TimestampOf(now.Add(-ago)) }
	for _, c := range []struct {
		d    destination
		want string
	}{
		{destination{State: "down", DownSince: at(10 * time.Minute), NextProbe: at(-12 * time.Second), LastError: "connection refused"},
			"down since 14:02:00 UTC, next look in 12 s: connection refused"},
		{destination{State: "paused", PausedSince: at(25 * time.Hour), PausedBy: "ops", PauseReason: "upgrade"}, "paused since 2026-11-22 13:12 UTC by ops: upgrade"},
		{destination{State: "delivering"}, "delivering"},
		{destination{State: "delivering", OldestPending: at(90 * time.Minute)}, "delivering, the oldest event waits for 1 h 30 min"},
		{destination{}, "not in the configuration any more"},
	} {
		if got := words(&c.d, now); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestNumbersAreReadable(t *testing.T) {
	if got := count(uint64(1234567)); got != "1\u202f234\u202f567" {
		t.Errorf("%q", got)
	}
	if got := bytesOf(3 << 29); got != "1.5 GiB" {
		t.Errorf("%q", got)
	}
	if got := shown("a\u202eb\x00c\nd\ufeff"); got != `a\u202eb\x00c`+"\n"+`d\ufeff` {
		t.Errorf("%q", got)
	}
}

// A canary that is not well needs a person, first of all; one that is well, or that nobody sends, does
// not.
func TestACanaryThatIsNotWellNeedsAPerson(t *testing.T) {
	s := &status{Ready: true}
	if all := needs(s, nil); len(all) != 0 {
		t.Errorf("without a canary: %+v", all)
	}
	s.Canary = &struct {
		OK   bool   `json:"ok"`
		Text string `json:"text"`
	}{OK: true, Text: "it is back"}
	if all := needs(s, nil); len(all) != 0 {
		t.Errorf("it is well: %+v", all)
	}
	s.Canary.OK, s.Canary.Text = false, "lost at events"
	if all := needs(s, nil); len(all) != 1 || !all[0].Severe || all[0].What != "The canary is not well: lost at events" {
		t.Errorf("it is lost: %+v", all)
	}
}
