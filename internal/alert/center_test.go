package alert_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/alert"
	"pillarbox/internal/rollup"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

const (
	downEvents  = "pillarbox_deliver_breaker_open{destination=events}"
	downOther   = "pillarbox_deliver_breaker_open{destination=other}"
	pauseEvents = "pillarbox_deliver_paused{destination=events}"
	deadEvents  = "pillarbox_deliver_events_total{destination=events,outcome=dead}"
	accepting   = "pillarbox_queue_accepting"
)

// A condition fires once it has held for its time, is told with the others that fire by then, again
// every so often, and once it is over for certain.
func TestAlertIsToldGroupedRepeatedAndResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		person := all("person")
		w := newWorld(t, person)
		w.start()
		defer func() { w.end() }()
		w.pass(time.Hour)
		person.expect(t)

		w.set(downEvents, 1)
		w.set(downOther, 1)
		w.pass(15 * time.Minute)
		person.expect(t) // neither the time of the condition nor that of the group is over
		w.pass(time.Minute)
		person.expect(t, "firing DestinationDown events, firing DestinationDown other")
		w.pass(59 * time.Minute)
		person.expect(t)
		w.pass(2 * time.Minute)
		person.expect(t, "still DestinationDown events, still DestinationDown other")

		w.set(downOther, 0)
		w.pass(time.Minute)
		w.set(downOther, 1) // a moment is no end
		w.pass(10 * time.Minute)
		person.expect(t)
		w.set(downOther, 0)
		w.pass(alert.DefaultResolveAfter + alert.DefaultGroupWait + time.Minute)
		person.expect(t, "still DestinationDown events, resolved DestinationDown other")
		w.set(downEvents, 0)
		w.pass(5 * time.Minute)
		person.expect(t, "resolved DestinationDown events")
		w.pass(48 * time.Hour)
		person.expect(t)
	})
}

// What is of a high severity stands first, so that a message that is too long leaves out what is low.
func TestHighComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		person := all("person")
		w := newWorld(t, person)
		w.opts.GroupWait = 2 * time.Minute
		w.start()
		defer func() { w.end() }()
		w.set(deadEvents, 1)
		w.set(accepting, 0)
		w.pass(3 * time.Minute)
		person.expect(t, "firing NotAccepting, firing DeadLetters events")
		w.set(deadEvents, 2)
		w.pass(time.Hour)
		if got := person.got[len(person.got)-1].Text(); !strings.Contains(got, "STILL FIRING: PillarboxNotAccepting") {
			t.Errorf("what goes on is told as new:\n%s", got)
		}
	})
}

// What is of a low severity is repeated daily, and a receiver gets what it is for.
func TestReceiverGetsItsSeverities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pager := &inbox{name: "pager", wants: []alert.Severity{alert.High}}
		team := &inbox{name: "team", wants: []alert.Severity{alert.Low}}
		w := newWorld(t, pager, team)
		w.start()
		defer func() { w.end() }()
		w.set(pauseEvents, 1)
		w.set(accepting, 0)
		w.pass(3 * time.Minute)
		pager.expect(t, "firing NotAccepting")
		team.expect(t)
		w.set(accepting, 1)
		w.pass(12 * time.Hour)
		pager.expect(t, "resolved NotAccepting")
		team.expect(t, "firing Paused events")
		w.pass(23*time.Hour + 50*time.Minute)
		team.expect(t)
		w.pass(11 * time.Minute)
		team.expect(t, "still Paused events")
		pager.expect(t)
	})
}

// A condition that comes and goes faster than its time never fires; one that fires and flaps is one
// alert.
func TestFlappingIsOneAlert(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		person := all("person")
		w := newWorld(t, person)
		w.start()
		defer func() { w.end() }()
		for range 20 {
			w.set(downEvents, 1)
			w.pass(14 * time.Minute)
			w.set(downEvents, 0)
			w.pass(time.Minute)
		}
		person.expect(t)
		w.set(downEvents, 1)
		w.pass(16 * time.Minute)
		for range 20 {
			w.set(downEvents, 0)
			w.pass(time.Minute)
			w.set(downEvents, 1)
			w.pass(time.Minute)
		}
		person.expect(t, "firing DestinationDown events")
	})
}

