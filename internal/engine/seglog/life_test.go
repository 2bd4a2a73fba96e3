package seglog_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs/faultfs"
)

// life drives a log and remembers what was promised, so that any later state can be held against
// it.
type life struct {
	t    *testing.T
	rng  *rand.Rand
	log  *seglog.Log
	next uint64

	maxBody int // bytes

	mu           sync.Mutex // the maintenance of the log may call for a check while the life goes on
	sent         map[string]*pillarbox.Event
	acked        map[string]bool
	stored       map[string]bool // durable in the destination
	deadLettered map[string]bool // has its dead letter
	dead         map[string]bool // Settle has said that this is durable
	tried        map[string]int  // attempts that Settle has said are durable
}

func newLife(t *testing.T, seed uint64) *life {
	return &life{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), next: seed * 1_000_000, maxBody: 3000,
		sent: map[string]*pillarbox.Event{}, acked: map[string]bool{}, stored: map[string]bool{},
		deadLettered: map[string]bool{}, dead: map[string]bool{}, tried: map[string]int{},
	}
}

// append sends one group; it is acknowledged only if Append says so.
func (l *life) append(n int) error {
	events := make([]*pillarbox.Event, n)
	for i := range events {
		l.next++
		events[i] = enginetest.Events(1, l.next)[0]
		events[i].Body = make([]byte, l.rng.IntN(l.maxBody))
		for j := range events[i].Body {
			events[i].Body[j] = byte(l.rng.Uint32())
		}
		l.mark(func() { l.sent[events[i].RequestID] = events[i] })
	}
	if err := l.log.Append(context.Background(), events); err != nil {
		return err
	}
	l.mark(func() {
		for _, event := range events {
			l.acked[event.RequestID] = true
		}
	})
	return nil
}

// mark changes what is remembered.
func (l *life) mark(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// deliver leases some events, stores most of them, and has others refused, given back, given up and
// dead-lettered, in no order.
func (l *life) deliver(n int) error {
	deliveries, err := l.leaseNow(l.log, n)
	if err != nil {
		return err
	}
	var outcomes []pillarbox.Outcome
	promised := func() {}
	for _, delivery := range deliveries {
		id, before := delivery.Event.RequestID, promised
		outcome := pillarbox.Outcome{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored}
		attempt := &pillarbox.Attempt{At: 1, Class: pillarbox.ClassRefused, Error: "no"}
		switch chance := l.rng.IntN(10); {
		case delivery.Rejection != nil:
			outcome.Kind = pillarbox.OutcomeDead
			l.mark(func() { l.deadLettered[id] = true })
			promised = func() { before(); l.dead[id] = true }
		case chance < 2:
			outcome.Kind, outcome.Attempt = pillarbox.OutcomeRetry, attempt
			promised = func() { before(); l.tried[id] = len(delivery.Attempts) + 1 }
		case chance == 2:
			outcome.Kind = pillarbox.OutcomeReleased
		case chance == 3:
			outcome.Kind, outcome.Attempt = pillarbox.OutcomeRejected, attempt
			outcome.Rejection = &pillarbox.Rejection{Reason: "no", DeadAt: 1}
			promised = func() { before(); l.tried[id] = len(delivery.Attempts) + 1 }
		default:
			l.mark(func() { l.stored[id] = true })
		}
		outcomes = append(outcomes, outcome)
	}
	if err := l.log.Settle(context.Background(), "events", outcomes); err != nil {
		return err
	}
	l.mark(promised)
	return nil
}

// leaseNow leases up to n deliveries that are there, without waiting for more.
func (l *life) leaseNow(log *seglog.Log, n int) ([]pillarbox.Delivery, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	deliveries, err := log.Lease(ctx, "events", pillarbox.LeaseLimits{MaxEvents: n})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	return deliveries, err
}

// check opens the log on a state after a crash and holds it against the promises.
func (l *life) check(fsys *faultfs.FS, what string) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.recover(fsys, what)
	second := l.recover(fsys, what+", opened again")
	if len(first) != len(second) {
		l.t.Fatalf("%s: %d events came at the first opening, %d at the second", what, len(first),
			len(second))
	}
	for id := range l.acked {
		if !first[id] && !l.stored[id] && !l.deadLettered[id] {
			l.t.Fatalf("%s: acknowledged event %s is lost", what, id)
		}
	}
}

func (l *life) recover(fsys *faultfs.FS, what string) map[string]bool {
	l.t.Helper()
	log, err := seglog.Open(fsys, "queue", small())
	if err != nil {
		l.t.Fatalf("%s: open: %v", what, err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			l.t.Fatalf("%s: close: %v", what, err)
		}
	}()
	pending := map[string]bool{}
	for {
		deliveries, err := l.leaseNow(log, 10_000)
		if err != nil {
			l.t.Fatalf("%s: lease: %v", what, err)
		}
		if len(deliveries) == 0 {
			break
		}
		for _, delivery := range deliveries {
			id := delivery.Event.RequestID
			if pending[id] {
				l.t.Fatalf("%s: event %s came twice", what, id)
			}
			pending[id] = true
			if l.dead[id] {
				l.t.Fatalf("%s: event %s was settled as dead and came again", what, id)
			}
			if len(delivery.Attempts) < l.tried[id] {
				l.t.Fatalf("%s: event %s came with %d attempts, and %d were durable", what, id,
					len(delivery.Attempts), l.tried[id])
			}
			want := l.sent[id]
			if want == nil {
				l.t.Fatalf("%s: event %s was never sent", what, id)
			}
			if diff := enginetest.Diff(delivery.Event, want); diff != "" {
				l.t.Fatalf("%s: event %s: %s", what, id, diff)
			}
		}
	}
	l.checkAccount(log, pending, what)
	return pending
}

func (l *life) checkAccount(log *seglog.Log, pending map[string]bool, what string) {
	l.t.Helper()
	account, err := log.Account("events")
	if err != nil {
		l.t.Fatalf("%s: account: %v", what, err)
	}
	if account.Damaged != 0 || account.Pending != uint64(len(pending)) ||
		account.Accepted != account.Stored+account.Dead+account.Pending {
		l.t.Fatalf("%s: %d events came, account %+v, stats %+v", what, len(pending), account,
			log.Stats())
	}
	if damage := log.Stats().Damage; len(damage) != 0 {
		l.t.Fatalf("%s: a crash was taken for damage: %v", what, damage)
	}
}

// appendTo appends one event to another log than the life's own.
func (l *life) appendTo(log *seglog.Log) error {
	l.log = log
	return l.append(1)
}
