package parquet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"sync"

	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// recoverLocked finds out what counts, makes that durable, and removes what an earlier life, or a
// change whose outcome is not known, has left behind. The manifest that can be seen counts: all that
// it names was durable before it was there.
func (s *Store) recoverLocked(ctx context.Context) error {
	first := !s.disk.open
	if first {
		disk, err := s.attach()
		if err != nil {
			return err
		}
		s.disk = disk
	}
	err := s.recoverIn(ctx, first)
	if err != nil && first {
		// The next call begins from the start, and meanwhile somebody may put right what is wrong.
		lost := s.disk
		s.disk = attached{}
		return errors.Join(err, lost.close())
	}
	return err
}

func (s *Store) recoverIn(ctx context.Context, first bool) error {
	clear(s.made) // a directory that somebody has removed is made again
	v, claims, err := s.claim(ctx, first)
	if err != nil {
		return err
	}
	if err := s.settleIntents(v, first, claims); err != nil {
		return err
	}
	if err := s.removeLeftovers(v, first); err != nil {
		return err
	}
	if first { // nobody who reads has known an older manifest for long
		if err := s.removeRetired(v); err != nil {
			return err
		}
		v.manifest = v.clone()
		v.Retired = []retired{} // the next change writes it down
		if err := s.writeView(v.fsys); err != nil {
			return err
		}
	}
	s.broken = false
	s.show(v.manifest)
	return nil
}

// claim puts the manifest that is there in its place once more, which makes it durable, and this the one
// who writes. claims says that another writer had the place before.
func (s *Store) claim(ctx context.Context, first bool) (v *view, claims bool, err error) {
	found, err := s.readManifest(ctx)
	if err != nil {
		return nil, false, err
	}
	v = &view{manifest: found, fsys: s.disk.in(ctx), tree: s.disk.in, days: &s.days}
	next := found.clone()
	next.Generation++
	if s.disk.shared {
		others := found.Writer != "" && found.Writer != s.writer
		switch {
		case others && !first:
			return nil, false, errors.Join(errTaken, s.leaveTo(v))
		case others:
			s.options.Logger.Info("a place is taken over that was not given back: whoever wrote there was killed, or writes no more from now on",
				telemetry.KeyDatabase, s.dir)
		}
		next.Writer, claims = s.writer, found.Writer != s.writer
	}
	if err := s.replaceManifest(ctx, next); err != nil {
		return nil, false, err
	}
	v.manifest = next
	return v, claims, nil
}

// readManifest reads what counts, or makes a store of an empty place.
func (s *Store) readManifest(ctx context.Context) (*manifest, error) {
	var found manifest
	text, err := s.disk.current.read(ctx)
	switch {
	case notExist(err):
		err = s.initialise(s.disk.in(ctx), &found)
	case err == nil:
		err = decodeChecked(manifestFile, text, &found)
	}
	return &found, err
}

// initialise makes a store in an empty directory. Its manifest comes last.
func (s *Store) initialise(fsys vfs.FS, m *manifest) error {
	if err := refuseForeign(fsys); err != nil {
		return err
	}
	for _, dir := range []string{daysDir, tempDir} {
		if err := vfs.MkdirAll(fsys, dir); err != nil {
			return err
		}
	}
	*m = manifest{Version: formatOne, ID: rand.Text()}
	if err := writeChecked(fsys, noneFile, dayFiles{Version: formatOne, Files: []entry{}}); err != nil {
		return err
	}
	none, err := encodeNone()
	if err != nil {
		return err
	}
	return vfs.WriteFile(fsys, noEvents, none)
}

// removeLeftovers removes files that no manifest names: temporary ones, those that a change was about
// to put in their places, and those of days. first says that none of them is for readers.
func (s *Store) removeLeftovers(v *view, first bool) error {
	temps, err := v.fsys.Names(tempDir)
	if err != nil {
		return err
	}
	for _, name := range temps {
		if name = path.Join(tempDir, name); !s.building[name] {
			if err := v.fsys.Remove(name); err != nil && !notExist(err) {
				return err
			}
		}
	}
	return removeOldDays(v, first)
}

// removeFiles removes files durably. One that is gone is no error.
func (s *Store) removeFiles(fsys vfs.FS, names []string) error {
	if s.disk.shared { // each is a request
		return removeAbreast(fsys, names)
	}
	dirs := map[string]bool{}
	for _, name := range names {
		err := fsys.Remove(name)
		if err != nil && !notExist(err) {
			return err
		}
		dirs[path.Dir(name)] = true
	}
	for dir := range dirs {
		if err := fsys.SyncDir(dir); err != nil && !notExist(err) {
			return err
		}
	}
	return nil
}

// abreast is how many objects are removed at once.
const abreast = 16

// removeAbreast removes objects, some at once. An object that is removed is so durably.
func removeAbreast(fsys vfs.FS, names []string) error {
	errs := make([]error, len(names))
	var group sync.WaitGroup
	slots := make(chan struct{}, abreast)
	for i, name := range names {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			errs[i] = fsys.Remove(name)
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func removeOldDays(v *view, first bool) error {
	names, err := v.fsys.Names(daysDir)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, d := range v.Days {
		keep[d.File] = true
	}
	for _, r := range v.Retired {
		keep[r.Path] = keep[r.Path] || !first
	}
	for _, name := range names {
		// What is newer than the manifest is of somebody who has taken the place meanwhile.
		if name = path.Join(daysDir, name); !keep[name] && dayGenerationOf(name) <= v.Generation {
			if err := v.fsys.Remove(name); err != nil && !notExist(err) {
				return err
			}
		}
	}
	return nil
}

// dayGenerationOf is the generation of the manifest that first named the file of a day; 0 for a name that
// is none of ours.
func dayGenerationOf(name string) (generation uint64) {
	var year, month, day int
	if _, err := fmt.Sscanf(path.Base(name), "%4d-%2d-%2d-%010x-", &year, &month, &day, &generation); err != nil {
		return 0
	}
	return generation
}

// removeRetired removes the files that count no more.
func (s *Store) removeRetired(v *view) error {
	var names []string
	for _, r := range v.Retired {
		names = append(names, r.Path)
	}
	return s.removeFiles(v.fsys, names)
}
