package enginetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pillarbox"
)

// obligationsStory is a queue that remembers what each destination was meant to get.
type obligationsStory struct{ queueStory }

// obligations tests the contract of pillarbox.Obligations. Each story has its own queue.
func obligations(t *testing.T, open OpenQueue) {
	stories := []struct {
		name string
		tell func(obligationsStory)
	}{
		{"hands out the rule of the time of the event", obligationsRules},
		{"has a rule for every event of a destination that joins others", obligationsJoin},
		{"keeps what is held, as a part of pending", obligationsHeld},
		{"holds what a review says, and lets it go again", obligationsReview},
		{"lets go what a review has held before it was read", obligationsReviewAhead},
		{"gives to a destination what it holds and has not passed", obligationsRouteAhead},
		{"does not touch what is leased in a review", obligationsReviewLeased},
		{"holds a retry with its attempts", obligationsHeldRetry},
		{"ends held events as skipped by a rule, or as dead", obligationsSettleHeld},
		{"routes held events to a destination that began later", obligationsRoute},
		{"routes nothing twice", obligationsRouteTwice},
		{"hands settled events out again", obligationsRedeliver},
		{"remembers what a filter has skipped", obligationsFilter},
		{"gives to a destination what its filter is still to be asked about", obligationsRouteFiltered},
		{"hands skipped events out after all", obligationsUnskip},
		{"remembers how far a copy is, and counts nothing of what it has", obligationsCopied},
		{"remembers the store of a destination", obligationsStore},
		{"traces an event", obligationsTrace},
		{"remembers a pause", obligationsPause},
		{"counts the canary's events apart, and lets them wait for nothing", obligationsCanary},
	}
	for _, story := range stories {
		t.Run(story.name, func(t *testing.T) { story.tell(obligationsStory{newQueueStory(t, open)}) })
	}
}

func (s obligationsStory) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s obligationsStory) oblige(destination string, sources ...string) {
	s.Helper()
	s.must(s.Queue.Oblige(s.Context(), destination,
		pillarbox.Rule{Sources: append([]string{}, sources...)}))
}

// from appends n events of a source.
func (s obligationsStory) from(source string, n int, seed uint64) []*pillarbox.Event {
	s.Helper()
	events := Events(n, seed)
	for _, event := range events {
		event.Source = source
	}
	s.append(events...)
	return events
}

// review holds the events of the sources.
func (s obligationsStory) review(destination string, held ...string) {
	s.Helper()
	s.must(s.Queue.Review(s.Context(), destination,
		func(d *pillarbox.Delivery) bool { return slices.Contains(held, d.Event.Source) }))
}

func (s obligationsStory) held(destination string) []*pillarbox.Delivery {
	s.Helper()
	var held []*pillarbox.Delivery
	s.must(s.Queue.ScanHeld(s.Context(), destination, func(d *pillarbox.Delivery) error {
		copied := *d
		held = append(held, &copied)
		return nil
	}))
	return held
}

func (s obligationsStory) expect(destination string, want pillarbox.Account) {
	s.Helper()
	got := s.account(destination)
	got.OldestPending = 0
	if got != want {
		s.Fatalf("account of %s is %+v, want %+v", destination, got, want)
	}
}

func obligationsRules(s obligationsStory) {
	s.from("app", 1, 1)
	s.oblige(storyDestination, "app", "github")
	s.from("github", 2, 2)
	s.oblige(storyDestination)
	s.from("app", 1, 3)
	d := s.lease(all)
	if len(d) != 4 {
		s.Fatalf("%d deliveries", len(d))
	}
	if d[0].Rule != nil {
		s.Errorf("rule of an event from before there was one: %+v", d[0].Rule)
	}
	for i, want := range []*pillarbox.Rule{nil, {Sources: []string{"app", "github"}},
		{Sources: []string{"app", "github"}}, {Sources: []string{}}} {
		at := s.Queue.RuleAt(storyDestination, d[i].Handle)
		if want == nil && at != nil || want != nil &&
			(at == nil || !at.Equal(want) || !d[i].Rule.Equal(want)) {
			s.Errorf("rule %d is %+v, the delivery has %+v, want %+v", i, at, d[i].Rule, want)
		}
	}
	s.account("later")
	if rule := s.Queue.RuleAt("later", d[0].Handle); rule == nil || rule.Takes(d[0].Event) {
		s.Errorf("a destination that began later was meant to get an event from before: %+v", rule)
	}
	if rule := s.Queue.RuleAt("nobody", d[0].Handle); rule != nil {
		s.Errorf("rule of nobody: %+v", rule)
	}
}

