package enginetest

import (
	"context"
	"errors"
	"testing"

	"pillarbox"
)

// wantUnsupported sees that a method which the traits exclude fails as ErrUnsupported.
func wantUnsupported(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, pillarbox.ErrUnsupported) {
		t.Errorf("%s: %v, and the traits exclude it: want ErrUnsupported", what, err)
	}
}

// testSinkTraits sees that a sink does not say that it can't do what it does, nor the other way
// around.
func testSinkTraits(t *testing.T, sink pillarbox.Sink) {
	ctx, traits := t.Context(), sink.Traits()
	if again := sink.Traits(); again != traits {
		t.Errorf("the traits change: %+v and %+v", traits, again)
	}
	if err := sink.Check(ctx); err != nil {
		t.Errorf("check: %v", err)
	}
	write(t, sink, Events(1, 61))
	if !traits.Identified && sink.Identity() != (pillarbox.StoreIdentity{}) {
		t.Errorf("it is not identified, and is %+v", sink.Identity())
	}
	if !traits.Purges {
		_, err := sink.BeginPurge(ctx, pillarbox.PurgeFilter{Until: 1})
		wantUnsupported(t, "begin a purge", err)
		_, err = sink.Purge(ctx, pillarbox.PurgeStep{})
		wantUnsupported(t, "purge", err)
		if purges := sink.Purges(); len(purges) > 0 {
			t.Errorf("it can't purge, and has the purges %+v", purges)
		}
	}
	if !traits.Removes {
		wantUnsupported(t, "remove", sink.Remove(ctx, nil))
	}
	if traits.Readable {
		return
	}
	_, err := sink.Find(ctx, "id")
	wantUnsupported(t, "find", err)
	_, err = sink.List(ctx, pillarbox.EventFilter{})
	wantUnsupported(t, "list", err)
	_, err = sink.Count(ctx)
	wantUnsupported(t, "count", err)
	_, err = sink.Missing(ctx, nil)
	wantUnsupported(t, "missing", err)
	_, err = sink.StoredAt(ctx, pillarbox.Key{})
	wantUnsupported(t, "stored at", err)
}

// testIdentity sees that two stores differ, and that a store's mark grows with what is stored.
func testIdentity(t *testing.T, a, b pillarbox.Sink) {
	write(t, a, Events(1, 62))
	write(t, b, Events(1, 62))
	first := a.Identity()
	if first.ID == "" || first.ID == b.Identity().ID {
		t.Errorf("two stores have the identities %+v and %+v", first, b.Identity())
	}
	write(t, a, Events(3, 63))
	if second := a.Identity(); second.ID != first.ID || second.Mark <= first.Mark {
		t.Errorf("the identity was %+v, and is %+v after a write", first, second)
	}
}

// queueTraits sees that a queue does not say that it can't do what it does, nor the other way
// around.
func queueTraits(s queueStory) {
	ctx := context.Background()
	if again := s.Traits(); again != s.traits {
		s.Errorf("the traits change: %+v and %+v", s.traits, again)
	}
	if err := s.Check(ctx); err != nil {
		s.Errorf("check: %v", err)
	}
	s.SetMaxBytes(1 << 30)
	s.SetKeepBytes(1 << 20)
	events := Events(2, 64)
	if err := s.AppendInline(ctx, events); err != nil {
		s.Fatalf("append inline: %v", err)
	}
	if a := s.account(storyDestination); a.Uncounted == s.traits.Counted ||
		s.Stats().Uncounted == s.traits.Counted {
		s.Errorf("account %+v, stats %+v, and the traits say counted: %v", a, s.Stats(), s.traits.Counted)
	}
	queueSearches(s, events)
	if !s.traits.Requeues {
		wantUnsupported(s.T, "requeue", s.Requeue(ctx, Letters(1, 65)))
	}
	if !s.traits.Obliges {
		queueObligesNot(s)
	}
}

func queueSearches(s queueStory, events []*pillarbox.Event) {
	ctx, met := context.Background(), 0
	found, err := s.Find(ctx, events[1].RequestID)
	scanErr := s.Scan(ctx, storyDestination,
		func(*pillarbox.Event, pillarbox.Standing) error { met++; return nil })
	if !s.traits.Searchable {
		wantUnsupported(s.T, "find", err)
		wantUnsupported(s.T, "scan", scanErr)
		return
	}
	if err != nil || Diff(found, events[1]) != "" {
		s.Errorf("find: %+v, %v", found, err)
	}
	if scanErr != nil || met != len(events) {
		s.Errorf("a scan met %d of %d events: %v", met, len(events), scanErr)
	}
	if _, err := s.Find(ctx, "no such id"); !errors.Is(err, pillarbox.ErrNotFound) {
		s.Errorf("find what is not there: %v, want ErrNotFound", err)
	}
}

