package parquet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	pq "github.com/parquet-go/parquet-go"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// MaxPurges is how many purges are remembered one by one. Older ones are added to the next one of the
// same source.
const MaxPurges = 1000

// maxDropped is how many files one step of a purge counts no more, all of whose events are purged.
const maxDropped = 256

// purging is what is known of a purge between its steps.
type purging struct {
	at         pillarbox.Timestamp
	generation uint64          // of the manifest when it began: what is in files up to it was stored before
	day        string          // all days before have nothing left
	done       map[string]bool // files of that day and of later ones that have nothing left
	kept       []pillarbox.Key // what is to be left alone, in order
}

// Purges implements pillarbox.Purger.
func (s *Store) Purges() []pillarbox.Purge {
	if purges := s.purges.Load(); purges != nil {
		return *purges
	}
	return nil
}

// BeginPurge implements pillarbox.Purger. Files of which all is old enough are counted and not read,
// unless the filter has StoredBefore.
func (s *Store) BeginPurge(ctx context.Context, filter pillarbox.PurgeFilter) (start pillarbox.PurgeStart, err error) {
	var p purging
	err = s.call(ctx, "begin a purge of", func() error {
		if err := s.lock(ctx); err != nil {
			return err
		}
		defer s.unlock()
		v, err := s.readyLocked(ctx)
		if err != nil {
			return err
		}
		start.At = max(pillarbox.TimestampOf(s.options.Now()), s.latest+1)
		s.latest = start.At // what is written from now on
		p = purging{at: start.At, generation: v.Generation, done: map[string]bool{}}
		return nil
	})
	if err != nil {
		return pillarbox.PurgeStart{}, err
	}
	step := pillarbox.PurgeStep{PurgeFilter: filter, At: start.At}
	err = s.reading(ctx, "count what to purge in", func(v *view) error {
		start.Matched = 0
		return p.eachFile(ctx, v, &step, func(e *entry) (bool, error) {
			if p.whole(e, &step) {
				start.Matched += uint64(e.Rows)
				return false, nil
			}
			n, err := v.countPurgeable(ctx, e, &step)
			start.Matched += n
			return false, err
		})
	})
	if err != nil {
		return pillarbox.PurgeStart{}, err
	}
	s.rewriting.Lock()
	defer s.rewriting.Unlock()
	s.purging = p
	return start, nil
}

// Purge implements pillarbox.Purger: one change of the manifest, by which a file is replaced by one
// without the events, or some files of which nothing is left count no more. So a step may delete more
// than its limit. The old files are removed at once: a reader that has their names finds them missing.
func (s *Store) Purge(ctx context.Context, step pillarbox.PurgeStep) (result pillarbox.PurgeResult, err error) {
	if step.Limit <= 0 || step.Limit > pillarbox.PurgeStepLimit {
		step.Limit = pillarbox.PurgeStepLimit
	}
	err = s.call(ctx, "purge", func() (err error) {
		s.rewriting.Lock()
		defer s.rewriting.Unlock()
		if s.purging.at != step.At { // another one, or one of an earlier life: all files are read
			s.purging = purging{at: step.At, done: map[string]bool{}}
		}
		if len(s.purging.kept) != len(step.Keep) {
			s.purging.kept = slices.SortedFunc(maps.Keys(step.Keep), compareKeys)
		}
		v, err := s.snapshot(ctx)
		if err != nil {
			return err
		}
		v = v.asLast() // only who is rewriting takes files away
		inputs, whole, err := s.pickPurgeable(ctx, v, &step)
		if err != nil || len(inputs) == 0 {
			return err
		}
		result, err = s.purge(ctx, v, &step, inputs, whole)
		return err
	})
	return result, err
}