// obligationsJoin has an event appended after a destination is made and before it has a rule, as
// happens when one is added under load: an event without a rule would be for a person to decide
// about.
func obligationsJoin(s obligationsStory) {
	const later = "later"
	s.oblige(storyDestination, "app")
	s.from("app", 1, 11)
	s.account(later)
	s.from("app", 1, 12)
	s.oblige(later, "web")
	s.from("web", 1, 13)
	meant := []bool{false, false, true}
	for i, d := range s.lease(all) {
		rule := s.RuleAt(later, d.Handle)
		if rule == nil || rule.Takes(d.Event) != meant[i] {
			s.Errorf("rule of event %d of %s: %+v; want one, that takes it: %v", i, d.Event.Source, rule,
				meant[i])
		}
	}
}

func obligationsHeld(s obligationsStory) {
	s.oblige(storyDestination, "app", "old")
	events := s.from("old", 3, 1)
	s.from("app", 1, 2)
	d := s.lease(all)
	s.settle(pillarbox.OutcomeHeld, d[:3]...)
	s.settle(pillarbox.OutcomeStored, d[3])
	s.expect(storyDestination, pillarbox.Account{Accepted: 4, Stored: 1, Pending: 3, Held: 3})
	if again := s.lease(all); len(again) != 0 {
		s.Errorf("%d held events are handed out", len(again))
	}
	held := s.held(storyDestination)
	if len(held) != 3 {
		s.Fatalf("%d are held", len(held))
	}
	for i, delivery := range held {
		if diff := Diff(delivery.Event, events[i]); diff != "" {
			s.Errorf("held event %d: %s", i, diff)
		}
	}
}

func obligationsReview(s obligationsStory) {
	s.oblige(storyDestination, "app", "old")
	s.from("old", 2, 1)
	s.from("app", 2, 2)
	s.from("old", 2, 3)
	s.oblige(storyDestination, "app")
	s.review(storyDestination, "old")
	s.expect(storyDestination, pillarbox.Account{Accepted: 6, Pending: 6, Held: 4})
	d := s.lease(all)
	if len(d) != 2 || d[0].Event.Source != "app" {
		s.Fatalf("%d deliveries", len(d))
	}
	s.settle(pillarbox.OutcomeStored, d...)
	s.oblige(storyDestination, "app", "old")
	s.review(storyDestination)
	s.expect(storyDestination, pillarbox.Account{Accepted: 6, Stored: 2, Pending: 4,
		Retrying: s.account(storyDestination).Retrying})
	d = s.lease(all)
	if len(d) != 4 {
		s.Fatalf("%d of 4 come again", len(d))
	}
	s.settle(pillarbox.OutcomeStored, d...)
	s.expect(storyDestination, pillarbox.Account{Accepted: 6, Stored: 6})
}

// look reads what there is for a destination, and leases nothing of what is held.
func (s obligationsStory) look(destination string) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if d, err := s.Queue.Lease(ctx, destination, all); len(d) > 0 {
		s.Fatalf("%d deliveries of what is held, %v", len(d), err)
	}
}

