package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"

	"pillarbox"
	"pillarbox/internal/deadletterfile"
)

// List implements pillarbox.DeadLetters. The index decides first, so only letters that match are
// opened, some at a time. A letter that is put or resolved during the walk is met in its old or its
// new state; one that moves to another day by a PutMany may be met twice or not at all. Letters of
// one day and one event are ordered by destination. ctx's error, or that of a directory, is the
// last thing yielded.
func (l *Letters) List(ctx context.Context,
	filter pillarbox.DeadLetterFilter) iter.Seq2[*pillarbox.DeadLetter, error] {
	return func(yield func(*pillarbox.DeadLetter, error) bool) {
		filter.Missing = false
		w := walk{Letters: l, ctx: ctx, filter: filter}
		visit := deadletterfile.Visitor(ctx, filter, yield)
		err := w.run(func(day int32, found []candidate) error { return w.load(found, visit) },
			func(damage error) error { return visit(nil, damage) })
		if err != nil && !errors.Is(err, deadletterfile.ErrStopped) {
			yield(nil, err)
		}
	}
}

// Summaries implements pillarbox.DeadLetters. No letter is opened, except those that could not be
// read before.
func (l *Letters) Summaries(ctx context.Context,
	filter pillarbox.DeadLetterFilter) iter.Seq2[pillarbox.DeadLetterSummary, error] {
	return func(yield func(pillarbox.DeadLetterSummary, error) bool) {
		w := walk{Letters: l, ctx: ctx, filter: filter}
		err := w.run(func(day int32, found []candidate) error { return w.summarise(day, found, yield) },
			func(damage error) error {
				if !yield(pillarbox.DeadLetterSummary{}, damage) {
					return deadletterfile.ErrStopped
				}
				return nil
			})
		if err != nil && !errors.Is(err, deadletterfile.ErrStopped) {
			yield(pillarbox.DeadLetterSummary{}, err)
		}
	}
}

// walk is one call of List or Summaries.
type walk struct {
	*Letters
	ctx     context.Context // of this walk only
	filter  pillarbox.DeadLetterFilter
	tokens  []token
	matched map[string]bool // texts that were held against the filter's error: most are the same
}

// candidate is a letter that the filter selects, as far as the index knows.
type candidate struct {
	letter id
	text   string // the request id where the token does not tell it
	offset int64  // of its row
	size   int64
	match  bool
}

// run goes through the days. damaged is told of a directory that is none; the other days go on.
func (w *walk) run(day func(day int32, found []candidate) error,
	damaged func(damage error) error) error {
	for _, requestID := range w.filter.RequestIDs {
		w.tokens = append(w.tokens, deadletterfile.TokenOf(requestID))
	}
	if err := w.begin(w.ctx); err != nil {
		return err
	}
	days, err := w.allDays()
	w.life.RUnlock()
	if err != nil {
		return err
	}
	for _, number := range days {
		if w.filter.Since != 0 && number < deadletterfile.DayOf(w.filter.Since) ||
			w.filter.Until != 0 && number > deadletterfile.DayOf(w.filter.Until) ||
			w.after() && number < deadletterfile.DayOf(w.filter.After.DeadAt) {
			continue
		}
		found, err := w.selectDay(number)
		if errors.Is(err, pillarbox.ErrCorrupt) {
			err = damaged(err)
		}
		if err != nil {
			return err
		}
		if err := day(number, found); err != nil {
			return err
		}
	}
	return nil
}

// selectDay returns the letters of the day that match, in their order.
func (w *walk) selectDay(day int32) (selected []candidate, err error) {
	if err := w.begin(w.ctx); err != nil {
		return nil, err
	}
	defer w.life.RUnlock()
	if err := w.checkIfChanged(day); err != nil {
		return nil, err
	}
	if len(w.tokens) > 0 {
		selected, err = w.named(day)
	} else {
		selected, err = w.matching(day)
	}
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", kindOf(err))
	}
	slices.SortFunc(selected, compare)
	return selected, nil
}

// named returns the letters of the day that the filter names. They are looked up, and no other row
// is read.
func (w *walk) named(day int32) (selected []candidate, err error) {
	for _, token := range slices.CompactFunc(
		slices.SortedFunc(slices.Values(w.tokens), compareTokens), sameToken) {
		letters, err := w.index.find(token, w.filter.Destination)
		if err != nil {
			return nil, err
		}
		for _, found := range letters {
			if found.day == day && w.match(&found.row) {
				selected = append(selected, candidateOf(&found.row, found.offset))
			}
		}
	}
	return selected, nil
}

func compareTokens(a, b token) int { return strings.Compare(a.String(), b.String()) }

func sameToken(a, b token) bool { return a == b }

func compare(a, b candidate) int {
	if byTime := cmp.Compare(a.letter.Timestamp, b.letter.Timestamp); byTime != 0 {
		return byTime
	}
	if !a.letter.Token.Hashed && !b.letter.Token.Hashed {
		if byToken := slices.Compare(a.letter.Token.Bytes[:], b.letter.Token.Bytes[:]); byToken != 0 {
			return byToken
		}
	} else if byID := strings.Compare(a.requestID(), b.requestID()); byID != 0 {
		return byID
	}
	return strings.Compare(a.letter.Destination, b.letter.Destination)
}

func (c *candidate) requestID() string {
	if c.text != "" {
		return c.text
	}
	return c.letter.Token.String()
}

