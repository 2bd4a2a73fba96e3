package clock_test

import (
	"errors"
	"testing"
	"time"

	"pillarbox/internal/clock"
	"pillarbox/internal/vfs/faultfs"
)

// machine is a computer whose date somebody sets.
type machine struct {
	disk  *faultfs.FS
	wall  time.Time
	mono  time.Duration
	boot  time.Duration
	id    string
	steps []clock.Step
}

func newMachine() *machine {
	return &machine{disk: faultfs.New(faultfs.Options{}), wall: noon, boot: time.Hour, id: "first"}
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func (m *machine) start() *clock.Clock {
	m.mono = 0
	return clock.Open(m.disk, "clock.json", clock.Options{
		Read: func() clock.Reading {
			return clock.Reading{Wall: m.wall, Mono: m.mono, Boot: m.boot,
				ID: m.id}
		},
		OnStep: func(s clock.Step) { m.steps = append(m.steps, s) },
	})
}

// pass lets time go by, and has the clock asked each second.
func (m *machine) pass(c *clock.Clock, d time.Duration) {
	for ; d > 0; d -= time.Second {
		m.wall, m.mono, m.boot = m.wall.Add(time.Second), m.mono+time.Second, m.boot+time.Second
		c.Now()
	}
}

func (m *machine) expect(t *testing.T, c *clock.Clock, now time.Time, elapsed time.Duration,
	steps int) {
	t.Helper()
	if got := c.Now(); got.Sub(now).Abs() > clock.Tolerance {
		t.Errorf("now is %v, want %v", got, now)
	}
	if got := c.Elapsed(); (got - elapsed).Abs() > clock.Tolerance {
		t.Errorf("elapsed is %v, want %v", got, elapsed)
	}
	if len(m.steps) != steps {
		t.Errorf("steps %v, want %d", m.steps, steps)
	}
}

const day = 24 * time.Hour

// TestShortStepIsNotBelieved sets the date ahead and back, by minutes and by years, for less than a
// minute.
func TestShortStepIsNotBelieved(t *testing.T) {
	for _, by := range []time.Duration{15 * day, 3650 * day, -time.Hour, -10 * 365 * day,
		5 * time.Minute} {
		m := newMachine()
		c := m.start()
		m.pass(c, 10*time.Second)
		m.wall = m.wall.Add(by)
		m.pass(c, 50*time.Second)
		m.expect(t, c, noon.Add(time.Minute), time.Minute, 0)
		m.wall = m.wall.Add(-by)
		m.pass(c, time.Hour)
		m.expect(t, c, noon.Add(time.Hour+time.Minute), time.Hour+time.Minute, 0)
	}
}

// TestLastingStepIsBelievedAndMakesNothingOlder sets the date for good, in both directions, and
// back.
func TestLastingStepIsBelievedAndMakesNothingOlder(t *testing.T) {
	for _, by := range []time.Duration{15 * day, 3650 * day, -time.Hour, -20 * day} {
		m := newMachine()
		c := m.start()
		m.pass(c, time.Minute)
		m.wall = m.wall.Add(by)
		m.pass(c, 2*time.Minute)
		m.expect(t, c, noon.Add(3*time.Minute+by), 3*time.Minute, 1)
		m.wall = m.wall.Add(-by)
		m.pass(c, 2*time.Minute)
		m.expect(t, c, noon.Add(5*time.Minute), 5*time.Minute, 2)
	}
}

// TestSmallDifferencesAreFollowed slews the date, and never lets it go back.
func TestSmallDifferencesAreFollowed(t *testing.T) {
	m := newMachine()
	c := m.start()
	last := c.Now()
	for i := range 2000 {
		m.wall = m.wall.Add([]time.Duration{-300 * time.Millisecond, 400 * time.Millisecond}[i/1000])
		m.pass(c, time.Second)
		if now := c.Now(); now.Before(last) {
			t.Fatalf("%v after %v", now, last)
		} else {
			last = now
		}
	}
	m.pass(c, 10*time.Minute)
	m.expect(t, c, m.wall, 2000*time.Second+10*time.Minute, len(m.steps))
}

// TestBootIn1970GoesOnWhereItWas has a machine without a clock of its own: it begins in 1970, and
// NTP sets it later.
func TestBootIn1970GoesOnWhereItWas(t *testing.T) {
	m := newMachine()
	c := m.start()
	m.pass(c, 10*time.Minute)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	m.wall, m.boot, m.id = time.Unix(10, 0), 10*time.Second, "second"
	c = m.start()
	m.pass(c, 5*time.Minute)
	m.expect(t, c, noon.Add(15*time.Minute), 15*time.Minute, 1)
	m.wall = noon.Add(40 * time.Minute) // it was off for 25 minutes, which nothing proves
	m.pass(c, 2*time.Minute)
	m.expect(t, c, noon.Add(42*time.Minute), 17*time.Minute, 2)
}

// TestFirstLifeIn1970 has nothing better than the wall clock, until that shows a date that can be.
func TestFirstLifeIn1970(t *testing.T) {
	m := newMachine()
	m.wall = time.Unix(10, 0)
	c := m.start()
	m.pass(c, time.Minute)
	m.expect(t, c, time.Unix(70, 0), time.Minute, 0)
	m.wall = noon
	m.pass(c, 5*time.Second)
	m.expect(t, c, noon.Add(5*time.Second), time.Minute+5*time.Second, 1)
}

// TestTimeBetweenLives counts what is proven: by the boot, whatever the date does; by the date up
// to a day; and no more.
func TestTimeBetweenLives(t *testing.T) {
	for _, c := range []struct {
		name        string
		wall, boot  time.Duration // between the lives
		id          string
		now, passed time.Duration
		steps       int
	}{
		{"a restart", time.Hour, time.Hour, "first", time.Hour, time.Hour, 0},
		{"the date was set ahead", 15*day + time.Hour, time.Hour, "first", time.Hour, time.Hour, 1},
		{"the date was set back", -day, time.Hour, "first", time.Hour, time.Hour, 1},
		{"a boot", 10 * time.Hour, -time.Hour, "second", 10 * time.Hour, 10 * time.Hour, 0},
		{"off for 20 days, or set ahead", 20 * day, -time.Hour, "second", 20 * day, day, 1},
		{"a boot, and the date is behind", -day, -time.Hour, "second", 0, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine()
			first := m.start()
			m.pass(first, 10*time.Minute)
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			m.wall, m.boot, m.id = m.wall.Add(c.wall), m.boot+c.boot, c.id
			second := m.start()
			m.expect(t, second, noon.Add(10*time.Minute+c.now), 10*time.Minute+c.passed, c.steps)
		})
	}
}

// TestNoteThatCannotBeReadOrWritten costs what it proves, and nothing else.
func TestNoteThatCannotBeReadOrWritten(t *testing.T) {
	m := newMachine()
	file, err := m.disk.OpenFile("clock.json", 0x42)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("no JSON"), 0); err != nil {
		t.Fatal(err)
	}
	c := m.start()
	m.pass(c, time.Minute)
	m.expect(t, c, noon.Add(time.Minute), time.Minute, 0)
	m.disk.Inject(func(faultfs.Op) error { return errors.New("no disk") })
	m.pass(c, 10*time.Minute)
	m.expect(t, c, noon.Add(11*time.Minute), 11*time.Minute, 0)
	if err := c.Close(); err == nil {
		t.Error("the last note could not be written, and nobody is told")
	}
}

// TestSystemClocks reads what the system has.
func TestSystemClocks(t *testing.T) {
	c := clock.Open(nil, "", clock.Options{})
	before := time.Now()
	if got := c.Now().Sub(before).Abs(); got > time.Minute {
		t.Errorf("now is off by %v", got)
	}
	if c.Elapsed() < 0 || c.Close() != nil {
		t.Error("elapsed, or close")
	}
}