// obligationsReviewAhead holds events before anybody has read them for delivery, and lets them go while
// they are read: the place up to which all is settled must not pass them.
func obligationsReviewAhead(s obligationsStory) {
	s.oblige(storyDestination, "app")
	s.from("app", 3, 1)
	s.oblige(storyDestination)
	s.review(storyDestination, "app")
	s.oblige(storyDestination, "app")
	s.must(s.Queue.Review(s.Context(), storyDestination, func(*pillarbox.Delivery) bool {
		s.look(storyDestination) // a loop that reads meanwhile
		return false
	}))
	s.expect(storyDestination, pillarbox.Account{Accepted: 3, Pending: 3})
	s.settle(pillarbox.OutcomeStored, s.leaseAll(storyDestination, 3)...)
	s.expect(storyDestination, pillarbox.Account{Accepted: 3, Stored: 3})
}

// obligationsRouteAhead is the same for a destination that holds what it is given.
func obligationsRouteAhead(s obligationsStory) {
	for _, name := range []string{storyDestination, "archive"} {
		s.oblige(name, "app")
	}
	s.from("app", 1, 1)
	s.from("app", 2, 2)
	for _, name := range []string{storyDestination, "archive"} {
		s.oblige(name)
		s.review(name, "app")
		s.look(name)
	}
	routed, err := s.Queue.Route(s.Context(), storyDestination, "archive", s.held(storyDestination))
	if err != nil || routed != 3 {
		s.Fatalf("%d were routed, %v", routed, err)
	}
	s.must(s.Settle(s.Context(), "archive", storedAll(s.leaseAll("archive", 3))))
	s.expect("archive", pillarbox.Account{Accepted: 3, Stored: 3})
}

// leaseAll leases so many, as long as there is something that nobody has leased.
func (s obligationsStory) leaseAll(destination string, n int) (deliveries []pillarbox.Delivery) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 5*time.Second) // forever would be the end of a lost one
	defer cancel()
	for len(deliveries) < n {
		more, err := s.Queue.Lease(ctx, destination, all)
		if err != nil {
			s.Fatalf("%d of %d are handed out, and no more: %v", len(deliveries), n, err)
		}
		deliveries = append(deliveries, more...)
	}
	return deliveries
}

func obligationsReviewLeased(s obligationsStory) {
	s.oblige(storyDestination, "old")
	s.from("old", 2, 1)
	d := s.lease(pillarbox.LeaseLimits{MaxEvents: 1})
	s.oblige(storyDestination)
	s.review(storyDestination, "old")
	s.expect(storyDestination, pillarbox.Account{Accepted: 2, Pending: 2, Held: 1})
	s.settle(pillarbox.OutcomeStored, d...)
	s.expect(storyDestination, pillarbox.Account{Accepted: 2, Stored: 1, Pending: 1, Held: 1})
}

func obligationsHeldRetry(s obligationsStory) {
	s.oblige(storyDestination, "old")
	s.from("old", 1, 1)
	attempt := &pillarbox.Attempt{At: 1, Class: pillarbox.ClassRefused, Error: "no"}
	d := s.lease(all)
	s.must(s.Settle(s.Context(), storyDestination,
		[]pillarbox.Outcome{{Handle: d[0].Handle, Kind: pillarbox.OutcomeRetry, NotBefore: s.now(),
			Attempt: attempt}}))
	s.oblige(storyDestination)
	s.review(storyDestination, "old")
	s.expect(storyDestination, pillarbox.Account{Accepted: 1, Pending: 1, Held: 1,
		Retrying: s.account(storyDestination).Retrying})
	if again := s.lease(all); len(again) != 0 {
		s.Error("a held event is handed out")
	}
	if held := s.held(storyDestination); len(held) != 1 || len(held[0].Attempts) != 1 {
		s.Errorf("held %+v", held)
	}
	s.review(storyDestination)
	if again := s.lease(all); len(again) != 1 || len(again[0].Attempts) != 1 {
		s.Errorf("after it was let go: %+v", again)
	}
}

