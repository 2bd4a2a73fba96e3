package parquet

import (
	"context"
	"errors"
	"slices"
	"time"

	"pillarbox/internal/telemetry"

	"pillarbox"
)

const (
	// minFiles is how many small files of an hour that is not over are put together at least.
	minFiles = 16
	// maxInputs is how many are put together at once: each takes a chunk of memory.
	maxInputs = 32
	// hourIsOver is how long after its end an hour counts as over.
	hourIsOver = 2 * time.Minute
	// growth bounds how much is written again for what is new: a file is put together with smaller ones
	// once they have a quarter of its size.
	growth = 4
)

// maintainLoop does what is to be done in the background, until Close.
func (s *Store) maintainLoop() {
	defer close(s.done)
	ticker := time.NewTicker(maintainEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
		}
		if err := s.Maintain(s.ctx); err != nil && s.ctx.Err() == nil {
			s.options.Logger.Warn("small files of events could not be put together, which is tried again", telemetry.KeyDatabase, s.dir, telemetry.KeyErr, err)
		}
	}
}

// Maintain puts small files of a partition together, and removes files that count no more and whose
// grace is over. Writes and reads go on. What is done when ctx ends is begun anew.
func (s *Store) Maintain(ctx context.Context) error {
	return s.call(ctx, "maintain", func() error {
		for {
			more, err := s.compactSome(ctx)
			if err != nil {
				return err
			}
			if !more {
				return s.expire(ctx)
			}
		}
	})
}

// compactSome makes one file of some, if there are any. A purge may have its turn behind it.
func (s *Store) compactSome(ctx context.Context) (more bool, err error) {
	s.rewriting.Lock()
	defer s.rewriting.Unlock()
	v, err := s.snapshot(ctx)
	if err != nil {
		return false, err
	}
	inputs, err := s.pick(ctx, v)
	if err != nil || len(inputs) == 0 {
		return false, err
	}
	return true, s.compact(ctx, v, inputs)
}

// pick returns files of one partition that are to become one, or none.
func (s *Store) pick(ctx context.Context, v *view) ([]entry, error) {
	changed := map[string]bool{}
	for i := range v.Added {
		changed[v.Added[i].day()] = true
	}
	for _, day := range v.dayNames() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d := v.of(day)
		if !changed[day] && (d.Loose == 0 || s.skip[d.File]) {
			continue
		}
		files, err := v.files(day)
		if err != nil {
			return nil, err
		}
		inputs, over := s.pickOf(files)
		if len(inputs) > 0 {
			return inputs, nil
		}
		if d != nil && over {
			if len(s.skip) > maxMade {
				clear(s.skip)
			}
			s.skip[d.File] = true
		}
	}
	return nil, nil
}

// pickOf picks among the files of a day. over says that all of its hours are.
func (s *Store) pickOf(files []entry) (inputs []entry, over bool) {
	partitions := map[string][]entry{}
	var order []string
	for _, e := range files {
		if partitions[e.partition()] == nil {
			order = append(order, e.partition())
		}
		partitions[e.partition()] = append(partitions[e.partition()], e)
	}
	now, over := s.options.Now(), true
	for _, partition := range order {
		list := partitions[partition]
		end := (list[0].hour() + hourMicroseconds).Time().Add(hourIsOver)
		least := 2
		if now.Before(end) {
			least, over = minFiles, false
		}
		if inputs = s.choose(list, least); len(inputs) > 0 {
			return inputs, over
		}
	}
	return nil, over
}

// choose returns the smallest files, as many as are worth it, none of which is far larger than those
// before it together.
func (s *Store) choose(files []entry, least int) []entry {
	small := slices.DeleteFunc(slices.Clone(files), func(e entry) bool {
		return e.Bytes >= s.options.TargetBytes || s.damaged[e.Path]
	})
	slices.SortFunc(small, func(a, b entry) int { return int(a.Bytes - b.Bytes) })
	total, n := int64(0), 0
	for i, e := range small {
		if i >= maxInputs || total+e.Bytes > s.options.TargetBytes || i > 0 && e.Bytes > growth*total {
			break
		}
		total += e.Bytes
		n = i + 1
	}
	if n < least {
		return nil
	}
	return small[:n]
}

// compact makes one file of several, beside the writes, and then counts it instead of them. Those are
// kept for readers.
func (s *Store) compact(ctx context.Context, v *view, inputs []entry) error {
	at := pillarbox.TimestampOf(s.options.Now())
	err := s.rewrite(ctx, v, inputs, &swap{retired: at})
	var corrupt *pillarbox.CorruptError
	if errors.As(err, &corrupt) {
		s.damaged[corrupt.File] = true // the others go on without it
		s.options.Logger.Error("a file of events is damaged; put it back as it was", telemetry.KeyDatabase, s.dir, telemetry.KeyFile, corrupt.File, telemetry.KeyErr, err)
		return nil
	}
	if errors.Is(err, errGone) {
		return nil // somebody has changed what counts meanwhile
	}
	return err
}

// maxExpired is how many files are removed in one turn, between two of which writes go on.
const maxExpired = 200

// expire removes files whose grace is over.
func (s *Store) expire(ctx context.Context) error {
	for {
		more, err := s.expireSome(ctx)
		if err != nil || !more {
			return err
		}
	}
}

func (s *Store) expireSome(ctx context.Context) (more bool, err error) {
	if err := s.lock(ctx); err != nil {
		return false, err
	}
	defer s.unlock()
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	v, err := s.readyLocked(ctx)
	if err != nil {
		return false, err
	}
	before := pillarbox.TimestampOf(s.options.Now().Add(-s.options.Grace))
	var names []string
	over := map[retired]bool{}
	for _, r := range v.Retired {
		if r.At < before && len(names) < maxExpired {
			names = append(names, r.Path)
			over[r] = true
		}
	}
	if len(names) == 0 {
		return false, nil
	}
	if err := s.removeFiles(v.fsys, names); err != nil {
		return false, err
	}
	return len(names) == maxExpired, s.publish(ctx, nil, func(next *manifest) {
		next.Retired = slices.DeleteFunc(next.Retired, func(r retired) bool { return over[r] })
	})
}
