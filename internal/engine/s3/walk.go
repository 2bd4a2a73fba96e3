package s3

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"pillarbox"
	"pillarbox/internal/deadletterfile"
)

// ahead is how many letters a walk reads at once.
const ahead = 32

// List implements pillarbox.DeadLetters. Names decide first, so only letters of matching days,
// destinations, ids and states are read, some at a time. A letter that is put or resolved during
// the walk is met in its old or its new state. ctx's error, or that of the bucket, is the last
// thing yielded.
func (l *Letters) List(ctx context.Context,
	filter pillarbox.DeadLetterFilter) iter.Seq2[*pillarbox.DeadLetter, error] {
	return func(yield func(*pillarbox.DeadLetter, error) bool) {
		w := walk{Letters: l, filter: filter, yield: yield}
		if err := w.run(ctx); err != nil && !errors.Is(err, deadletterfile.ErrStopped) {
			yield(nil, err)
		}
	}
}

// Summaries implements pillarbox.DeadLetters. A bucket tells only names, so the letters are read as
// List reads them. None is known to be missing.
func (l *Letters) Summaries(ctx context.Context,
	filter pillarbox.DeadLetterFilter) iter.Seq2[pillarbox.DeadLetterSummary, error] {
	return func(yield func(pillarbox.DeadLetterSummary, error) bool) {
		for letter, err := range l.List(ctx, filter) {
			var summary pillarbox.DeadLetterSummary
			if letter != nil {
				summary = letter.Summary()
			}
			if !yield(summary, err) {
				return
			}
		}
	}
}

// walk is one call of List.
type walk struct {
	*Letters
	filter pillarbox.DeadLetterFilter
	yield  func(*pillarbox.DeadLetter, error) bool
}

// run holds no lock while it yields: the consumer may put and resolve letters.
func (w *walk) run(ctx context.Context) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	err := w.index.refresh(ctx, &w.objects, w.fresh)
	letters := w.selected()
	w.life.RUnlock()
	for err == nil && len(letters) > 0 {
		n := sameDay(letters)
		err = w.day(ctx, letters[:n])
		letters = letters[n:]
	}
	return err
}

// selected returns the letters that the filter may match, in their order.
func (w *walk) selected() []located {
	var tokens []deadletterfile.Token
	for _, requestID := range w.filter.RequestIDs {
		tokens = append(tokens, deadletterfile.TokenOf(requestID))
	}
	letters := slices.DeleteFunc(w.index.find(nil, w.filter.Destination), func(letter located) bool {
		return len(tokens) > 0 && !slices.Contains(tokens, letter.Token) ||
			!w.filter.Resolved && letter.place.State != deadletterfile.Open ||
			w.filter.Since != 0 && letter.place.Day < deadletterfile.DayOf(w.filter.Since) ||
			w.filter.Until != 0 && letter.place.Day > deadletterfile.DayOf(w.filter.Until) ||
			w.before(letter)
	})
	slices.SortFunc(letters, compare)
	return letters
}

// before reports whether a letter is before the cursor for certain, as far as its name tells.
func (w *walk) before(letter located) bool {
	after := w.filter.After
	if after == (pillarbox.DeadLetterPosition{}) {
		return false
	}
	day := deadletterfile.DayOf(after.DeadAt)
	return letter.place.Day < day || letter.place.Day == day && letter.Timestamp < after.Key.Timestamp
}

func sameDay(letters []located) int {
	n := 1
	for n < len(letters) && letters[n].place.Day == letters[0].place.Day {
		n++
	}
	return n
}

// day yields the letters of one day, and reads some ahead.
func (w *walk) day(ctx context.Context, letters []located) error {
	ids := make([]deadletterfile.ID, len(letters))
	for i := range letters {
		ids[i] = letters[i].ID
	}
	for len(ids) > 0 {
		n := 0
		for n < len(ids) && n < ahead { // letters of the same time stay together
			n += deadletterfile.SameTime(ids[n:])
		}
		load := w.loadAll(ctx, ids[:n])
		err := deadletterfile.Walk(ids[:n], load, deadletterfile.Visitor(ctx, w.filter, w.yield))
		if err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// loadAll reads the letters and returns what hands them out.
func (w *walk) loadAll(ctx context.Context,
	ids []deadletterfile.ID) func(deadletterfile.ID) (*pillarbox.DeadLetter, error) {
	type loaded struct {
		letter *pillarbox.DeadLetter
		err    error
	}
	all := make([]loaded, len(ids))
	places := make(map[deadletterfile.ID]int, len(ids))
	var group sync.WaitGroup
	slots := make(chan struct{}, ahead) // letters of the same time may be many
	for i, id := range ids {
		places[id] = i
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			all[i].letter, all[i].err = w.loadOpen(ctx, id)
		})
	}
	group.Wait()
	return func(id deadletterfile.ID) (*pillarbox.DeadLetter, error) {
		one := all[places[id]]
		return one.letter, one.err
	}
}

func (w *walk) loadOpen(ctx context.Context, id deadletterfile.ID) (*pillarbox.DeadLetter, error) {
	if err := w.begin(ctx); err != nil {
		return nil, err
	}
	defer w.life.RUnlock()
	return w.load(ctx, id)
}