func obligationsSettleHeld(s obligationsStory) {
	s.oblige(storyDestination, "old")
	s.from("old", 4, 1)
	d := s.lease(pillarbox.LeaseLimits{MaxEvents: 2})
	s.settle(pillarbox.OutcomeHeld, d...)
	s.oblige(storyDestination)
	s.review(storyDestination, "old") // the other two are held before they were leased
	held := s.held(storyDestination)
	if len(held) != 4 {
		s.Fatalf("%d are held", len(held))
	}
	outcomes := []pillarbox.Outcome{
		{Handle: held[0].Handle, Kind: pillarbox.OutcomeSkipped, Skip: pillarbox.SkippedForgotten},
		{Handle: held[1].Handle, Kind: pillarbox.OutcomeDead},
		{Handle: held[3].Handle, Kind: pillarbox.OutcomeDead},
		{Handle: held[3].Handle, Kind: pillarbox.OutcomeDead},
		{Handle: pillarbox.Handle{Seq: 99}, Kind: pillarbox.OutcomeDead},
	}
	settled, err := s.Queue.SettleHeld(s.Context(), storyDestination, outcomes)
	if err != nil || settled != 3 {
		s.Fatalf("%d were settled, %v", settled, err)
	}
	s.expect(storyDestination, pillarbox.Account{Accepted: 4, Skipped: 1,
		SkippedBy: pillarbox.Skips{Forgotten: 1}, Dead: 2, Pending: 1, Held: 1})
	if _, err := s.Queue.SettleHeld(s.Context(), storyDestination,
		[]pillarbox.Outcome{{Handle: held[2].Handle, Kind: pillarbox.OutcomeStored}}); err == nil {
		s.Error("a held event was settled as stored")
	}
	s.review(storyDestination)
	if d := s.lease(all); len(d) != 1 || d[0].Handle != held[2].Handle {
		s.Errorf("%d come again", len(d))
	}
}

func obligationsRoute(s obligationsStory) {
	s.oblige(storyDestination, "old")
	events := s.from("old", 4, 1)
	d := s.lease(pillarbox.LeaseLimits{MaxEvents: 2})
	s.settle(pillarbox.OutcomeHeld, d...)
	s.oblige("archive", "new")
	s.expect("archive", pillarbox.Account{Accepted: 4, Skipped: 4,
		SkippedBy: pillarbox.Skips{Before: 4}})
	s.oblige(storyDestination)
	s.review(storyDestination, "old")
	routed, err := s.Queue.Route(s.Context(), storyDestination, "archive",
		s.held(storyDestination)[1:])
	if err != nil || routed != 3 {
		s.Fatalf("%d were routed, %v", routed, err)
	}
	s.expect(storyDestination, pillarbox.Account{Accepted: 4, Skipped: 3,
		SkippedBy: pillarbox.Skips{Routed: 3}, Pending: 1, Held: 1})
	deliveries := s.leaseFor("archive", all)
	if len(deliveries) != 3 || s.account("archive").Pending != 3 {
		s.Fatalf("%d of 3 routed events are handed out: %+v", len(deliveries), s.account("archive"))
	}
	outcomes := make([]pillarbox.Outcome, len(deliveries))
	for i, delivery := range deliveries {
		if diff := Diff(delivery.Event, events[i+1]); diff != "" || !delivery.Routed {
			s.Errorf("routed event %d: routed %v, %s", i, delivery.Routed, diff)
		}
		outcomes[i] = pillarbox.Outcome{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored}
	}
	s.must(s.Settle(context.Background(), "archive", outcomes))
	s.expect("archive", pillarbox.Account{Accepted: 4, Stored: 3, Skipped: 1,
		SkippedBy: pillarbox.Skips{Before: 1}})
	if _, err := s.Queue.Route(s.Context(), storyDestination, storyDestination,
		s.held(storyDestination)); err == nil {
		s.Error("routed to itself")
	}
}