// eachFile calls look with the files that may have events to purge, in the order of their days, until
// it says that it has enough.
func (p *purging) eachFile(ctx context.Context, v *view, step *pillarbox.PurgeStep, look func(e *entry) (enough bool, err error)) error {
	for _, day := range v.dayNames() {
		if day < p.day {
			continue
		}
		if day > dayOf(min(step.Until, lastTime)) {
			return nil
		}
		files, err := v.files(day)
		if err != nil {
			return err
		}
		for i := range files {
			e := &files[i]
			if p.done[e.Path] || e.First.Timestamp >= step.Until || step.Source != "" && e.Source != step.Source {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if enough, err := look(e); err != nil || enough {
				return err
			}
		}
	}
	return nil
}

// whole reports whether all events of a file are to be purged, by what the manifest says of it.
func (p *purging) whole(e *entry, step *pillarbox.PurgeStep) bool {
	if e.Last.Timestamp >= step.Until || step.StoredBefore != 0 || generationOf(e.Path) > p.generation {
		return false
	}
	at, _ := slices.BinarySearchFunc(p.kept, e.First.key(), compareKeys)
	return at == len(p.kept) || !e.covers(p.kept[at])
}

// generationOf is the generation of the manifest that first named the file; the largest of all for a
// name that is none of ours.
func generationOf(name string) (generation uint64) {
	if _, err := fmt.Sscanf(path.Base(name), "%010x-", &generation); err != nil {
		return 1<<64 - 1
	}
	return generation
}

// purges reports whether a step purges the event of a key, stored at a time.
func purges(step *pillarbox.PurgeStep, key pillarbox.Key, storedAt pillarbox.Timestamp) bool {
	before := step.At
	if step.StoredBefore != 0 {
		before = min(before, step.StoredBefore)
	}
	return key.Timestamp < step.Until && storedAt < before && !step.Keep[key]
}

// pickPurgeable returns one file that has events to purge, or some of which all events are.
func (s *Store) pickPurgeable(ctx context.Context, v *view, step *pillarbox.PurgeStep) (inputs []entry, whole bool, err error) {
	rows, p := int64(0), &s.purging
	err = p.eachFile(ctx, v, step, func(e *entry) (enough bool, err error) {
		if day := e.day(); len(inputs) == 0 && day > p.day { // nothing is left of the days before
			p.day = day
			clear(p.done)
		}
		if p.whole(e, step) {
			inputs, whole = append(inputs, *e), true
			rows += e.Rows
			return rows >= int64(step.Limit) || len(inputs) >= maxDropped, nil
		}
		if whole {
			return true, nil // those first
		}
		n, err := v.countPurgeable(ctx, e, step)
		if err != nil {
			return false, err
		}
		if n == 0 {
			p.done[e.Path] = true
			return false, nil
		}
		inputs = []entry{*e}
		return true, nil
	})
	return inputs, whole, err
}

// purge carries out one step.
func (s *Store) purge(ctx context.Context, v *view, step *pillarbox.PurgeStep, inputs []entry,
	whole bool) (result pillarbox.PurgeResult, err error) {
	how := swap{}
	how.change = func(m *manifest) {
		m.recordPurge(pillarbox.Purge{At: step.At, Source: step.Source, Until: how.last.Timestamp + 1, Events: how.dropped})
	}
	if whole {
		for i := range inputs {
			how.dropped += uint64(inputs[i].Rows)
			if last := inputs[i].Last.key(); i == 0 || compareKeys(last, how.last) > 0 {
				how.last = last
			}
		}
		err = s.dropFiles(ctx, v, inputs, &how)
	} else {
		how.drop = func(r *row) bool { return purges(step, r.key(), pillarbox.Timestamp(r.StoredAt)) }
		err = s.rewrite(ctx, v, inputs, &how)
	}
	if err != nil {
		return pillarbox.PurgeResult{}, err
	}
	s.removePurged(ctx, inputs)
	return pillarbox.PurgeResult{Deleted: how.dropped, Last: how.last}, nil
}

// dropFiles counts files no more.
func (s *Store) dropFiles(ctx context.Context, v *view, inputs []entry, how *swap) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	return s.swapLocked(ctx, v, inputs, built{}, how)
}

// removePurged removes what a step has replaced. What can't be removed now the maintenance removes, or
// the next start: the manifest has it as retired.
func (s *Store) removePurged(ctx context.Context, inputs []entry) {
	names := make([]string, len(inputs))
	for i := range inputs {
		names[i] = inputs[i].Path
	}
	s.await()
	defer s.unlock()
	if !s.disk.open {
		return // the next start does it
	}
	ctx, cancel := finishing(ctx)
	defer cancel()
	err := s.removeFiles(s.disk.in(ctx), names)
	if err != nil {
		s.options.Logger.Warn("files of purged events could not be removed, which is tried again", telemetry.KeyDatabase, s.dir, telemetry.KeyErr, err)
	}
}

// recordPurge adds a step to what is remembered.
func (m *manifest) recordPurge(step pillarbox.Purge) {
	same := func(p pillarbox.Purge) bool { return p.At == step.At && p.Source == step.Source }
	if at := slices.IndexFunc(m.Purges, same); at >= 0 {
		m.Purges[at].Until = max(m.Purges[at].Until, step.Until)
		m.Purges[at].Events += step.Events
		return
	}
	m.Purges = append(m.Purges, step)
	slices.SortFunc(m.Purges, func(a, b pillarbox.Purge) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Source, b.Source))
	})
	if len(m.Purges) > MaxPurges {
		m.foldPurge()
	}
}

// foldPurge adds the oldest purge that has a later one of the same source to that.
func (m *manifest) foldPurge() {
	for i, old := range m.Purges {
		for j := i + 1; j < len(m.Purges); j++ {
			next := &m.Purges[j]
			if next.Source != old.Source {
				continue
			}
			next.Until = max(next.Until, old.Until)
			next.Events += old.Events
			m.Purges = slices.Delete(m.Purges, i, i+1)
			return
		}
	}
}

// countPurgeable counts the events of a file that a step purges. It reads the columns of keys and times.
func (v *view) countPurgeable(ctx context.Context, e *entry, step *pillarbox.PurgeStep) (n uint64, err error) {
	err = v.with(e, func(f *opened) error {
		for _, group := range f.RowGroups() {
			some, err := countInGroup(ctx, group, step)
			if err != nil {
				return err
			}
			n += some
		}
		return nil
	})
	return n, err
}

func countInGroup(ctx context.Context, group pq.RowGroup, step *pillarbox.PurgeStep) (n uint64, err error) {
	times, ids, stored := newColumnReader(group, timestampColumn), newColumnReader(group, requestIDColumn), newColumnReader(group, storedAtColumn)
	defer func() { err = errors.Join(err, times.close(), ids.close(), stored.close()) }()
	for row := range group.NumRows() {
		if row%keysAtOnce == 0 {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
		}
		at, err := times.value(row)
		if err != nil {
			return 0, err
		}
		if pillarbox.Timestamp(at.Int64()) >= step.Until {
			return n, nil // they are in order
		}
		id, err := ids.value(row)
		if err != nil {
			return 0, err
		}
		storedAt, err := stored.value(row)
		if err != nil {
			return 0, err
		}
		key := pillarbox.Key{Timestamp: pillarbox.Timestamp(at.Int64()), RequestID: string(id.ByteArray())}
		if purges(step, key, pillarbox.Timestamp(storedAt.Int64())) {
			n++
		}
	}
	return n, nil
}