// matching returns the letters of the day that match. A later row of a letter takes the place of an
// earlier one.
func (w *walk) matching(day int32) (selected []candidate, err error) {
	places := map[uint64]int{}
	err = w.index.scan(day, func(offset int64, found *row) error {
		_, ofLetter := w.index.table.hashes(found.letter)
		at, again := places[ofLetter]
		var one candidate
		if w.match(found) {
			one = candidateOf(found, offset)
		}
		switch {
		case again:
			selected[at] = one
		case one.match:
			places[ofLetter] = len(selected)
			selected = append(selected, one)
		}
		return nil
	})
	return slices.DeleteFunc(selected, func(one candidate) bool { return !one.match }), err
}

// match reports whether the filter selects the letter. Of one that could not be read, only the name
// counts.
func (w *walk) match(found *row) bool {
	f := &w.filter
	switch {
	case found.kind == rowGone,
		found.kind == rowMissing && !f.Missing,
		found.kind == rowLive && found.state != open && !f.Resolved,
		f.Destination != "" && found.letter.Destination != f.Destination,
		len(w.tokens) > 0 && !slices.Contains(w.tokens, found.letter.Token):
		return false
	case found.blind:
		return !w.after() || found.rank().Compare(f.After) > 0
	case f.Source != "" && found.source != f.Source,
		f.Since != 0 && found.deadAt < f.Since,
		f.Until != 0 && found.deadAt >= f.Until,
		w.after() && found.rank().Compare(f.After) <= 0:
		return false
	}
	return f.Error == "" && f.Cause == "" || w.matchError(found)
}

func (w *walk) after() bool { return w.filter.After != pillarbox.DeadLetterPosition{} }

func (r *row) rank() pillarbox.DeadLetterPosition {
	return pillarbox.DeadLetterPosition{DeadAt: r.deadAt, Key: r.key(),
		Destination: r.letter.Destination}
}

// maxMatched bounds the texts that are remembered.
const maxMatched = 1000

func (w *walk) matchError(found *row) bool {
	text := found.reason + "\x00" + found.lastError
	matches, known := w.matched[text]
	if known {
		return matches
	}
	if len(w.matched) >= maxMatched || w.matched == nil {
		w.matched = map[string]bool{}
	}
	matches = w.filter.MatchError(found.reason, found.lastError)
	w.matched[text] = matches
	return matches
}

func candidateOf(found *row, offset int64) candidate {
	one := candidate{letter: found.letter, offset: offset, size: found.size, match: true}
	if found.letter.Token.Hashed {
		one.text = found.id()
	}
	return one
}

const (
	// aheadLetters and aheadBytes bound what is read before it is asked for.
	aheadLetters = 256
	aheadBytes   = 4 << 20
)

// load opens the letters, some at once, and visits them.
func (w *walk) load(found []candidate, visit func(*pillarbox.DeadLetter, error) error) error {
	for ahead := 8; len(found) > 0; ahead = min(2*ahead, aheadLetters) {
		n, bytes := 0, int64(0)
		for n < len(found) && n < ahead && (n == 0 || bytes+found[n].size <= aheadBytes) {
			bytes += found[n].size
			n++
		}
		letters, errs := w.loadSome(found[:n])
		for i := range letters {
			if err := visit(letters[i], errs[i]); err != nil {
				return err
			}
			letters[i] = nil
		}
		found = found[n:]
	}
	return nil
}

func (w *walk) loadSome(found []candidate) ([]*pillarbox.DeadLetter, []error) {
	letters, errs := make([]*pillarbox.DeadLetter, len(found)), make([]error, len(found))
	workers := min(len(found), runtime.GOMAXPROCS(0))
	if w.untended {
		workers = 1
	}
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := worker; i < len(found); i += workers {
				letters[i], errs[i] = w.loadOne(found[i].letter)
			}
		})
	}
	group.Wait()
	return letters, errs
}

// summaryWindow is how much of the rows is read at once: most follow each other.
const summaryWindow = 64 << 10

// summarise yields what the rows say. They are not locked meanwhile: a row that has been replaced
// since tells of before.
func (w *walk) summarise(day int32, found []candidate,
	yield func(pillarbox.DeadLetterSummary, error) bool) error {
	if len(found) == 0 {
		return nil
	}
	rows := w.index.reader(day)
	defer func() { _ = rows.close() }() // it was only read
	for _, one := range found {
		if w.ctx.Err() != nil {
			return w.ctx.Err()
		}
		summary, err := w.summary(rows, one)
		if errors.Is(err, pillarbox.ErrNotFound) {
			continue
		}
		if errors.Is(err, pillarbox.ErrClosed) {
			return err
		}
		if !yield(summary, err) {
			return deadletterfile.ErrStopped
		}
	}
	return nil
}

func (w *walk) summary(rows *rowReader, one candidate) (pillarbox.DeadLetterSummary, error) {
	found, err := rows.read(one.offset)
	if err != nil {
		return pillarbox.DeadLetterSummary{}, kindOf(err)
	}
	if found.blind && found.kind == rowLive {
		letter, err := w.loadOne(one.letter)
		if err != nil {
			return pillarbox.DeadLetterSummary{}, err
		}
		return letter.Summary(), nil
	}
	summary := pillarbox.DeadLetterSummary{
		Destination: found.letter.Destination, Key: found.key(), Source: found.source,
		Reason: found.reason, DeadAt: found.deadAt,
		State: states[found.state],
	}
	if found.kind == rowMissing {
		summary.State = pillarbox.DeadLetterMissing
	}
	return summary, nil
}

func (w *walk) loadOne(letter id) (*pillarbox.DeadLetter, error) {
	if err := w.begin(w.ctx); err != nil {
		return nil, err
	}
	defer w.life.RUnlock()
	found, _, err := w.Letters.load(letter)
	return found, err
}

var states = [...]string{open: pillarbox.DeadLetterOpen, replayed: pillarbox.ResolvedReplayed,
	discarded: pillarbox.ResolvedDiscarded}