func obligationsRouteTwice(s obligationsStory) {
	s.account(storyDestination)
	s.oblige("archive", "old")
	s.oblige(storyDestination, "old")
	s.from("old", 2, 1)
	s.must(s.Settle(s.Context(), "archive", storedAll(s.leaseFor("archive", all))))
	s.settle(pillarbox.OutcomeHeld, s.lease(all)...)
	held := s.held(storyDestination)
	for round := range 2 { // what the other destination has had is not given to it again
		routed, err := s.Queue.Route(s.Context(), storyDestination, "archive", held)
		if want := 2 * (1 - round); err != nil || routed != want {
			s.Fatalf("round %d: %d were routed, %v", round, routed, err)
		}
	}
	s.expect("archive", pillarbox.Account{Accepted: 2, Stored: 2})
	s.expect(storyDestination, pillarbox.Account{Accepted: 2, Skipped: 2,
		SkippedBy: pillarbox.Skips{Routed: 2}})
	if d := s.leaseFor("archive", all); len(d) != 0 {
		s.Errorf("%d events come twice", len(d))
	}
}

func storedAll(deliveries []pillarbox.Delivery) []pillarbox.Outcome {
	outcomes := make([]pillarbox.Outcome, len(deliveries))
	for i, delivery := range deliveries {
		outcomes[i] = pillarbox.Outcome{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored}
	}
	return outcomes
}

func obligationsRedeliver(s obligationsStory) {
	s.oblige(storyDestination, "app")
	events := s.from("app", 4, 1)
	s.from("other", 1, 2)
	d := s.lease(all)
	s.settle(pillarbox.OutcomeStored, d[:3]...)
	s.must(s.Settle(s.Context(), storyDestination,
		[]pillarbox.Outcome{{Handle: d[4].Handle, Kind: pillarbox.OutcomeSkipped,
			Skip: pillarbox.SkippedSource}}))
	settled := 0
	s.must(s.Queue.ScanSettled(s.Context(), storyDestination, func(d *pillarbox.Delivery) error {
		if diff := Diff(d.Event, events[settled]); diff != "" {
			s.Errorf("settled event %d: %s", settled, diff)
		}
		settled++
		return nil
	}))
	if settled != 3 {
		s.Errorf("%d are settled", settled)
	}
	handles := []pillarbox.Handle{d[1].Handle, d[2].Handle, d[3].Handle, {Seq: 99}} // one is leased, one is nowhere
	redelivered, err := s.Queue.Redeliver(s.Context(), storyDestination, handles, 0)
	if err != nil || redelivered != 2 {
		s.Fatalf("%d are handed out again, %v", redelivered, err)
	}
	if account := s.account(storyDestination); account.Stored != 1 || account.Pending != 3 {
		s.Errorf("account %+v", account)
	}
	again := s.lease(all)
	if len(again) != 2 || again[0].Handle != d[1].Handle {
		s.Fatalf("%d come again", len(again))
	}
	s.settle(pillarbox.OutcomeStored, append(again, d[3])...)
	s.expect(storyDestination, pillarbox.Account{Accepted: 5, Stored: 4, Skipped: 1,
		SkippedBy: pillarbox.Skips{Source: 1}})
}

// skip settles deliveries as skipped.
func (s obligationsStory) skip(destination, rule string, deliveries ...pillarbox.Delivery) {
	s.Helper()
	outcomes := make([]pillarbox.Outcome, len(deliveries))
	for i, d := range deliveries {
		outcomes[i] = pillarbox.Outcome{Handle: d.Handle, Kind: pillarbox.OutcomeSkipped, Skip: rule}
	}
	s.must(s.Settle(s.Context(), destination, outcomes))
}

// skipped lists what a scan finds from a place on, by rule.
func (s obligationsStory) skipped(destination string, from pillarbox.Handle) (deliveries []*pillarbox.Delivery, rules []string) {
	s.Helper()
	s.must(s.Queue.ScanSkipped(s.Context(), destination, from, func(d *pillarbox.Delivery, rule string) error {
		copied := *d
		deliveries, rules = append(deliveries, &copied), append(rules, rule)
		return nil
	}))
	return deliveries, rules
}

