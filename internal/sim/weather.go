package sim

import (
	"sort"
	"time"
)

// sky is what the destination is like for a while.
type sky int

const (
	fair      sky = iota // a write in fifty goes wrong
	outage               // nothing gets through
	flapping             // up and down every few seconds
	throttled            // asks for patience most of the time
	slow                 // writes take seconds, some longer than anybody waits
	storm                // every second write goes wrong, each in its own way
)

var skies = [...]string{fair: "fair", outage: "outage", flapping: "flapping", throttled: "throttled", slow: "slow", storm: "storm"}

// spell is a time under one sky.
type spell struct {
	until time.Duration // since the start of the world
	sky   sky
}

// longestOutage is the longest time that a destination is down.
const longestOutage = 72 * time.Hour

// forecast draws the weather until the horizon, behind which it is fair.
func forecast(d *dice, horizon time.Duration, t *tally) []spell {
	var spells []spell
	at := time.Duration(0)
	for at < horizon {
		at += d.about(14 * time.Hour)
		spells = append(spells, spell{until: at, sky: fair})
		bad := sky(1 + d.below(5))
		length := d.about(30 * time.Minute)
		if bad == outage && d.happens(0.25) {
			length = longestOutage/6 + d.upTo(longestOutage*5/6)
			if at+length < horizon {
				t.add("outage of 12 to 72 hours")
			}
		}
		at += length
		spells = append(spells, spell{until: min(at, horizon), sky: bad})
		t.add("spell: " + skies[bad])
	}
	return spells
}

func skyAt(spells []spell, elapsed time.Duration) sky {
	i := sort.Search(len(spells), func(i int) bool { return spells[i].until > elapsed })
	if i == len(spells) {
		return fair
	}
	return spells[i].sky
}
