package parquet

import (
	"context"
	"errors"
	"slices"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// swap is how files that count are replaced by one with their rows, or by none.
type swap struct {
	drop    func(r *row) bool   // leaves a row out; nil: no row is
	retired pillarbox.Timestamp // since when nobody needs the old files; 0: they are not kept for readers
	change  func(m *manifest)   // what else becomes true in that moment; nil: nothing

	dropped uint64
	last    pillarbox.Key // of the rows that are left out
}

// dropping leaves a row out, if it is to be.
func (w *swap) dropping(r *row) bool {
	if w.drop == nil || !w.drop(r) {
		return false
	}
	w.dropped++
	if key := r.key(); compareKeys(key, w.last) > 0 || w.dropped == 1 {
		w.last = key
	}
	return true
}

// rewrite writes the rows of some files of one partition to one, puts it in its place, and then counts
// it instead of them. Writes go on until the last moment. The caller holds rewriting. The error is
// errGone where what counts has changed meanwhile: then nothing has happened. After another one nobody
// knows, until the recovery.
func (s *Store) rewrite(ctx context.Context, v *view, inputs []entry, how *swap) error {
	f := built{temp: newTemp(), entry: entry{Path: newPath(inputs[0].partition(), v.Generation+1)}}
	if err := s.lock(ctx); err != nil {
		return err
	}
	s.building[f.temp], s.building[f.Path] = true, true
	intentName := s.intents.rewrite
	s.unlock()
	placed, err := s.buildAside(ctx, v, inputs, &f, intentName, how)
	// What is built is counted even if the store is about to be closed: that takes no time.
	s.await()
	defer s.unlock()
	ctx, cancel := finishing(ctx)
	defer cancel()
	defer func() { // behind a recovery that may come first, which would remove them
		delete(s.building, f.temp)
		delete(s.building, f.Path)
	}()
	if err != nil {
		if placed { // perhaps
			s.breakLocked() // so that the recovery removes it
		}
		return err
	}
	return s.swapLocked(ctx, v, inputs, f, how)
}

// buildAside makes the new file, and puts it in its place, where nobody counts it yet. placed says that
// it may be there, as the intent tells.
func (s *Store) buildAside(ctx context.Context, v *view, inputs []entry, f *built, intentName string, how *swap) (placed bool, err error) {
	w, err := newWriter(v.fsys, f.temp, newEncoder(nil))
	if err != nil {
		return false, err
	}
	e, err := s.mergeFiles(ctx, v, inputs, w, how)
	if err != nil || e.Rows == 0 {
		return false, errors.Join(err, w.abort())
	}
	e.Path = f.Path
	f.entry = e
	return true, putInPlace(v.fsys, intentName, []built{*f})
}

// swapLocked counts a file instead of others, unless one of those does not count any more.
func (s *Store) swapLocked(ctx context.Context, old *view, inputs []entry, f built, how *swap) error {
	v, err := s.readyLocked(ctx)
	for i := 0; err == nil && i < len(inputs); i++ {
		var named bool
		if named, err = v.named(inputs[i].Path); err == nil && !named {
			err = errGone
		}
	}
	if err != nil {
		if f.Rows > 0 {
			if removeErr := s.removeFiles(old.in(ctx).fsys, []string{f.Path}); removeErr != nil {
				s.breakLocked() // so that the recovery removes it
				err = errors.Join(err, removeErr)
			}
		}
		return err
	}
	return s.publish(ctx, nil, func(next *manifest) {
		if f.Rows > 0 {
			next.add(f.entry)
		}
		for _, e := range inputs {
			next.remove(e, how.retired)
		}
		if how.change != nil {
			how.change(next)
		}
	})
}

// mergeFiles writes the rows of all inputs in the order of their keys, without those that are dropped.
func (s *Store) mergeFiles(ctx context.Context, v *view, inputs []entry, w *writer, how *swap) (entry, error) {
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
			if r := &first.rows[first.at]; !how.dropping(r) {
				out.add(r)
			}
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
	return w.finishWith(want-int64(how.dropped), inputs[0].Path)
}

// finishWith is finish for a file that is to have so many rows of others, of which one is given.
func (w *writer) finishWith(want int64, of string) (entry, error) {
	if w.entry.Rows != want {
		return entry{}, &pillarbox.CorruptError{File: of, Reason: "files have other events than the manifest says"}
	}
	if want == 0 {
		return entry{}, nil
	}
	return w.finish()
}

// putInPlace gives files that are durable under temporary names their own, durably. The intent tells the
// recovery which those are.
func putInPlace(fsys vfs.FS, intentName string, files []built) error {
	plan := intent{Version: formatOne}
	for _, f := range files {
		plan.Paths = append(plan.Paths, f.Path)
	}
	if err := writeChecked(fsys, intentName, plan); err != nil {
		return err
	}
	dirs := map[string]bool{tempDir: true}
	for _, f := range files {
		if err := fsys.Rename(f.temp, f.Path); err != nil {
			return err
		}
		dirs[f.partition()] = true
	}
	for dir := range dirs {
		if err := fsys.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}
