package ledger_test

import (
	"context"
	"slices"
	"testing"

	"pillarbox"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/ledger"
)

func keysOf(events []*pillarbox.Event) (keys []pillarbox.Key) {
	for _, event := range events {
		keys = append(keys, event.Key())
	}
	return keys
}

// TestReceiptsAreLookedUpEverywhere: in the store, among the dead letters, and in the queue. What
// is nowhere is named, with why; nothing else is.
func TestReceiptsAreLookedUpEverywhere(t *testing.T) {
	d := open(t)
	d.settle(4, 3) // events 0 to 3 are stored, 4 to 6 dead, 7 to 9 pending
	d.sink.lost[d.events[1].RequestID] = true
	d.must(pillarbox.ResolveDeadLetter(t.Context(), d.letters, pillarbox.DeadLetterKey{
		Destination: "events", Key: d.events[5].Key()},
		pillarbox.Resolution{At: 1, How: pillarbox.ResolvedReplayed})) // and it is not stored
	invented := enginetest.Events(12, 9)[11].Key()
	moved := d.events[0].Key()
	moved.Timestamp++
	keys := append(keysOf(d.events), invented, moved, d.events[1].Key())
	check, err := d.ledger.Receipts(t.Context(), keys)
	d.must(err)
	want := ledger.ReceiptCheck{Checked: 13, Stored: 3, Dead: 2, Pending: 3, Lost: 5}
	got := *check
	got.Missing = nil
	if got.Checked != want.Checked || got.Stored != want.Stored || got.Dead != want.Dead ||
		got.Pending != want.Pending || got.Held != 0 || got.Skipped != 0 || got.Lost != want.Lost {
		t.Errorf("%+v, want %+v", got, want)
	}
	var missing []pillarbox.Key
	for _, m := range check.Missing {
		missing = append(missing, pillarbox.Key{Timestamp: m.Timestamp, RequestID: m.RequestID})
	}
	if !slices.Equal(missing, []pillarbox.Key{d.events[1].Key(), d.events[5].Key(), invented, moved,
		d.events[1].Key()}) {
		t.Errorf("missing %+v", check.Missing)
	}
	if check.Missing[0].Why != "settled as stored, and not in the destination" ||
		check.Missing[2].Why != "in no destination, no dead letter, and not in the queue" {
		t.Errorf("why: %+v", check.Missing)
	}
	if _, err := d.ledger.Receipts(t.Context(),
		make([]pillarbox.Key, ledger.MaxReceipts+1)); err == nil {
		t.Error("there is no limit")
	}
}

// TestReceiptsOfHeldAndSkippedEvents are of events that are somewhere.
func TestReceiptsOfHeldAndSkippedEvents(t *testing.T) {
	d := open(t)
	ctx := t.Context()
	d.must(d.queue.Oblige(ctx, "events", pillarbox.Rule{Sources: []string{"web"}}))
	d.must(d.queue.Review(ctx, "events", func(delivery *pillarbox.Delivery) bool {
		return delivery.Event.RequestID != d.events[9].RequestID
	}))
	outcomes := func(kind pillarbox.OutcomeKind) (outcomes []pillarbox.Outcome) {
		d.must(d.queue.ScanHeld(ctx, "events", func(delivery *pillarbox.Delivery) error {
			if len(outcomes) < 2 {
				outcomes = append(outcomes, pillarbox.Outcome{Handle: delivery.Handle, Kind: kind,
					Skip: pillarbox.SkippedForgotten})
			}
			return nil
		}))
		return outcomes
	}
	_, err := d.queue.SettleHeld(ctx, "events", outcomes(pillarbox.OutcomeSkipped))
	d.must(err)
	check, err := d.ledger.Receipts(ctx, keysOf(d.events))
	d.must(err)
	if check.Held != 7 || check.Skipped != 2 || check.Pending != 1 || check.Lost != 0 {
		t.Errorf("%+v", check)
	}
}

// movingSink stores an event between two looks at it.
type movingSink struct {
	*lossySink
	looks int
	move  func()
}

func (s *movingSink) Missing(ctx context.Context, keys []pillarbox.Key) ([]pillarbox.Key, error) {
	missing, err := s.lossySink.Missing(ctx, keys)
	if s.looks++; s.looks == 1 {
		s.move()
	}
	return missing, err
}

// TestReceiptOfAnEventThatIsStoredMeanwhile is of no lost one.
func TestReceiptOfAnEventThatIsStoredMeanwhile(t *testing.T) {
	d := open(t)
	sink := &movingSink{lossySink: d.sink, move: func() { d.settle(10, 0) }}
	l := ledger.New(d.queue, d.letters, fixed(ledger.Destination{Destination: destination.New(
		destination.Settings{Name: "events"}), Sink: sink}), nil)
	check, err := l.Receipts(t.Context(), keysOf(d.events))
	d.must(err)
	if check.Stored != 10 || check.Lost != 0 || sink.looks < 2 {
		t.Errorf("%+v after %d looks", check, sink.looks)
	}
}

// TestAuditEntrySaysBalancedAsItsProblemsDo, and so does the whole: whoever reads JSON learns what
// the table says.
func TestAuditEntrySaysBalancedAsItsProblemsDo(t *testing.T) {
	for name, spoil := range map[string]func(d *fixture){
		"nothing":       func(*fixture) {},
		"a row is lost": func(d *fixture) { d.sink.lost[d.events[0].RequestID] = true },
		"a letter more": func(d *fixture) {
			d.must(pillarbox.PutDeadLetter(t.Context(), d.letters, &pillarbox.DeadLetter{Version: 1,
				Destination: "events", Event: enginetest.Events(12, 9)[11], DeadAt: 1}))
		},
	} {
		d := open(t)
		d.settle(8, 2)
		spoil(d)
		audit, err := d.ledger.Audit(t.Context())
		d.must(err)
		for _, entry := range audit.Destinations {
			if right := len(entry.Problems) == 0; entry.Balanced != right || audit.Balanced != right ||
				right != (name == "nothing") {
				t.Errorf("%s: balanced %v, the whole %v, problems %v", name, entry.Balanced, audit.Balanced,
					entry.Problems)
			}
		}
	}
}
