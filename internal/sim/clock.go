package sim

import (
	"sort"
	"time"
	"unsafe"
)

// wallClock is the clock of the machine, which somebody sets now and then. As with the real one,
// only the date jumps: durations between two readings in one life are right whatever happens.
type wallClock struct {
	start time.Time
	steps []clockStep
}

// clockStep sets the date off by so much, from an instant on.
type clockStep struct {
	at  time.Duration // since the start
	off time.Duration
}

func (c *wallClock) Now() time.Time {
	now := time.Now()
	elapsed := now.Sub(c.start)
	i := sort.Search(len(c.steps), func(i int) bool { return c.steps[i].at > elapsed })
	if i > 0 {
		now = now.Add(c.steps[i-1].off)
	}
	return withMonotonic(now, elapsed)
}

// withMonotonic returns a reading of a clock that shows this date, as much time after the start.
// Outside of a bubble every reading has both; inside, the package time leaves the second out, and
// then the durations between readings would follow the date. No function of package time makes such
// a reading, so this takes the layout of time.Time, and TestClock sees to it that it is right.
func withMonotonic(date time.Time, elapsed time.Duration) time.Time {
	const (
		hasMonotonic = 1 << 63
		year1885     = -2682288000 // the first second that such a reading can have, since 1970
		nsecBits     = 30
	)
	reading := struct {
		wall uint64
		ext  int64
		loc  *time.Location
	}{
		wall: hasMonotonic | uint64(date.Unix()-year1885)<<nsecBits | uint64(date.Nanosecond()),
		ext:  int64(elapsed) + 1,
	}
	return *(*time.Time)(unsafe.Pointer(&reading))
}

const year = 365 * 24 * time.Hour

// clockSteps draws how the clock is set until the horizon, from which on it is right.
func clockSteps(d *rng, start time.Time, horizon time.Duration, t *tally) []clockStep {
	var steps []clockStep
	for at := d.about(60 * time.Hour); at < horizon; at += d.about(60 * time.Hour) {
		off := time.Duration(0)
		switch d.below(6) {
		case 4:
			// Right again before anybody should have believed it.
			t.add("clock 15 days ahead for seconds")
			steps = append(steps, clockStep{at: at, off: 15 * 24 * time.Hour})
			at += time.Second + d.upTo(30*time.Second)
		case 0:
			off = -time.Hour
			t.add("clock an hour back")
		case 1:
			off = time.Hour
			t.add("clock an hour ahead")
		case 2:
			off = 10 * year
			t.add("clock ten years ahead")
		case 3:
			off = time.Unix(0, 0).Sub(start.Add(at))
			t.add("clock in 1970")
		}
		steps = append(steps, clockStep{at: at, off: off})
	}
	return append(steps, clockStep{at: horizon})
}
