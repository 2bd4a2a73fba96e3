package alert_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/internal/alert"
	"pillarbox/internal/vfs/faultfs"
)

// TestRandomDays lets chance decide what breaks, which receiver is down or hangs, when the server is
// killed, and what a power cut leaves of the disk. In the end all is well, and then nobody may be left
// with an alert that he takes to be firing. PILLARBOX_TEST_SEED runs one of them again.
func TestRandomDays(t *testing.T) {
	first, days := rand.Uint64(), 8
	if text := os.Getenv("PILLARBOX_TEST_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, days = seed, 1
	}
	kills, messages := 0, 0
	for i := range days {
		seed := first + uint64(i)
		synctest.Test(t, func(t *testing.T) {
			k, m := randomDay(t, seed)
			kills, messages = kills+k, messages+m
		})
		if t.Failed() {
			t.Fatalf("the seed is %d", seed)
		}
	}
	t.Logf("%d kills and %d items of messages in %d days from seed %d", kills, messages, days, first)
	if os.Getenv("PILLARBOX_TEST_SEED") == "" && (kills < days || messages < 10*days) {
		t.Errorf("the days are too quiet: %d kills and %d items of messages", kills, messages)
	}
}

// day is one that chance makes.
type day struct {
	*world
	rng   *rand.Rand
	boxes []*inbox
	kills int
}

// breakable are what chance breaks, and the value that is well.
var breakable = map[string]float64{accepting: 1, downEvents: 0, downOther: 0, pauseEvents: 0,
	"pillarbox_ledger_balanced{destination=events}": 1, "pillarbox_queue_held_events{destination=other}": 0}

func randomDay(t *testing.T, seed uint64) (kills, messages int) {
	rng := rand.New(rand.NewPCG(seed, 0))
	boxes := []*inbox{all("a"), {name: "pager", wants: []alert.Severity{alert.High}, single: true}, all("c")}
	d := &day{world: newWorld(t, boxes...), rng: rng, boxes: boxes}
	if rng.IntN(2) == 0 {
		d.opts.Quiet = alert.Quiet{From: 60 * rng.IntN(24), To: 60 * rng.IntN(24)}
	}
	d.start()
	for range 60 {
		d.happen()
		d.pass(time.Duration(rng.ExpFloat64() * float64(20*time.Minute)))
	}
	for series, well := range breakable {
		d.set(series, well)
	}
	for _, box := range boxes {
		box.set(nil, false)
	}
	d.pass(26 * time.Hour) // past any quiet hours
	d.end()
	for _, box := range boxes {
		messages += box.left(t)
	}
	return d.kills, messages
}

// happen is one thing that goes wrong, or is well again.
func (d *day) happen() {
	switch d.rng.IntN(10) {
	case 0:
		modes := []faultfs.Mode{faultfs.Dropped, faultfs.Kept, faultfs.Prefix, faultfs.Torn, faultfs.Zeros, faultfs.Garbage}
		d.cut(d.rng, modes[d.rng.IntN(len(modes))])
		d.kills++
		d.pass(time.Duration(d.rng.ExpFloat64() * float64(10*time.Minute)))
		d.start()
	case 1, 2:
		box := d.boxes[d.rng.IntN(len(d.boxes))]
		box.set([]error{nil, errors.New("no route")}[d.rng.IntN(2)], d.rng.IntN(4) == 0)
	default:
		for _, series := range slices.Sorted(maps.Keys(breakable)) {
			well := breakable[series]
			if d.rng.IntN(3) == 0 {
				d.set(series, []float64{well, 1 - well}[d.rng.IntN(2)])
			}
		}
	}
}

// left sees that of each alert that was told the end was told last, and returns how many items there
// were.
func (i *inbox) left(t *testing.T) (items int) {
	last := map[string]string{}
	for _, m := range i.got {
		for _, item := range m.Items {
			items++
			last[item.Key] = item.Event
		}
	}
	for key, event := range last {
		if event != alert.EventResolved {
			t.Errorf("%s takes %s to be %s", i.name, key, event)
		}
	}
	return items
}