const storyFilter = `json.type == "a"`

func obligationsFilter(s obligationsStory) {
	rule := pillarbox.Rule{Sources: []string{"app"}, Where: storyFilter}
	s.must(s.Queue.Oblige(s.Context(), storyDestination, rule))
	events := s.from("app", 4, 1)
	d := s.lease(all)
	if at := s.Queue.RuleAt(storyDestination, d[0].Handle); at == nil || !at.Equal(&rule) {
		s.Errorf("rule %+v", at)
	}
	s.skip(storyDestination, pillarbox.SkippedFilter, d[0], d[2])
	s.settle(pillarbox.OutcomeStored, d[1], d[3])
	s.expect(storyDestination, pillarbox.Account{Accepted: 4, Stored: 2, Skipped: 2, SkippedBy: pillarbox.Skips{Filter: 2}})
	want := []pillarbox.Standing{pillarbox.StandingSkipped, pillarbox.StandingSettled,
		pillarbox.StandingSkipped, pillarbox.StandingSettled}
	var got []pillarbox.Standing
	s.must(s.Queue.Scan(s.Context(), storyDestination, func(_ *pillarbox.Event, standing pillarbox.Standing) error {
		got = append(got, standing)
		return nil
	}))
	if !slices.Equal(got, want) {
		s.Errorf("standings %v, want %v", got, want)
	}
	_, traces, err := s.Queue.Trace(s.Context(), events[2].RequestID)
	if at := traces[storyDestination]; err != nil || at.Skip != pillarbox.SkippedFilter || at.Where != storyFilter {
		s.Errorf("trace %+v, %v", at, err)
	}
}

// obligationsRouteFiltered gives an event to a destination that was meant to get it by its source, and
// whose filter has not been asked yet: it must not be asked any more.
func obligationsRouteFiltered(s obligationsStory) {
	s.must(s.Queue.Oblige(s.Context(), "archive", pillarbox.Rule{Sources: []string{"old"}, Where: storyFilter}))
	s.oblige(storyDestination, "old")
	s.from("old", 3, 1)
	first := s.leaseFor("archive", pillarbox.LeaseLimits{MaxEvents: 1})
	s.skip("archive", pillarbox.SkippedFilter, first...)
	leased := s.leaseFor("archive", pillarbox.LeaseLimits{MaxEvents: 1}) // when the events are given to it
	s.settle(pillarbox.OutcomeHeld, s.lease(all)...)
	routed, err := s.Queue.Route(s.Context(), storyDestination, "archive", s.held(storyDestination))
	if err != nil || routed != 3 {
		s.Fatalf("%d were routed, %v", routed, err)
	}
	s.skip("archive", pillarbox.SkippedFilter, leased...)
	var again []pillarbox.Delivery
	for len(again) < 3 && s.account("archive").Pending > uint64(len(again)) { // what is leased is pending
		again = append(again, s.leaseFor("archive", all)...)
	}
	for _, d := range again {
		if !d.Routed {
			s.Errorf("event %d is not routed", d.Handle.Seq)
		}
	}
	s.must(s.Settle(s.Context(), "archive", storedAll(again)))
	s.expect("archive", pillarbox.Account{Accepted: 3, Stored: 3})
}

