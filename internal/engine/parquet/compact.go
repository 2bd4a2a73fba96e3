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
		s.maintaining.Lock()
		defer s.maintaining.Unlock()
		for {
			v, err := s.snapshot(ctx)
			if err != nil {
				return err
			}
			inputs, err := s.pick(ctx, v)
			if err != nil {
				return err
			}
			if len(inputs) == 0 {
				return s.expire(ctx)
			}
			if err := s.compact(ctx, v, inputs); err != nil {
				return err
			}
		}
	})
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

// compact makes one file of several, beside the writes, and then counts it instead of them.
func (s *Store) compact(ctx context.Context, v *view, inputs []entry) error {
	temp := newTemp()
	if err := s.lock(ctx); err != nil {
		return err
	}
	s.building[temp] = true
	s.unlock()
	w, err := newWriter(v.fsys, temp, newEncoder(nil))
	var e entry
	if err == nil {
		if e, err = s.mergeFiles(ctx, v, inputs, w); err != nil {
			err = errors.Join(err, w.abort())
		}
	}
	// What is built is named even if the store is about to be closed: that takes no time.
	lockErr := s.lock(context.WithoutCancel(ctx))
	if lockErr != nil {
		return lockErr
	}
	defer s.unlock()
	delete(s.building, temp)
	if err == nil {
		return s.replaceLocked(v, inputs, built{temp: temp, entry: e})
	}
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

// replaceLocked counts a file instead of others, unless one of those does not count any more.
func (s *Store) replaceLocked(old *view, inputs []entry, f built) error {
	v, err := s.readyLocked()
	still := err == nil
	for _, e := range inputs {
		if !still {
			break
		}
		named, namedErr := v.named(e.Path)
		still, err = named && namedErr == nil, namedErr
	}
	if !still {
		return errors.Join(err, old.fsys.Remove(f.temp))
	}
	f.Path = newPath(inputs[0].partition(), v.Generation+1)
	at := pillarbox.TimestampOf(s.options.Now())
	return s.publish([]built{f}, func(next *manifest) {
		for _, e := range inputs {
			next.remove(e, at)
		}
	})
}

// mergeFiles writes the rows of all inputs in the order of their keys.
func (s *Store) mergeFiles(ctx context.Context, v *view, inputs []entry, w *writer) (entry, error) {
	cursors := make([]*cursor, len(inputs))
	want := int64(0)
	for i := range inputs {
		cursors[i] = newCursor(v.asLast(), &inputs[i], false)
		want += inputs[i].Rows
	}
	defer func() {
		for _, c := range cursors {
			c.close()
		}
	}()
	var out piece
	for len(cursors) > 0 {
		first := slices.MinFunc(cursors, compareCursors)
		var ended bool
		var err error
		if first.file == nil {
			ended, err = first.open(firstTime, lastTime, "")
		} else {
			out.add(&first.rows[first.at])
			ended, err = first.next()
		}
		if err != nil {
			return entry{}, err
		}
		if ended {
			first.close()
			cursors = slices.DeleteFunc(cursors, func(c *cursor) bool { return c == first })
		}
		if len(out.rows) >= rowsAtOnce || out.bytes > chunkBytes || len(cursors) == 0 {
			if err := ctx.Err(); err != nil {
				return entry{}, err
			}
			if err := w.write(&out); err != nil {
				return entry{}, err
			}
			out.reset()
		}
	}
	e, err := w.finish()
	if err == nil && e.Rows != want {
		err = &pillarbox.CorruptError{File: inputs[0].Path, Reason: "files have other events than the manifest says"}
	}
	return e, err
}

// expire removes files whose grace is over.
func (s *Store) expire(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	v, err := s.readyLocked()
	if err != nil {
		return err
	}
	before := pillarbox.TimestampOf(s.options.Now().Add(-s.options.Grace))
	over := func(r retired) bool { return r.At < before }
	if !slices.ContainsFunc(v.Retired, over) {
		return nil
	}
	if err := s.removeRetired(v.manifest, before); err != nil {
		return err
	}
	return s.publish(nil, func(next *manifest) { next.Retired = slices.DeleteFunc(next.Retired, over) })
}
