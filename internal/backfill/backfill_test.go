package backfill_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/backfill"
	"pillarbox/internal/background"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/vfs/faultfs"
)

// history is a queue with what was accepted before the destination "late", which takes what is of app:
// all but what is named.
type history struct {
	t      *testing.T
	queue  *memory.Queue
	events []*pillarbox.Event
	lag    atomic.Value // string
}

func accepted(t *testing.T, n int, others ...int) *history {
	t.Helper()
	h := &history{t: t, queue: memory.NewQueue(nil), events: enginetest.Events(n, 1)}
	h.lag.Store("")
	now := pillarbox.TimestampOf(time.Now())
	for i, event := range h.events {
		event.Source, event.Timestamp = "app", now-pillarbox.Timestamp(n-i)*1_000_000
	}
	for _, i := range others {
		h.events[i].Source = "other"
	}
	h.account("events")
	if err := h.queue.Append(t.Context(), h.events); err != nil {
		t.Fatal(err)
	}
	h.account("late")
	return h
}

func (h *history) account(destination string) pillarbox.Account {
	h.t.Helper()
	account, err := h.queue.Account(destination)
	if err != nil {
		h.t.Fatal(err)
	}
	return account
}

func (h *history) filler() *backfill.Filler {
	return backfill.New(backfill.Options{Queue: h.queue, Lag: func(string) string { return h.lag.Load().(string) },
		Takes: func(destination string, event *pillarbox.Event) bool {
			return destination == "late" && event.Source == "app"
		}})
}

// deliver delivers to the destination until the context ends.
func (h *history) deliver(ctx context.Context, stored map[string]int) {
	for {
		deliveries, err := h.queue.Lease(ctx, "late", pillarbox.LeaseLimits{MaxEvents: 100})
		if err != nil {
			return
		}
		outcomes := make([]pillarbox.Outcome, len(deliveries))
		for i, d := range deliveries {
			outcomes[i] = pillarbox.Outcome{Handle: d.Handle, Kind: pillarbox.OutcomeStored}
			stored[d.Event.RequestID]++
		}
		if err := h.queue.Settle(context.WithoutCancel(ctx), "late", outcomes); err != nil {
			h.t.Error(err)
		}
	}
}

func TestBackfillMovesWhatWasSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := accepted(t, 5000, 7)
		dry, err := h.filler().Run(t.Context(), backfill.Request{Destination: "late", DryRun: true}, nil)
		if err != nil || dry.Matched != 4999 || dry.Taken != 0 || len(dry.Sample) != backfill.DefaultSample || h.account("late").Pending != 0 {
			t.Errorf("dry run: %+v, %v", dry, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		stored := map[string]int{}
		go h.deliver(ctx, stored)
		peak := uint64(0)
		done, err := h.filler().Run(t.Context(), backfill.Request{Destination: "late", Since: h.events[10].Timestamp}, func(backfill.Progress) {
			account := h.account("late")
			peak = max(peak, account.Backfill)
			if account.Accepted != account.Stored+account.Skipped+account.Pending {
				t.Errorf("the account is no equation: %+v", account)
			}
		})
		if err != nil || done.State != backfill.StateDone || done.Taken != 4990 {
			t.Errorf("%+v, %v", done, err)
		}
		if peak > backfill.MaxAhead+1000 {
			t.Errorf("%d were taken at a time", peak)
		}
		if account := h.account("late"); account.Stored != 4990 || account.Skipped != 10 || account.Pending != 0 || len(stored) != 4990 {
			t.Errorf("account %+v, %d stored", account, len(stored))
		}
		cancel()
		if again, err := h.filler().Run(t.Context(), backfill.Request{Destination: "late", Since: h.events[10].Timestamp}, nil); err != nil || again.Matched != 0 {
			t.Errorf("once more: %+v, %v", again, err)
		}
	})
}

