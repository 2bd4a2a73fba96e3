package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"pillarbox"
	"pillarbox/internal/backfill"
	"pillarbox/internal/engine/memory"
)

// world is a history of which the queue has forgotten a part and the store "events" has all.
type world struct {
	*history
	store, sink *memory.Sink
	asked       bool // the destination can be asked what it has
	refuses     map[string]bool
	dead        map[string]bool
	writes      int
	down        int // writes that the destination does not take yet
	lost        error
	write       func() error // called once the events are stored
}

func forgotten(t *testing.T, n, forget int, others ...int) *world {
	w := &world{history: accepted(t, n, others...), store: memory.NewSink(), sink: memory.NewSink(), asked: true,
		refuses: map[string]bool{}, dead: map[string]bool{}}
	if err := w.store.Write(t.Context(), w.events); err != nil {
		t.Fatal(err)
	}
	w.queue.Forget(forget)
	return w
}

func (w *world) filler() *backfill.Filler {
	return backfill.New(backfill.Options{Queue: w.queue, Lag: func(string) string { return "" },
		Takes:    func(_ string, event *pillarbox.Event) bool { return event.Source == "app" },
		Delivers: func() bool { return false },
		Store: func(name string) pillarbox.EventStore {
			switch {
			case name == "events":
				return w.store
			case name == "late" && w.asked:
				return w.sink
			}
			return nil
		},
		Deliver: w.deliverOnce,
		Bury: func(_ context.Context, _ string, refused []backfill.Refused) error {
			for _, r := range refused {
				w.dead[r.Event.RequestID] = true
			}
			return w.lost
		},
		Dead: func(_ context.Context, _, id string) (bool, error) { return w.dead[id], nil }})
}

func (w *world) deliverOnce(ctx context.Context, _ string, events []*pillarbox.Event) ([]error, error) {
	errs := make([]error, len(events))
	if w.down > 0 {
		w.down--
		down := fmt.Errorf("nobody is there: %w", pillarbox.ErrUnavailable)
		for i := range errs {
			errs[i] = down
		}
		return errs, down
	}
	w.writes++
	for i, event := range events {
		if w.refuses[event.RequestID] {
			errs[i] = &pillarbox.RefusedError{Attempt: pillarbox.Attempt{Error: "no"}}
		} else if err := w.sink.Write(ctx, []*pillarbox.Event{event}); err != nil {
			return nil, err
		}
	}
	if w.write != nil {
		return errs, w.write()
	}
	return errs, nil
}

func (w *world) balances() pillarbox.Account {
	w.t.Helper()
	account := w.account("late")
	if account.Accepted != account.Stored+account.Dead+account.Skipped+account.Pending {
		w.t.Errorf("the account is no equation: %+v", account)
	}
	return account
}

var fromEvents = backfill.Request{Destination: "late", FromStore: "events"}

func TestWhatTheQueueHasForgottenIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := forgotten(t, 3000, 2000, 7, 2500)
		w.down = 3
		w.refuses[w.events[9].RequestID] = true
		dry, err := w.filler().Run(t.Context(), backfill.Request{Destination: "late", FromStore: "events", DryRun: true}, nil)
		if err != nil || dry.Matched != 2998 || w.writes != 0 {
			t.Errorf("dry run: %+v, %v", dry, err)
		}
		waited := ""
		done, err := w.filler().Run(t.Context(), fromEvents, func(p backfill.Progress) {
			w.balances()
			if p.Waiting != "" {
				waited = p.Waiting
			}
		})
		if err != nil || done.State != backfill.StateDone || done.Taken != 999 || done.Copied != 1998 || done.Dead != 1 || done.Uncounted != 0 {
			t.Errorf("%+v, %v", done, err)
		}
		if account := w.balances(); account.Stored != 1998 || account.Dead != 1 || account.Pending != 999 || account.Skipped != 2 {
			t.Errorf("account %+v", account)
		}
		if stored, _ := w.sink.Count(t.Context()); stored != 1998 || !w.dead[w.events[9].RequestID] || waited == "" {
			t.Errorf("%d are stored, dead %v, waited %q", stored, w.dead, waited)
		}
		again, err := w.filler().Run(t.Context(), fromEvents, nil)
		if err != nil || again.Matched != 0 || again.Copied != 0 {
			t.Errorf("once more: %+v, %v", again, err)
		}
	})
}