// A kill at any moment, a power cut even, makes nobody wait for ever: what fires goes on to fire
// for as long as it did, what was told is not told as new, and what is over is told as over. A
// start alone ends nothing.
func TestRestartForgetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		person := all("person")
		w := newWorld(t, person)
		w.start()
		w.set(downEvents, 1)
		w.pass(10 * time.Minute)
		w.kill()
		w.set(downEvents, 0) // the server that has just begun has not tried it yet
		w.start()
		w.pass(50 * time.Second)
		w.set(downEvents, 1)
		w.pass(3 * time.Minute)
		person.expect(t)
		w.pass(3 * time.Minute)
		person.expect(t, "firing DestinationDown events")

		w.kill()
		w.set(downEvents, 0)
		w.start()
		w.pass(50 * time.Second)
		w.set(downEvents, 1)
		w.pass(40 * time.Minute)
		person.expect(t)
		w.set(downEvents, 0)
		w.pass(2*time.Minute + 20*time.Second) // over, and not told yet
		w.kill()
		w.start()
		w.pass(3 * time.Minute)
		person.expect(t, "resolved DestinationDown events")
		w.kill()
		w.start()
		w.pass(time.Hour)
		person.expect(t)
		w.end()
	})
}

// A message is owed to its receiver from before it is sent: whoever may have been told that
// something fires is told that it is over, although the server was killed in between.
func TestWhoMayHaveBeenToldIsToldTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		person := all("person")
		w := newWorld(t, person)
		w.opts.Quiet = alert.Quiet{From: 1, To: 7 * 60} // from a minute after the test begins
		person.set(nil, true)                           // the message may arrive or not
		w.set(deadEvents, 1)
		w.start()
		w.pass(50 * time.Second)
		w.kill()
		person.set(nil, false)
		w.set(deadEvents, 0)
		w.start()
		w.pass(6 * time.Hour) // it is over by then, and these are quiet hours
		person.expect(t)
		w.pass(time.Hour)
		person.expect(t, "resolved DeadLetters events")
		w.end()
	})
}

// Dead letters of the last hour are not forgotten by a restart, whose counters begin at zero.
func TestGrowthOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		person := all("person")
		w := newWorld(t, person)
		w.set(deadEvents, 3)
		w.start()
		w.pass(10 * time.Minute)
		person.expect(t, "firing DeadLetters events")
		w.kill()
		w.set(deadEvents, 0)
		w.start()
		w.pass(40 * time.Minute)
		person.expect(t)
		if at := w.center.View().Alerts; len(at) != 1 || at[0].Value != "3" ||
			at[0].State != alert.StateFiring {
			t.Fatalf("after a restart there is %+v", at)
		}
		w.pass(20 * time.Minute)
		person.expect(t, "resolved DeadLetters events")
		w.end()
	})
}

// A receiver that is down, or that hangs, gets what it is owed when it is back, tried ever more
// rarely; the others don't wait for it.
func TestDeadReceiverBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, hangs := range []bool{false, true} {
			dead, alive := all("dead"), all("alive")
			w := newWorld(t, dead, alive)
			dead.set(errors.New("connection refused"), hangs)
			w.start()
			w.set(accepting, 0)
			w.pass(2 * time.Minute)
			alive.expect(t, "firing NotAccepting")
			w.set(accepting, 1)
			w.pass(5 * time.Minute)
			alive.expect(t, "resolved NotAccepting")
			w.set(accepting, 0)
			w.pass(2 * time.Minute)
			alive.expect(t, "firing NotAccepting")
			v := w.center.View()
			if r := v.Receivers[0]; r.FailingSince == 0 || r.LastError == "" {
				t.Fatalf("nothing is said of the receiver that is down: %+v", r)
			}
			w.pass(30 * time.Minute)
			if tries := strings.Count(w.log.String(), "was not taken"); tries < 5 || tries > 9 {
				t.Fatalf("it was tried %d times in 40 minutes", tries)
			}
			dead.set(nil, false)
			w.pass(alert.RetryMax + time.Minute)
			dead.expect(t, "firing NotAccepting")
			w.end()
		}
	})
}