func obligationsUnskip(s obligationsStory) {
	s.oblige(storyDestination, "app")
	s.from("app", 3, 1)
	s.settle(pillarbox.OutcomeStored, s.lease(all)...)
	s.must(s.Queue.Oblige(s.Context(), "late", pillarbox.Rule{Sources: []string{"app"}, Where: storyFilter}))
	s.from("app", 2, 2)
	s.from("other", 1, 3)
	d := s.leaseFor("late", all)
	s.skip("late", pillarbox.SkippedFilter, d[0])
	s.skip("late", pillarbox.SkippedSource, d[2])
	s.must(s.Settle(s.Context(), "late", storedAll(d[1:2])))
	s.expect("late", pillarbox.Account{Accepted: 6, Stored: 1, Skipped: 5,
		SkippedBy: pillarbox.Skips{Before: 3, Filter: 1, Source: 1}})
	skipped, rules := s.skipped("late", pillarbox.Handle{})
	if want := []string{pillarbox.SkippedBefore, pillarbox.SkippedBefore, pillarbox.SkippedBefore, pillarbox.SkippedFilter,
		pillarbox.SkippedSource}; !slices.Equal(rules, want) {
		s.Fatalf("skipped by %v, want %v", rules, want)
	}
	if some, _ := s.skipped("late", skipped[2].Handle); len(some) != 3 {
		s.Errorf("%d of 3 are found from a place on", len(some))
	}
	chosen := []*pillarbox.Delivery{skipped[1], skipped[3], skipped[4]}
	for round := range 2 { // what is pending already is not taken twice
		taken, err := s.Queue.Unskip(s.Context(), "late", chosen)
		if want := 3 * (1 - round); err != nil || taken != want {
			s.Fatalf("round %d: %d of %d were taken, %v", round, taken, want, err)
		}
	}
	s.expect("late", pillarbox.Account{Accepted: 6, Stored: 1, Skipped: 2, SkippedBy: pillarbox.Skips{Before: 2}, Pending: 3, Backfill: 3})
	var again []pillarbox.Delivery
	for len(again) < 3 && s.account("late").Pending > uint64(len(again)) {
		again = append(again, s.leaseFor("late", all)...)
	}
	for i, d := range again {
		if diff := Diff(d.Event, chosen[i].Event); diff != "" || !d.Routed {
			s.Errorf("event %d: routed %v, %s", i, d.Routed, diff)
		}
	}
	s.must(s.Settle(s.Context(), "late", storedAll(again)))
	s.expect("late", pillarbox.Account{Accepted: 6, Stored: 4, Skipped: 2, SkippedBy: pillarbox.Skips{Before: 2}})
	if _, rules := s.skipped("late", pillarbox.Handle{}); len(rules) != 2 {
		s.Errorf("%v are skipped in the end", rules)
	}
}

// obligationsCopied has a queue that has forgotten nothing. What is counted of what it has is a story of
// each engine.
func obligationsCopied(s obligationsStory) {
	s.oblige(storyDestination, "app")
	s.from("app", 3, 1)
	if at, _ := s.Queue.Began("late"); at.Seq != 0 {
		s.Errorf("a destination that is not known began at %d", at.Seq)
	}
	s.oblige("late", "app")
	events := s.from("app", 1, 2)
	var kept []string
	s.must(s.Queue.ScanKept(s.Context(), func(d *pillarbox.Delivery) error {
		kept = append(kept, d.Event.RequestID)
		return nil
	}))
	at, when := s.Queue.Began("late")
	if len(kept) != 4 || kept[3] != events[0].RequestID || at.Seq != 4 || when == 0 {
		s.Errorf("kept %v; late began with event %d, at %d", kept, at.Seq, when)
	}
	if record := s.Queue.Copied("late"); record.Job != "" {
		s.Errorf("record %+v before there is one", record)
	}
	for _, record := range []pillarbox.CopyRecord{
		{Job: "first", Batch: []string{"a", "b"}},
		{Job: "first", After: pillarbox.CopyKey{Timestamp: 3, RequestID: "b"}, Reached: pillarbox.CopyKey{Timestamp: 3, RequestID: "b"}},
	} {
		counted, err := s.Queue.SetCopied(s.Context(), "late", record, 2, 1)
		if err != nil || counted != 0 {
			s.Errorf("%d were counted, %v", counted, err)
		}
		if got := s.Queue.Copied("late"); !reflect.DeepEqual(got, record) {
			s.Errorf("record %+v, want %+v", got, record)
		}
	}
	s.expect("late", pillarbox.Account{Accepted: 4, Skipped: 3, SkippedBy: pillarbox.Skips{Before: 3}, Pending: 1})
}

