package watch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/ledger"
)

// seen is a look at a server with one destination, whose last error is text of a client.
func seen(accepted uint64, after time.Duration) look {
	status := &adminapi.Status{Ready: true, Destinations: []adminapi.DestinationStatus{{
		Destination: "events", State: "down", DownSince: 1, LastError: "refused: \x1b[2J\u202etxt"}}}
	status.Queue.Accepted = accepted
	return look{at: time.Unix(1_800_000_000, 0).Add(after), status: status, totals: &ledger.Totals{Accepted: accepted,
		Destinations: []ledger.Entry{{Destination: "events", Accepted: accepted, Stored: accepted - 1, Dead: 1, Balanced: true}}}}
}

func newTest(looks ...look) *model {
	m := newModel(context.Background(), Options{Every: time.Second})
	for _, one := range looks {
		m.Update(one)
	}
	return m
}

func press(m *model, keys ...rune) (last tea.Cmd) {
	for _, key := range keys {
		_, last = m.Update(tea.KeyPressMsg{Code: key, Text: string(key)})
	}
	return last
}

func TestWhatIsShown(t *testing.T) {
	m := newTest(seen(100, 0), seen(150, 2*time.Second))
	text := m.View().Content
	for _, part := range []string{"25.0/s accepted", "150 accepted = ", "149 stored", "1 dead", "25.0/s stored", "adds up", "down since 1970"} {
		if !strings.Contains(text, part) {
			t.Errorf("there is no %q in\n%s", part, text)
		}
	}
	if strings.Contains(text, "\x1b[2J") || strings.Contains(text, "\u202e") {
		t.Errorf("text of a client moves the cursor:\n%q", text)
	}
	m.last.totals.Destinations[0].Balanced = false
	if text := m.View().Content; !strings.Contains(text, "does not add up") || strings.Contains(text, "  adds up") {
		t.Errorf("an account that does not balance is shown as\n%s", text)
	}
}

// A server that is away is said to be, and what was seen before stays.
func TestAServerThatIsAway(t *testing.T) {
	m := newTest(look{at: time.Unix(1, 0), err: errors.New("connection refused")})
	if text := m.View().Content; !strings.Contains(text, "no answer at ") || !strings.Contains(text, "connection refused") {
		t.Errorf("it is shown as\n%s", text)
	}
	m = newTest(seen(7, 0), look{at: time.Unix(1_800_000_009, 0), err: errors.New("connection refused")})
	if text := m.View().Content; !strings.Contains(text, "; this was so at 2027") || !strings.Contains(text, "7 accepted") {
		t.Errorf("it is shown as\n%s", text)
	}
	if m.Update(seen(8, time.Minute)); !strings.Contains(m.View().Content, "8 accepted") {
		t.Error("it is not shown when it is back")
	}
}

func TestKeys(t *testing.T) {
	m := newTest(seen(7, 0))
	press(m, ' ')
	if m.Update(seen(8, time.Second)); strings.Contains(m.View().Content, "8 accepted") {
		t.Error("what is held goes on")
	}
	press(m, ' ')
	if m.Update(seen(9, time.Second)); !strings.Contains(m.View().Content, "9 accepted") {
		t.Error("it does not go on again")
	}
	command := press(m, 'q')
	if command == nil || command() != tea.Quit() {
		t.Error("q does not end it")
	}
}

// A small terminal shows what fits, and the rest by scrolling, to its end and no further.
func TestScrolling(t *testing.T) {
	m := newTest(seen(7, 0))
	all := strings.Count(m.text(), "\n")
	m.Update(tea.WindowSizeMsg{Width: 30, Height: 6})
	first := m.View().Content
	for range 2 * all {
		press(m, 'j')
	}
	last := m.View().Content
	if first == last || strings.Count(first, "\n") != 5 || strings.Count(last, "\n") != 5 || !strings.Contains(last, "down since") {
		t.Errorf("the first screen is\n%s\nand the last\n%s", first, last)
	}
	if press(m, 'g'); m.View().Content != first {
		t.Error("home does not lead to the beginning")
	}
}

func TestProportions(t *testing.T) {
	for name, test := range map[string]struct {
		entry ledger.Entry
		want  [4]int
	}{
		"nothing":             {ledger.Entry{}, [4]int{}},
		"everything is there": {ledger.Entry{Stored: 3}, [4]int{40, 0, 0, 0}},
		"one among millions":  {ledger.Entry{Stored: 5_000_000, Dead: 1}, [4]int{39, 0, 0, 1}},
		"halves":              {ledger.Entry{Stored: 5, Pending: 5}, [4]int{20, 0, 20, 0}},
		"a few of each":       {ledger.Entry{Stored: 1, Skipped: 1, Pending: 1, Dead: 1}, [4]int{10, 10, 10, 10}},
	} {
		if got := proportions(&test.entry, 40); [4]int(got) != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
