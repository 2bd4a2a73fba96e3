package ledger_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/ledger"
)

// fixture is a queue, a store and dead letters that a story settles by hand.
type fixture struct {
	t       *testing.T
	queue   *memory.Queue
	sink    *lossySink
	letters *memory.DeadLetters
	ledger  *ledger.Ledger
	events  []*pillarbox.Event
}

// lossySink can lose an event, as a store does whose rows somebody deletes.
type lossySink struct {
	*memory.Sink
	lost   map[string]bool
	spoilt map[string]bool // whose rows are no events any more
}

// fixed are destinations that no reload changes.
func fixed(destinations ...ledger.Destination) func() []ledger.Destination {
	return func() []ledger.Destination { return destinations }
}

func (s *lossySink) Missing(ctx context.Context, keys []pillarbox.Key) ([]pillarbox.Key, error) {
	missing, err := s.Sink.Missing(ctx, keys)
	for _, key := range keys {
		if s.lost[key.RequestID] {
			missing = append(missing, key)
		}
	}
	return missing, err
}

func (s *lossySink) Count(ctx context.Context) (uint64, error) {
	n, err := s.Sink.Count(ctx)
	return n - uint64(len(s.lost)), err
}

func (s *lossySink) Find(ctx context.Context, requestID string) (*pillarbox.Event, error) {
	if s.spoilt[requestID] {
		return nil, &pillarbox.UnreadableError{Items: []string{"row " + requestID}, Count: 1}
	}
	return s.Sink.Find(ctx, requestID)
}

// TestStoryOfARowThatIsNoEvent is told from the queue; where nobody else knows it, the row is
// named.
func TestStoryOfARowThatIsNoEvent(t *testing.T) {
	d := open(t)
	d.settle(2, 1)
	known := d.events[0].RequestID
	d.sink.spoilt = map[string]bool{known: true, "by-hand": true}
	trace, err := d.ledger.Trace(t.Context(), known)
	d.must(err)
	if got := trace.Deliveries[0]; got.State != pillarbox.StateStored || trace.Event == nil ||
		!strings.Contains(got.Reason, "row "+known) {
		t.Errorf("story %+v", trace)
	}
	_, err = d.ledger.Trace(t.Context(), "by-hand")
	if !errors.Is(err, pillarbox.ErrCorrupt) || !strings.Contains(err.Error(), "row by-hand") {
		t.Errorf("story of a row that nobody knows: %v", err)
	}
}

// open appends ten events; the story settles them.
func open(t *testing.T) *fixture {
	t.Helper()
	d := &fixture{
		t: t, queue: memory.NewQueue(nil), letters: memory.NewDeadLetters(), events: enginetest.Events(
			10, 1),
		sink: &lossySink{Sink: memory.NewSink(), lost: map[string]bool{}},
	}
	for _, event := range d.events {
		event.Source = "app"
	}
	d.ledger = ledger.New(d.queue, d.letters,
		fixed(ledger.Destination{Destination: destination.New(
			destination.Settings{Name: "events",
				Rule: &pillarbox.Rule{Sources: []string{"app"}}}), Sink: d.sink}), nil)
	if _, err := d.queue.Account("events"); err != nil {
		t.Fatal(err)
	}
	d.must(d.queue.Append(context.Background(), d.events))
	return d
}

func (d *fixture) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// settle stores the first n events, dead-letters the next, and leaves the rest leased.
func (d *fixture) settle(stored, dead int) {
	d.t.Helper()
	deliveries, err := d.queue.Lease(context.Background(), "events",
		pillarbox.LeaseLimits{MaxEvents: stored + dead})
	d.must(err)
	var outcomes []pillarbox.Outcome
	for i, delivery := range deliveries {
		kind := pillarbox.OutcomeStored
		if i >= stored {
			kind = pillarbox.OutcomeDead
			d.must(pillarbox.PutDeadLetter(context.Background(), d.letters, &pillarbox.DeadLetter{
				Version: 1, Destination: "events", Reason: "no", DeadAt: 1763907120000000, Event: delivery.Event, Replay: "pillarbox dead replay x",
				Attempts: []pillarbox.Attempt{{At: 1763907120000000, Class: pillarbox.ClassPermanent,
					Error: "no"}},
			}))
		} else {
			d.must(d.sink.Write(context.Background(), []*pillarbox.Event{delivery.Event}))
		}
		outcomes = append(outcomes, pillarbox.Outcome{Handle: delivery.Handle, Kind: kind})
	}
	d.must(d.queue.Settle(context.Background(), "events", outcomes))
}