// TestACopyThatIsCutOffCountsOnce cuts a copy off at every moment, and goes on with it, also as a new one.
func TestACopyThatIsCutOffCountsOnce(t *testing.T) {
	for _, asked := range []bool{true, false} {
		for cut := range 14 {
			for _, begunAnew := range []bool{false, true} {
				t.Run(fmt.Sprintf("asked %v, cut %d, anew %v", asked, cut, begunAnew), func(t *testing.T) {
					w := forgotten(t, 400, 400)
					w.asked = asked
					w.refuses[w.events[60].RequestID] = true
					cutOff(t, w, cut, begunAnew)
				})
			}
		}
	}
}

func cutOff(t *testing.T, w *world, cut int, begunAnew bool) {
	t.Helper()
	queue := &fails{Queue: w.queue, after: cut}
	options := backfill.Options{Queue: queue, Takes: func(string, *pillarbox.Event) bool { return true }, Delivers: func() bool { return false },
		Deliver: w.deliverOnce, Dead: func(_ context.Context, _, id string) (bool, error) { return w.dead[id], nil },
		Bury: func(_ context.Context, _ string, refused []backfill.Refused) error {
			for _, r := range refused {
				w.dead[r.Event.RequestID] = true
			}
			return nil
		},
		Store: func(name string) pillarbox.EventStore {
			if name == "late" && !w.asked {
				return nil
			}
			return map[string]*memory.Sink{"events": w.store, "late": w.sink}[name]
		}}
	request := fromEvents
	request.Rate = 1e6 // batches as they come
	var last backfill.Progress
	progress, err := backfill.New(options).Run(t.Context(), request, func(p backfill.Progress) {
		if p.Running() {
			last = p
		}
	})
	if queue.calls <= cut { // it was done before
		if err != nil || progress.State != backfill.StateDone {
			t.Fatalf("%+v, %v", progress, err)
		}
	} else {
		if progress.State != backfill.StateStopped {
			t.Fatalf("it was cut off: %+v, %v", progress, err)
		}
		queue.after = 1 << 30
		if last.StartedAt == 0 {
			last = backfill.Progress{Destination: "late", State: backfill.StateRunning, StartedAt: progress.StartedAt}
		}
		if begunAnew {
			_, err = backfill.New(options).Run(t.Context(), request, nil)
		} else {
			_, err = backfill.New(options).Continue(t.Context(), request, last, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if account := w.balances(); account.Stored != 399 || account.Dead != 1 || account.Skipped != 0 {
		t.Errorf("account %+v", account)
	}
	if stored, _ := w.sink.Count(t.Context()); stored != 399 {
		t.Errorf("%d are stored", stored)
	}
}

// fails is a queue whose record of copies fails after some calls, having changed or not: the disk is gone.
type fails struct {
	*memory.Queue
	calls, after int
}

func (f *fails) SetCopied(ctx context.Context, destination string, record pillarbox.CopyRecord, stored, dead uint64) (uint64, error) {
	if f.calls++; f.calls > f.after {
		return 0, errors.New("the disk is gone")
	}
	return f.Queue.SetCopied(ctx, destination, record, stored, dead)
}

// TestACopyOfAnotherQueuesEvents: what this queue has not skipped is given and not counted.
func TestACopyOfAnotherQueuesEvents(t *testing.T) {
	w := forgotten(t, 100, 100)
	strange := *w.events[0]
	strange.RequestID, strange.Timestamp = "of-another-queue", strange.Timestamp-1
	if err := w.store.Write(t.Context(), []*pillarbox.Event{&strange}); err != nil {
		t.Fatal(err)
	}
	done, err := w.filler().Run(t.Context(), fromEvents, nil)
	if err != nil || done.Copied != 101 || done.Uncounted != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	if account := w.balances(); account.Stored != 100 || account.Skipped != 0 {
		t.Errorf("account %+v", account)
	}
}

// TestACopyLeavesAloneWhatCameLater: what was accepted once the destination was there is its own affair,
// also where the queue has nothing of the time before it any more.
func TestACopyLeavesAloneWhatCameLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := forgotten(t, 100, 100)
		later := *w.events[99]
		later.RequestID, later.Timestamp = "later", pillarbox.Timestamp(1<<60)
		for _, into := range []func(context.Context, []*pillarbox.Event) error{w.queue.Append, w.store.Write} {
			if err := into(t.Context(), []*pillarbox.Event{&later}); err != nil {
				t.Fatal(err)
			}
		}
		request := fromEvents
		request.Until = later.Timestamp + 1
		done, err := w.filler().Run(t.Context(), request, nil)
		if err != nil || done.Copied != 100 {
			t.Errorf("%+v, %v", done, err)
		}
		if missing, _ := w.sink.Missing(t.Context(), []pillarbox.Key{later.Key()}); len(missing) != 1 {
			t.Error("what came later was copied")
		}
	})
}

