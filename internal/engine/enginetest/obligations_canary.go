package enginetest

import (
	"slices"
	"time"

	"pillarbox"
)

// obligationsCanary has a canary's event between users' events, whose rule takes them, and one that
// waits for its removal outside of the order.
func obligationsCanary(s obligationsStory) {
	s.must(s.Queue.Oblige(s.Context(), storyDestination, pillarbox.Rule{}))
	canary := s.from(pillarbox.CanarySource, 2, 1)
	if oldest := s.account(storyDestination).OldestPending; oldest != 0 {
		s.Errorf("an event of the canary is what has waited longest: %v", oldest)
	}
	s.from("app", 2, 2)
	d := s.lease(pillarbox.LeaseLimits{MaxEvents: 4})
	if oldest := s.account(storyDestination).OldestPending; oldest != d[2].Event.Timestamp {
		s.Errorf("the oldest event that waits is of %v, want %v", oldest, d[2].Event.Timestamp)
	}
	s.skip(storyDestination, pillarbox.SkippedCanary, d[0])
	s.must(
		s.Settle(
			s.Context(),
			storyDestination,
			append(storedAll(d[2:]), pillarbox.Outcome{Handle: d[1].Handle,
				Kind: pillarbox.OutcomeRetry, NotBefore: s.now().Add(time.Minute)}),
		),
	)
	s.expect(
		storyDestination,
		pillarbox.Account{
			Accepted:  4,
			Stored:    2,
			Skipped:   1,
			Pending:   1,
			Retrying:  s.account(storyDestination).Retrying,
			SkippedBy: pillarbox.Skips{Canary: 1},
		},
	)
	s.clock.Add(int64(2 * time.Minute))
	again := s.lease(all)
	if len(again) != 1 || len(again[0].Attempts) != 0 || !again[0].Event.IsCanary() {
		s.Fatalf("what waits for its removal comes again as %+v", again)
	}
	s.skip(storyDestination, pillarbox.SkippedCanary, again[0])
	s.expect(
		storyDestination,
		pillarbox.Account{
			Accepted:  4,
			Stored:    2,
			Skipped:   2,
			SkippedBy: pillarbox.Skips{Canary: 2},
		},
	)
	for _, event := range canary {
		_, traces, err := s.Queue.Trace(s.Context(), event.RequestID)
		if at := traces[storyDestination]; err != nil || at.Skip != pillarbox.SkippedCanary ||
			at.Standing != pillarbox.StandingSkipped {
			s.Errorf("it is traced as %+v, %v", at, err)
		}
	}
	if _, rules := s.skipped(storyDestination, pillarbox.Handle{}); !slices.Equal(
		rules,
		[]string{pillarbox.SkippedCanary, pillarbox.SkippedCanary},
	) {
		s.Errorf("skipped by %v", rules)
	}
}

// queueSkips holds every queue to it, also one that counts what it has settled itself alone: the account
// of users' events is made of it.
func queueSkips(s queueStory) {
	events := Events(3, 95)
	events[1].Source = pillarbox.CanarySource
	s.append(events...)
	rules := map[bool]string{true: pillarbox.SkippedCanary, false: pillarbox.SkippedFilter}
	for left := len(events); left > 0; {
		deliveries := s.lease(pillarbox.LeaseLimits{MaxEvents: left})
		var outcomes []pillarbox.Outcome
		for _, d := range deliveries {
			outcomes = append(outcomes, pillarbox.Outcome{Handle: d.Handle,
				Kind: pillarbox.OutcomeSkipped, Skip: rules[d.Event.IsCanary()]})
		}
		if err := s.Settle(s.Context(), storyDestination, outcomes); err != nil {
			s.Fatal(err)
		}
		left -= len(deliveries)
	}
	want := pillarbox.Skips{Filter: 2, Canary: 1}
	if account := s.account(storyDestination); account.Skipped != 3 || account.SkippedBy != want {
		s.Errorf("account %+v, want it skipped by %+v", account, want)
	}
}