func queueObligesNot(s queueStory) {
	ctx, visit := context.Background(), func(*pillarbox.Delivery) error { return nil }
	wantUnsupported(s.T, "oblige", s.Oblige(ctx, storyDestination, pillarbox.Rule{}))
	wantUnsupported(s.T, "review", s.Review(ctx, storyDestination,
		func(*pillarbox.Delivery) bool { return false }))
	wantUnsupported(s.T, "scan held", s.ScanHeld(ctx, storyDestination, visit))
	wantUnsupported(s.T, "scan pending", s.ScanPending(ctx, storyDestination, visit))
	wantUnsupported(s.T, "scan settled", s.ScanSettled(ctx, storyDestination, visit))
	wantUnsupported(s.T, "set pause", s.SetPause(ctx, storyDestination, pillarbox.PauseRecord{At: 1}))
	wantUnsupported(s.T, "set store", s.SetStore(ctx, storyDestination, pillarbox.StoreRecord{}))
	wantUnsupported(s.T, "scan what is kept", s.ScanKept(ctx, visit))
	_, err := s.SetCopied(ctx, storyDestination, pillarbox.CopyRecord{Job: "a"}, 0, 0)
	wantUnsupported(s.T, "set copied", err)
	_, _, err = s.Trace(ctx, "id")
	wantUnsupported(s.T, "trace", err)
	_, err = s.Redeliver(ctx, storyDestination, nil, 0)
	wantUnsupported(s.T, "redeliver", err)
	_, err = s.SettleHeld(ctx, storyDestination, nil)
	wantUnsupported(s.T, "settle held", err)
	_, err = s.Route(ctx, storyDestination, "other", nil)
	wantUnsupported(s.T, "route", err)
	if rule, record := s.RuleAt(storyDestination,
		pillarbox.Handle{}), s.Store(storyDestination); rule != nil ||
		record != (pillarbox.StoreRecord{}) {
		s.Errorf("it obliges nobody, and knows the rule %+v and the store %+v", rule, record)
	}
}

// QueueDurable tests what is there when a queue is opened again: every event, and the attempts and
// rejections where the traits say so. place makes a fresh place and returns how to open the queue
// in it, any number of times.
func QueueDurable(t *testing.T, place func(t *testing.T) (open func() pillarbox.Queue)) {
	open := place(t)
	events := Events(4, 66)
	attempt := pillarbox.Attempt{At: 1, Class: pillarbox.ClassRefused, Error: "no"}
	rejection := pillarbox.Rejection{Reason: "too often", DeadAt: 2}
	q := open()
	traits := q.Traits()
	if _, err := q.Account(storyDestination); err != nil {
		t.Fatal(err)
	}
	if err := q.Append(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	deliveries, err := q.Lease(t.Context(), storyDestination, all)
	if err != nil || len(deliveries) != len(events) {
		t.Fatalf("leased %d, %v", len(deliveries), err)
	}
	err = q.Settle(t.Context(), storyDestination, []pillarbox.Outcome{
		{Handle: deliveries[0].Handle, Kind: pillarbox.OutcomeStored},
		{Handle: deliveries[1].Handle, Kind: pillarbox.OutcomeRetry, Attempt: &attempt},
		{Handle: deliveries[2].Handle, Kind: pillarbox.OutcomeRejected, Attempt: &attempt,
			Rejection: &rejection},
	})
	if err != nil {
		t.Fatal(err)
	}
	closeTwice(t, q)
	q = open()
	defer closeTwice(t, q)
	again, err := q.Lease(t.Context(), storyDestination, all)
	if err != nil || len(again) != 3 {
		t.Fatalf("opened again, it hands out %d of 3: %v", len(again), err)
	}
	for _, d := range again {
		tried := d.Event.RequestID == events[1].RequestID || d.Event.RequestID == events[2].RequestID
		dead := d.Event.RequestID == events[2].RequestID
		if traits.DurableAttempts && ((len(d.Attempts) == 1) != tried || (d.Rejection != nil) != dead) {
			t.Errorf("event %s has the attempts %+v and the rejection %+v", d.Event.RequestID, d.Attempts,
				d.Rejection)
		}
	}
}
