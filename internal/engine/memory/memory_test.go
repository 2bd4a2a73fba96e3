package memory_test

import (
	"errors"
	"slices"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
)

func TestSinkKeepsItsContract(t *testing.T) {
	enginetest.Sink(t, func(*testing.T) pillarbox.Sink { return memory.NewSink() })
}

func TestDeadLettersKeepTheirContract(t *testing.T) {
	enginetest.DeadLetters(t, func(*testing.T) pillarbox.DeadLetters {
		return memory.NewDeadLetters()
	})
}

// A fault is what the caller sees of it: refused as a whole, refused in part, or stored with the
// answer lost.
func TestSinkFaults(t *testing.T) {
	events := enginetest.Events(3, 1)
	broken := errors.New("broken")
	refuse := func(err error) func([]*pillarbox.Event) error {
		return func([]*pillarbox.Event) error { return err }
	}
	part := &pillarbox.BatchError{Items: []pillarbox.ItemError{
		{Index: 1, Err: pillarbox.Permanent(broken)}}}
	for name, test := range map[string]struct {
		sink   func(*memory.Sink)
		stored []int
	}{
		"whole": {func(s *memory.Sink) { s.Fault = refuse(broken) }, nil},
		"part":  {func(s *memory.Sink) { s.Fault = refuse(part) }, []int{0, 2}},
		"after": {func(s *memory.Sink) { s.AfterWrite = refuse(broken) }, []int{0, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			sink := memory.NewSink()
			test.sink(sink)
			if err := sink.Write(t.Context(), events); !errors.Is(err, broken) {
				t.Errorf("write: %v, want the fault", err)
			}
			var stored []int
			for i, event := range events {
				missing, err := sink.Missing(t.Context(), []pillarbox.Key{event.Key()})
				if err != nil {
					t.Fatal(err)
				}
				if len(missing) == 0 {
					stored = append(stored, i)
				}
			}
			if !slices.Equal(stored, test.stored) {
				t.Errorf("stored %v, want %v", stored, test.stored)
			}
		})
	}
}

func TestDeadLettersFault(t *testing.T) {
	letters := memory.NewDeadLetters()
	broken := errors.New("broken")
	letters.Fault = func(*pillarbox.DeadLetter) error { return broken }
	letter := enginetest.Letters(1, 1)[0]
	if err := pillarbox.PutDeadLetter(t.Context(), letters, letter); !errors.Is(err, broken) {
		t.Errorf("put: %v, want the fault", err)
	}
	if count, err := letters.Count(t.Context(), letter.Destination); err != nil ||
		count != (pillarbox.DeadLetterCount{}) {
		t.Errorf("count: %+v, %v", count, err)
	}
}