func obligationsStore(s obligationsStory) {
	s.account(storyDestination)
	if record := s.Queue.Store(storyDestination); record != (pillarbox.StoreRecord{}) {
		s.Errorf("record %+v before there is one", record)
	}
	record := pillarbox.StoreRecord{}.Meet(pillarbox.StoreIdentity{ID: "a"}, 1)
	if filled := (pillarbox.StoreRecord{}).Meet(pillarbox.StoreIdentity{ID: "a", Mark: 5},
		1); filled.Changed == "" {
		s.Error("a store that somebody else has filled is taken for a new one")
	}
	for at, met := range []struct {
		pillarbox.StoreIdentity
		changed bool
	}{
		{pillarbox.StoreIdentity{ID: "a", Mark: 7}, false},
		{pillarbox.StoreIdentity{}, false}, // it is not open
		{pillarbox.StoreIdentity{ID: "a", Mark: 6}, true},
		{pillarbox.StoreIdentity{ID: "a", Mark: 9}, true}, // it stays on the record
		{pillarbox.StoreIdentity{ID: "b", Mark: 10}, true},
	} {
		record = record.Meet(met.StoreIdentity, pillarbox.Timestamp(at+2))
		if (record.Changed != "") != met.changed {
			s.Errorf("met %+v: record %+v", met, record)
		}
		s.must(s.Queue.SetStore(s.Context(), storyDestination, record))
		if got := s.Queue.Store(storyDestination); got != record {
			s.Errorf("record %+v, want %+v", got, record)
		}
	}
}

// A pause is remembered of its destination alone, changes nothing of what is pending or handed out, and
// ends when it is taken back.
func obligationsPause(s obligationsStory) {
	s.oblige(storyDestination, "app")
	s.append(s.from("app", 3, 1)...)
	if s.Queue.Pause(storyDestination).IsPaused() || s.Queue.Pause("unknown").IsPaused() {
		s.Error("a destination is paused, and nobody has paused it")
	}
	for _, record := range []pillarbox.PauseRecord{{At: 5, By: "ops", Reason: "maintenance"}, {At: 6}, {}} {
		s.must(s.Queue.SetPause(s.Context(), storyDestination, record))
		if got := s.Queue.Pause(storyDestination); got != record {
			s.Errorf("the pause is %+v, want %+v", got, record)
		}
		s.settle(pillarbox.OutcomeStored, s.lease(pillarbox.LeaseLimits{MaxEvents: 1})...)
	}
	s.account(storyDestination)
}

func obligationsTrace(s obligationsStory) {
	s.oblige(storyDestination, "app", "old")
	events := append(s.from("app", 2, 1), s.from("old", 1, 2)...)
	for i, event := range events {
		event.RequestID = fmt.Sprint("traced-", i)
	}
	s.append(events...)
	s.settle(pillarbox.OutcomeStored, s.lease(pillarbox.LeaseLimits{MaxEvents: 4})...)
	s.account("later")
	s.oblige(storyDestination, "app")
	s.review(storyDestination, "old")
	for i, want := range map[int]pillarbox.Trace{
		0: {Standing: pillarbox.StandingSettled}, 1: {Standing: pillarbox.StandingPending}, 2: {
			Standing: pillarbox.StandingPending, Held: true},
	} {
		event, traces, err := s.Queue.Trace(s.Context(), events[i].RequestID)
		if err != nil || Diff(event, events[i]) != "" || traces[storyDestination] != want ||
			traces["later"].Skip != pillarbox.SkippedBefore {
			s.Errorf("trace of event %d: %+v, %v, want %+v", i, traces, err, want)
		}
	}
	if _, _, err := s.Queue.Trace(s.Context(), "nobody"); err == nil {
		s.Error("nobody was traced")
	}
}