// TestBackfillLeavesDecisionsAlone: what a person has given up or given to another is not taken.
func TestBackfillLeavesDecisionsAlone(t *testing.T) {
	h := accepted(t, 4)
	deliveries, err := h.queue.Lease(t.Context(), "events", pillarbox.LeaseLimits{MaxEvents: 4})
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []pillarbox.Outcome
	for i, rule := range []string{pillarbox.SkippedForgotten, pillarbox.SkippedRouted, pillarbox.SkippedFilter, pillarbox.SkippedElsewhere} {
		outcomes = append(outcomes, pillarbox.Outcome{Handle: deliveries[i].Handle, Kind: pillarbox.OutcomeSkipped, Skip: rule})
	}
	if err := h.queue.Settle(t.Context(), "events", outcomes); err != nil {
		t.Fatal(err)
	}
	filler := backfill.New(backfill.Options{Queue: h.queue, Takes: func(string, *pillarbox.Event) bool { return true }, Delivers: func() bool { return false }})
	done, err := filler.Run(t.Context(), backfill.Request{Destination: "events"}, nil)
	if account := h.account("events"); err != nil || done.Taken != 2 || account.Skipped != 2 || account.SkippedBy != (pillarbox.Skips{Routed: 1, Forgotten: 1}) {
		t.Errorf("%+v, %v; account %+v", done, err, account)
	}
}

// TestBackfillGoesOnInTheNextLife, keeps its rate, and waits while live delivery lags.
func TestBackfillGoesOnInTheNextLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := accepted(t, 100)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stored := map[string]int{}
		go h.deliver(ctx, stored)
		disk := faultfs.New(faultfs.Options{})
		life := func() *backfill.Jobs {
			return backfill.NewJobs(h.filler(), background.Options{Keeper: background.NewKeeper(disk, nil)})
		}
		jobs := life()
		h.lag.Store("live traffic")
		started, err := jobs.Start(t.Context(), backfill.Request{Destination: "late", Rate: 2})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := jobs.Start(t.Context(), backfill.Request{Destination: "late"}); !errors.Is(err, pillarbox.ErrConflict) {
			t.Errorf("a second one: %v", err)
		}
		time.Sleep(time.Minute)
		if at, _ := jobs.Get(started.ID); at.Taken != 0 || at.Waiting != "live traffic" {
			t.Errorf("while live delivery lags: %+v", at)
		}
		h.lag.Store("")
		time.Sleep(20 * time.Second)
		if at, _ := jobs.Get(started.ID); at.Taken < 30 || at.Taken > 50 {
			t.Errorf("after 20 s at 2 a second: %+v", at)
		}
		if err := jobs.Close(); err != nil {
			t.Fatal(err)
		}
		disk = disk.Crash(nil, faultfs.Dropped)
		jobs = life()
		before, err := jobs.Get(started.ID)
		if err != nil || !before.Running() || before.Taken < 30 {
			t.Fatalf("the next life finds %+v, %v", before, err)
		}
		jobs.Resume(t.Context())
		time.Sleep(time.Minute)
		if at, _ := jobs.Get(started.ID); at.State != backfill.StateDone || at.Taken != 100 {
			t.Errorf("ended as %+v", at)
		}
		cancel()
		synctest.Wait()
		for id, times := range stored {
			if times != 1 {
				t.Errorf("%s was delivered %d times", id, times)
			}
		}
		if len(stored) != 100 {
			t.Errorf("%d of 100 are delivered", len(stored))
		}
		if err := jobs.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestBackfillOfNobody waits, and does not make the queue know a destination that is not configured.
func TestBackfillOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := accepted(t, 3)
		h.lag.Store("not configured")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		done, err := h.filler().Run(ctx, backfill.Request{Destination: "nobody"}, nil)
		if err == nil || done.Taken != 0 || slices.Contains(h.queue.Stats().Destinations, "nobody") {
			t.Errorf("%+v, %v; the queue knows %v", done, err, h.queue.Stats().Destinations)
		}
	})
}