// What has fired and is over while a receiver was down is told to it as over: nothing goes untold.
func TestWhatADeadReceiverMissedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := all("dead")
		w := newWorld(t, dead)
		dead.set(errors.New("connection refused"), false)
		w.start()
		w.set(accepting, 0)
		w.pass(10 * time.Minute)
		w.set(accepting, 1)
		w.pass(time.Hour)
		w.kill()
		w.start()
		dead.set(nil, false)
		w.pass(alert.RetryMax + time.Minute)
		dead.expect(t, "resolved NotAccepting")
		w.end()
	})
}

// A disk that hangs keeps nobody from being told that it does.
func TestHangingDiskIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		person := all("person")
		w := newWorld(t, person)
		var hangs atomic.Bool
		release := make(chan struct{})
		w.opts.History = slowHistory{release}
		w.disk.Inject(func(faultfs.Op) error {
			if hangs.Load() {
				<-release
			}
			return nil
		})
		w.start()
		w.pass(time.Minute)
		hangs.Store(true)
		w.set("pillarbox_disk_hanging_seconds", 30)
		w.pass(3 * time.Minute)
		person.expect(t, "firing DiskHangs")
		w.set("pillarbox_disk_hanging_seconds", 0)
		w.pass(4 * time.Minute)
		person.expect(t, "resolved DiskHangs")
		hangs.Store(false)
		close(release)
		w.end()
	})
}

// slowHistory is one on a disk that hangs.
type slowHistory struct{ release chan struct{} }

func (s slowHistory) Points(context.Context, rollup.Resolution, pillarbox.Timestamp,
	pillarbox.Timestamp) ([]rollup.Point, error) {
	<-s.release
	return nil, nil
}

// What has held before a server was away for long does not count as held since then.
func TestLongAbsenceIsNoTimeOfACondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		person := all("person")
		w := newWorld(t, person)
		w.set(downEvents, 1)
		w.start()
		w.pass(5 * time.Minute)
		w.kill()
		w.pass(2 * time.Hour)
		w.start()
		w.pass(14 * time.Minute)
		person.expect(t)
		w.pass(3 * time.Minute)
		person.expect(t, "firing DestinationDown events")
		w.end()
	})
}

// A state that is damaged is said to be, kept aside, and costs that something is told twice.
func TestDamagedStateIsToldAndPutAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, content := range []string{"", "{", "null", "[]", `{"version":1}`, `{"version":99,"past":{}}`, `{"version":1,"past":{},"alerts":[null]}`} {
			person := all("person")
			w := newWorld(t, person)
			if err := vfs.WriteFile(w.disk, alert.StateFile, []byte(content)); err != nil {
				t.Fatal(err)
			}
			w.set(accepting, 0)
			w.start()
			w.pass(3 * time.Minute)
			if !strings.Contains(w.log.String(), "put aside") {
				t.Errorf("nothing is said of the state %q", content)
			}
			person.expect(t, "firing NotAccepting")
			if _, err := w.disk.OpenFile(alert.StateFile+".aside", os.O_RDONLY); err != nil {
				t.Error(err)
			}
			w.end()
		}
	})
}

// A receiver that takes one alert a message gets each by itself, when that is due.
func TestSingleReceiverGetsOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pager := &inbox{name: "pager", wants: alert.Severities(), single: true}
		w := newWorld(t, pager)
		w.start()
		defer func() { w.end() }()
		w.set(downEvents, 1)
		w.set(downOther, 1)
		w.pass(17 * time.Minute)
		pager.expect(t, "firing DestinationDown events", "firing DestinationDown other")
		w.set(downOther, 0)
		w.pass(5 * time.Minute)
		pager.expect(t, "resolved DestinationDown other")
	})
}