func (d *fixture) expect(stored, dead, pending uint64, balanced bool) {
	d.t.Helper()
	account, err := d.ledger.Totals(context.Background())
	d.must(err)
	entry := account.Destinations[0]
	if account.Accepted != 10 || entry.Accepted != 10 || entry.Stored != stored ||
		entry.Dead != dead || entry.Pending != pending || entry.Balanced != balanced {
		d.t.Errorf("ledger %+v, want stored %d, dead %d, pending %d, balanced %v", entry, stored, dead,
			pending, balanced)
	}
}

func (d *fixture) audit() *ledger.AuditEntry {
	d.t.Helper()
	audit, err := d.ledger.Audit(context.Background())
	d.must(err)
	if sound := len(audit.Destinations[0].Problems) == 0; audit.Balanced != sound ||
		audit.Destinations[0].Balanced != sound {
		d.t.Errorf("audit %+v contradicts itself", audit)
	}
	return &audit.Destinations[0]
}

func TestLedgerFollowsReplayAndDiscard(t *testing.T) {
	d := open(t)
	d.expect(0, 0, 10, true)
	d.settle(5, 3)
	d.expect(5, 3, 2, true)
	replayed, discarded := d.events[5], d.events[6]
	d.must(d.sink.Write(context.Background(), []*pillarbox.Event{replayed}))
	d.must(pillarbox.ResolveDeadLetter(context.Background(), d.letters,
		pillarbox.DeadLetterKey{Destination: "events", Key: replayed.Key()}, pillarbox.Resolution{At: 1,
			How: pillarbox.ResolvedReplayed}))
	d.expect(6, 2, 2, true)
	d.must(pillarbox.ResolveDeadLetter(context.Background(), d.letters,
		pillarbox.DeadLetterKey{Destination: "events", Key: discarded.Key()}, pillarbox.Resolution{At: 1,
			How: pillarbox.ResolvedDiscarded}))
	d.expect(6, 2, 2, true)
	if entry := d.audit(); len(entry.Problems) != 0 || entry.Found == nil || *entry.Found != 6 {
		t.Errorf("audit %+v", entry)
	}
}

// uncountedQueue counts nothing but what this process settles, which is nothing here: others
// deliver.
type uncountedQueue struct{ *memory.Queue }

func (q uncountedQueue) Account(string) (pillarbox.Account, error) {
	return pillarbox.Account{Uncounted: true}, nil
}

// TestLettersOfOthersBalance: where the queue counts nothing, a letter that another process wrote
// is no surplus.
func TestLettersOfOthersBalance(t *testing.T) {
	d := open(t)
	d.settle(7, 3)
	d.ledger = ledger.New(uncountedQueue{d.queue}, d.letters,
		fixed(ledger.Destination{Destination: destination.New(destination.Settings{Name: "events"}),
			Sink: d.sink}), nil)
	entry := d.audit()
	if len(entry.Problems) != 0 || !entry.Balanced || entry.Stored != 7 || entry.Dead != 3 ||
		entry.Accepted != 10 {
		t.Errorf("audit %+v", entry)
	}
}

// TestAuditNamesWhatIsMissing deletes a row from the store behind the ledger's back.
func TestAuditNamesWhatIsMissing(t *testing.T) {
	d := open(t)
	d.settle(7, 1)
	d.sink.lost[d.events[3].RequestID] = true
	d.expect(7, 1, 2, true) // the ledger can't know
	entry := d.audit()
	if len(entry.Missing) != 1 || entry.Missing[0].RequestID != d.events[3].RequestID ||
		len(entry.Problems) != 1 {
		t.Errorf("audit %+v", entry)
	}
}