func TestACopyStopsWhereALetterIsNotKept(t *testing.T) {
	w := forgotten(t, 100, 100)
	w.refuses[w.events[3].RequestID], w.lost = true, errors.New("no room for letters")
	stopped, err := w.filler().Run(t.Context(), fromEvents, nil)
	if err == nil || stopped.State != backfill.StateStopped {
		t.Errorf("%+v, %v", stopped, err)
	}
	w.balances()
	w.lost = nil
	done, err := w.filler().Run(t.Context(), fromEvents, nil)
	if account := w.balances(); err != nil || done.State != backfill.StateDone || account.Stored != 99 || account.Dead != 1 {
		t.Errorf("%+v, %v, %+v", done, err, account)
	}
}

// TestACopyThatIsDoneTwiceCountsOnce, also where the destination can't be asked what it has.
func TestACopyThatIsDoneTwiceCountsOnce(t *testing.T) {
	w := forgotten(t, 100, 100)
	w.asked = false
	for i, source := range []string{"other", "app", "app"} { // only the second one is given what is of app
		if i < 2 {
			for _, event := range w.events[:30] {
				event.Source = source
			}
		}
		store := memory.NewSink()
		if err := store.Write(t.Context(), w.events); err != nil {
			t.Fatal(err)
		}
		w.store = store
		done, err := w.filler().Run(t.Context(), fromEvents, nil)
		if want := []uint64{70, 100, 100}[i]; err != nil || done.Copied != want {
			t.Errorf("copy %d: %+v, %v", i, done, err)
		}
		if account := w.balances(); account.Stored != 70 {
			t.Errorf("copy %d: %d are counted, and were 70: counted again", i, account.Stored)
		}
	}
}

// TestALetterThatWasNotCountedIsCounted, and its event is not stored beside it, although it would be taken
// by now.
func TestALetterThatWasNotCountedIsCounted(t *testing.T) {
	w := forgotten(t, 100, 100)
	refused := w.events[3]
	w.refuses[refused.RequestID] = true
	w.lost = errors.New("the power goes behind the letter")
	if _, err := w.filler().Run(t.Context(), fromEvents, nil); err == nil {
		t.Fatal("it goes on")
	}
	w.lost, w.refuses = nil, map[string]bool{}
	done, err := w.filler().Run(t.Context(), fromEvents, nil)
	if account := w.balances(); err != nil || done.Dead != 1 || account.Stored != 99 || account.Dead != 1 {
		t.Errorf("%+v, %v, %+v", done, err, account)
	}
	if missing, err := w.sink.Missing(t.Context(), []pillarbox.Key{refused.Key()}); err != nil || len(missing) != 1 {
		t.Errorf("it is stored beside its letter, %v", err)
	}
}