// Quiet hours put off what is of a low severity, and what holds no more at their end is not told:
// by the clock on the wall, also in nights in which it is set.
func TestQuietHours(t *testing.T) {
	quiet, err := alert.ParseQuiet("22:00", "07:00", "Europe/Berlin", []string{"sat"})
	if err != nil {
		t.Fatal(err)
	}
	for _, night := range []struct {
		name, day string
		ends      int // days later
	}{
		{"winter", "2026-01-14", 1}, {"clock set forward", "2025-03-29", 1}, {"clock set back",
			"2026-10-24", 1},
		{"the day after is quiet", "2026-01-16", 2},
	} {
		t.Run(night.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin, err := time.ParseInLocation(time.DateOnly, night.day, quiet.Zone)
				if err != nil {
					t.Fatal(err)
				}
				walkTheNight(t, quiet, begin, night.ends)
			})
		})
	}
}

func walkTheNight(t *testing.T, quiet alert.Quiet, begin time.Time, ends int) {
	person := all("person")
	w := newWorld(t, person)
	w.opts.Quiet = quiet
	until := func(day, hour, minute int) {
		w.pass(time.Until(time.Date(begin.Year(), begin.Month(), begin.Day()+day, hour, minute, 0, 0,
			quiet.Zone)))
	}
	until(0, 22, 5)
	w.start()
	defer func() { w.end() }()
	w.set(deadEvents, 1)
	w.set(accepting, 0)
	until(0, 22, 30)
	person.expect(t, "firing NotAccepting") // what is of a high severity waits for nothing
	w.set(accepting, 1)
	until(1, 2, 30) // there is no such time in one of the nights, and twice in another
	person.expect(t, "resolved NotAccepting")
	until(ends, 6, 20)
	w.set(deadEvents, 3)
	until(ends, 6, 59)
	person.expect(t)
	until(ends, 7, 1)
	person.expect(t, "firing DeadLetters events") // once, and not that of the evening
	until(ends, 22, 30)
	person.expect(t, "resolved DeadLetters events")
}

// What can't be measured for a while changes nothing.
func TestUnknownMetricsChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		person := all("person")
		w := newWorld(t, person)
		w.start()
		defer func() { w.end() }()
		w.set(accepting, 0)
		w.pass(2 * time.Minute)
		person.expect(t, "firing NotAccepting")
		w.breakMetrics(errors.New("no registry"))
		w.pass(30 * time.Minute)
		person.expect(t)
		w.breakMetrics(nil)
		w.pass(time.Minute)
		person.expect(t)
	})
}

// A heartbeat comes at a start and each minute, for as long as the conditions are looked at.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var beats atomic.Int64
		w := newWorld(t)
		w.opts.Beat = func(context.Context) error { beats.Add(1); return nil }
		w.start()
		defer func() { w.end() }()
		w.pass(time.Second)
		if n := beats.Load(); n != 1 {
			t.Fatalf("%d at the start", n)
		}
		w.pass(10 * time.Minute)
		if n := beats.Load(); n != 11 {
			t.Fatalf("%d after ten minutes", n)
		}
		w.breakMetrics(errors.New("no registry"))
		w.pass(10 * time.Minute)
		before := beats.Load()
		w.pass(10 * time.Minute)
		if n := beats.Load(); n != before {
			t.Fatalf("%d while nothing is looked at", n-before)
		}
	})
}

// The view says what fires, since when, and who was told; a test message says so itself.
func TestViewAndTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		person := all("person")
		w := newWorld(t, person)
		w.start()
		defer func() { w.end() }()
		began := time.Now()
		w.set(accepting, 0)
		w.set(downEvents, 1)
		w.pass(3 * time.Minute)
		v := w.center.View()
		if len(v.Alerts) != 2 || v.Alerts[0].State != alert.StatePending ||
			v.Alerts[1].State != alert.StateFiring {
			t.Fatalf("%+v", v.Alerts)
		}
		if since := v.Alerts[1].Since.Time(); since.Before(began) ||
			since.After(began.Add(alert.DefaultEvery)) || len(v.Alerts[1].Told) != 1 {
			t.Fatalf("%+v", v.Alerts[1])
		}
		person.take()
		results, err := w.center.Test(t.Context(), "")
		if err != nil || len(results) != 1 || !results[0].Taken {
			t.Fatal(results, err)
		}
		person.expect(t, "test Test")
		if _, err := w.center.Test(t.Context(), "nobody"); err == nil {
			t.Fatal("there is nobody of that name")
		}
	})
}