// TestAuditMissesDeadLetters settles an event as dead without a letter, as if its file had been
// removed.
func TestAuditMissesDeadLetters(t *testing.T) {
	d := open(t)
	d.settle(4, 1)
	deliveries, err := d.queue.Lease(context.Background(), "events",
		pillarbox.LeaseLimits{MaxEvents: 1})
	d.must(err)
	d.must(d.queue.Settle(context.Background(), "events",
		[]pillarbox.Outcome{{Handle: deliveries[0].Handle, Kind: pillarbox.OutcomeDead}}))
	d.expect(4, 1, 4, false)
	entry := d.audit()
	if len(entry.Problems) < 1 || len(entry.Missing) != 1 ||
		entry.Missing[0].RequestID != d.events[5].RequestID {
		t.Errorf("audit %+v", entry)
	}
}

// TestHalfBuriedEventIsCountedOnce has a letter whose event is still pending as rejected: a crash
// came between writing the letter and settling.
func TestHalfBuriedEventIsCountedOnce(t *testing.T) {
	d := open(t)
	deliveries, err := d.queue.Lease(context.Background(), "events",
		pillarbox.LeaseLimits{MaxEvents: 1})
	d.must(err)
	attempt := &pillarbox.Attempt{At: 1763907120000000, Class: pillarbox.ClassPermanent, Error: "no"}
	rejection := &pillarbox.Rejection{Reason: "no", DeadAt: 1763907120000000}
	d.must(d.queue.Settle(context.Background(), "events",
		[]pillarbox.Outcome{{Handle: deliveries[0].Handle, Kind: pillarbox.OutcomeRejected,
			Attempt: attempt, Rejection: rejection}}))
	d.must(pillarbox.PutDeadLetter(context.Background(), d.letters,
		&pillarbox.DeadLetter{Version: 1, Destination: "events", Reason: "no", DeadAt: 1763907120000000,
			Event: deliveries[0].Event, Attempts: []pillarbox.Attempt{*attempt}}))
	d.expect(0, 0, 10, true)
}

// rottenLetters has a letter that can't be read.
type rottenLetters struct {
	*memory.DeadLetters
	rotten string
}

func (r *rottenLetters) err() error {
	return &pillarbox.CorruptError{File: "letter.json", Reason: "no JSON"}
}

func (r *rottenLetters) Get(ctx context.Context, destination,
	requestID string) (*pillarbox.DeadLetter, error) {
	if requestID == r.rotten {
		return nil, r.err()
	}
	return r.DeadLetters.Get(ctx, destination, requestID)
}

func (r *rottenLetters) List(ctx context.Context,
	filter pillarbox.DeadLetterFilter) iter.Seq2[*pillarbox.DeadLetter, error] {
	return func(yield func(*pillarbox.DeadLetter, error) bool) {
		for letter, err := range r.DeadLetters.List(ctx, filter) {
			if letter != nil && letter.Event.RequestID == r.rotten {
				letter, err = nil, r.err()
			}
			if !yield(letter, err) {
				return
			}
		}
	}
}

// TestLetterThatCannotBeReadIsOneProblem, and the rest of the audit is there all the same.
func TestLetterThatCannotBeReadIsOneProblem(t *testing.T) {
	d := open(t)
	d.settle(5, 2)
	d.sink.lost[d.events[1].RequestID] = true
	rotten := d.events[5].RequestID
	d.ledger = ledger.New(d.queue, &rottenLetters{d.letters, rotten},
		fixed(ledger.Destination{Destination: destination.New(
			destination.Settings{Name: "events",
				Rule: &pillarbox.Rule{Sources: []string{"app"}}}), Sink: d.sink}), nil)
	entry := d.audit()
	if len(entry.Problems) != 2 || !strings.Contains(entry.Problems[0], "letter.json") ||
		len(entry.Missing) != 1 || entry.Missing[0].RequestID != d.events[1].RequestID {
		t.Errorf("audit %+v", entry)
	}
	trace, err := d.ledger.Trace(t.Context(), rotten)
	if err != nil || trace.State != pillarbox.StateDead ||
		!strings.Contains(trace.Deliveries[0].Reason, "letter.json") {
		t.Errorf("story %+v, %v", trace, err)
	}
}

