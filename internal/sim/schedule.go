package sim

import (
	"sort"
	"time"
)

// condition is what the destination is like for a while.
type condition int

const (
	fair      condition = iota // a write in fifty goes wrong
	outage                     // nothing gets through
	flapping                   // up and down every few seconds
	throttled                  // asks for patience most of the time
	slow                       // writes take seconds, some longer than anybody waits
	storm                      // every second write goes wrong, each in its own way
)

var conditions = [...]string{fair: "fair", outage: "outage", flapping: "flapping",
	throttled: "throttled", slow: "slow", storm: "storm"}

// period is a time of one condition.
type period struct {
	until     time.Duration // since the start of the world
	condition condition
}

// longestOutage is the longest time that a destination is down.
const longestOutage = 72 * time.Hour

// drawSchedule draws what the destination is like until the horizon, behind which it is fair.
func drawSchedule(d *rng, horizon time.Duration, t *tally) []period {
	var schedule []period
	at := time.Duration(0)
	for at < horizon {
		at += d.about(14 * time.Hour)
		schedule = append(schedule, period{until: at, condition: fair})
		bad := condition(1 + d.below(5))
		length := d.about(30 * time.Minute)
		if bad == outage && d.happens(0.25) {
			length = longestOutage/6 + d.upTo(longestOutage*5/6)
			if at+length < horizon {
				t.add("outage of 12 to 72 hours")
			}
		}
		at += length
		schedule = append(schedule, period{until: min(at, horizon), condition: bad})
		t.add("destination: " + conditions[bad])
	}
	return schedule
}

func conditionAt(schedule []period, elapsed time.Duration) condition {
	i := sort.Search(len(schedule), func(i int) bool { return schedule[i].until > elapsed })
	if i == len(schedule) {
		return fair
	}
	return schedule[i].condition
}
