package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"

	"pillarbox"
	"pillarbox/internal/letterfile"
	"pillarbox/internal/vfs"
)

// List implements pillarbox.DeadLetters. Names decide first, so only letters of matching days, destinations,
// ids and states are read, one at a time. A letter that is put or resolved during the walk is met in its old or
// its new state; one that moves to another day by a Put may be met twice or not at all. Letters of one day and
// one event are ordered by destination. ctx's error, or that of a directory, is the last thing yielded.
func (l *Letters) List(ctx context.Context, filter pillarbox.LetterFilter) iter.Seq2[*pillarbox.DeadLetter, error] {
	return func(yield func(*pillarbox.DeadLetter, error) bool) {
		w := walk{Letters: l, filter: filter, yield: yield}
		for _, requestID := range filter.RequestIDs {
			w.tokens = append(w.tokens, letterfile.TokenOf(requestID))
		}
		if err := w.run(ctx); err != nil && !errors.Is(err, letterfile.ErrStopped) {
			yield(nil, err)
		}
	}
}

// walk is one call of List.
type walk struct {
	*Letters
	filter pillarbox.LetterFilter
	tokens []token
	yield  func(*pillarbox.DeadLetter, error) bool
}

func (w *walk) run(ctx context.Context) error {
	days, err := w.listDays()
	if err != nil {
		return err
	}
	for _, day := range days {
		if w.filter.Since != 0 && day.Day < letterfile.DayOf(w.filter.Since) ||
			w.filter.Until != 0 && day.Day > letterfile.DayOf(w.filter.Until) {
			continue
		}
		if err := w.day(ctx, day); err != nil {
			return err
		}
	}
	return nil
}

// listDays returns the days that have a directory, in their order.
func (l *Letters) listDays() ([]place, error) {
	entries, err := l.fsys.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", kind(err))
	}
	var days []place
	for _, entry := range entries {
		if day, ok := letterfile.ParseDay(entry.Name); ok && entry.Dir {
			days = append(days, day)
		}
	}
	slices.SortFunc(days, func(a, b place) int { return cmp.Compare(a.Day, b.Day) })
	return days, nil
}

// day yields the letters of one day.
func (w *walk) day(ctx context.Context, day place) error {
	entries, err := w.fsys.ReadDir(path.Join(w.dir, day.DayName()))
	if err != nil {
		return fmt.Errorf("list dead letters: %w", kind(err))
	}
	load := func(letter id) (*pillarbox.DeadLetter, error) { return w.load(ctx, letter) }
	return letterfile.Walk(w.selected(day, entries), load, letterfile.Visitor(ctx, w.filter, w.yield))
}

// selected returns the letters of the day that the filter may match, once each and in their order.
func (w *walk) selected(day place, entries []vfs.Entry) []id {
	var letters []id
	for _, entry := range entries {
		letter, in, ok := letterfile.ParseFileName(entry.Name)
		if !ok || entry.Dir || w.filter.Destination != "" && letter.Destination != w.filter.Destination ||
			len(w.tokens) > 0 && !slices.Contains(w.tokens, letter.Token) {
			continue
		}
		at, known := w.index.lookup(letter)
		if !known { // added by hand
			at = place{Day: day.Day, State: in}
			w.index.set(letter, at)
		}
		if at.Day == day.Day && (w.filter.Resolved || at.State == open) {
			letters = append(letters, letter)
		}
	}
	slices.SortFunc(letters, func(a, b id) int { return letterfile.Compare(a, day, b, day) })
	return slices.Compact(letters) // a leftover has the same id
}