func TestStoryTellsEachState(t *testing.T) {
	d := open(t)
	d.settle(2, 1)
	for i, want := range map[int]string{0: pillarbox.StateStored, 2: pillarbox.StateDead,
		7: pillarbox.StatePending} {
		trace, err := d.ledger.Trace(context.Background(), d.events[i].RequestID)
		d.must(err)
		if trace.State != want || len(trace.Deliveries) != 1 || trace.Deliveries[0].State != want ||
			enginetest.Diff(trace.Event, d.events[i]) != "" {
			t.Errorf("story of event %d is %+v, want %s", i, trace, want)
		}
		if (trace.Deliveries[0].StoredAt != nil) != (want == pillarbox.StateStored) ||
			(trace.Deliveries[0].Replay != "") != (want == pillarbox.StateDead) {
			t.Errorf("delivery %+v", trace.Deliveries[0])
		}
	}
	dead := d.events[2]
	d.must(pillarbox.ResolveDeadLetter(t.Context(), d.letters,
		pillarbox.DeadLetterKey{Destination: "events", Key: dead.Key()}, pillarbox.Resolution{At: 1,
			How: pillarbox.ResolvedReplayed}))
	trace, err := d.ledger.Trace(t.Context(), dead.RequestID)
	d.must(err)
	if got := trace.Deliveries[0]; got.State != pillarbox.StatePending ||
		got.Reason != "replayed, and not in the destination" {
		t.Errorf("replayed, and not there: %+v", got)
	}
	d.must(d.sink.Write(t.Context(), []*pillarbox.Event{dead}))
	if trace, err = d.ledger.Trace(t.Context(), dead.RequestID); err != nil ||
		trace.State != pillarbox.StateStored {
		t.Errorf("replayed: %+v, %v", trace, err)
	}
	if _, err := d.ledger.Trace(context.Background(), "nobody"); !errors.Is(err,
		pillarbox.ErrNotFound) {
		t.Errorf("story of nobody: %v", err)
	}
}

// onlyTakes is a sink that can't be read back.
type onlyTakes struct{ pillarbox.SinkDefaults }

func (onlyTakes) Write(context.Context, []*pillarbox.Event) error { return nil }
func (onlyTakes) Close() error                                    { return nil }

// remembered is a history that knows one refusal of every event.
type remembered struct{}

func (remembered) Attempts(string, string) []pillarbox.Attempt {
	return []pillarbox.Attempt{{At: 1, Class: pillarbox.ClassRefused, Error: "not now"}}
}

// TestStoryWhereNothingIsReadBack: the queue is believed, and what it has settled is stored, with the
// refusals before; also where it has forgotten the event, and another destination has not.
func TestStoryWhereNothingIsReadBack(t *testing.T) {
	d := open(t)
	d.settle(2, 1)
	blind := ledger.Destination{Destination: destination.New(destination.Settings{Name: "events"}), Sink: onlyTakes{}}
	other := ledger.Destination{Destination: destination.New(destination.Settings{Name: "other"}), Sink: d.sink}
	told := ledger.New(d.queue, d.letters, fixed(blind), remembered{})
	for i, want := range map[int]string{0: pillarbox.StateStored, 2: pillarbox.StateDead, 7: pillarbox.StatePending} {
		trace, err := told.Trace(t.Context(), d.events[i].RequestID)
		d.must(err)
		got := trace.Deliveries[0]
		if got.State != want || want == pillarbox.StateStored && (len(got.Attempts) != 1 || got.Reason != "") {
			t.Errorf("story of event %d is %+v, want %s", i, got, want)
		}
	}
	forgotten := enginetest.Events(20, 2)[19]
	d.must(d.sink.Write(t.Context(), []*pillarbox.Event{forgotten}))
	elsewhere := ledger.Destination{Destination: destination.Unconfigured("elsewhere"), Sink: onlyTakes{}}
	trace, err := ledger.New(d.queue, d.letters, fixed(blind, elsewhere, other), nil).Trace(t.Context(), forgotten.RequestID)
	d.must(err)
	if got := trace.Deliveries[0]; len(trace.Deliveries) != 2 || trace.State != pillarbox.StateStored || got.State != pillarbox.StateStored ||
		!strings.Contains(got.Reason, "can't be read back") {
		t.Errorf("forgotten: %+v", trace)
	}
}
