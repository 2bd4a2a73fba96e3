package parquet

import (
	"crypto/rand"
	"errors"
	"path"
	"slices"

	"pillarbox"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// recoverLocked finds out what counts, makes that durable, and removes what an earlier life, or a
// change whose outcome is not known, has left behind. The manifest that can be seen counts: all that
// it names was durable before it was there.
func (s *Store) recoverLocked() error {
	first := s.disk.fsys == nil
	if first {
		disk, err := s.attach()
		if err != nil {
			return err
		}
		s.disk = disk
	}
	err := s.recoverIn(s.disk.fsys, first)
	if err != nil && first {
		// The next call begins from the start, and meanwhile somebody may put right what is wrong.
		lost := s.disk
		s.disk = attached{}
		return errors.Join(err, lost.close())
	}
	return err
}

func (s *Store) recoverIn(fsys vfs.FS, first bool) error {
	clear(s.made) // a directory that somebody has removed is made again
	var found manifest
	err := readChecked(fsys, manifestFile, &found)
	if notExist(err) {
		err = s.initialise(fsys, &found)
	}
	if err != nil {
		return err
	}
	next := found.clone()
	next.Generation++
	if err := writeChecked(fsys, manifestFile, next); err != nil {
		return err
	}
	v := &view{manifest: next, fsys: fsys, days: &s.days}
	if err := s.removeLeftovers(v, first); err != nil {
		return err
	}
	if first { // nobody who reads has known an older manifest for long
		if err := s.removeRetired(next, lastTime); err != nil {
			return err
		}
		next = next.clone()
		next.Retired = []retired{} // the next change writes it down
		if err := s.writeView(fsys); err != nil {
			return err
		}
	}
	s.broken = false
	s.show(next)
	return nil
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
	for _, name := range []string{intentFile, rewriteIntent} {
		if err := s.removeUnnamed(v, name); err != nil {
			return err
		}
	}
	return removeOldDays(v, first)
}

// removeUnnamed undoes the change that was at hand, as an intent tells, unless it has happened.
func (s *Store) removeUnnamed(v *view, intentName string) error {
	var left intent
	err := readChecked(v.fsys, intentName, &left)
	switch {
	case notExist(err):
		return nil
	case errors.Is(err, pillarbox.ErrCorrupt):
		// What counts is not in doubt. What it names may be there beside that.
		s.options.Logger.Warn("a file is damaged that names unfinished files; a reader that does not use the manifest may meet events twice",
			telemetry.KeyDatabase, s.dir, telemetry.KeyErr, err)
		return nil
	case err != nil:
		return err
	}
	var unnamed []string
	for _, name := range left.Paths {
		named, err := v.named(name)
		if err != nil {
			return err
		}
		kept := slices.ContainsFunc(v.Retired, func(r retired) bool { return r.Path == name })
		if !named && !kept && !s.building[name] {
			unnamed = append(unnamed, name)
		}
	}
	return s.removeFiles(v.fsys, unnamed)
}

// removeFiles removes files durably. One that is gone is no error.
func (s *Store) removeFiles(fsys vfs.FS, names []string) error {
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
		if name = path.Join(daysDir, name); !keep[name] {
			if err := v.fsys.Remove(name); err != nil && !notExist(err) {
				return err
			}
		}
	}
	return nil
}

// removeRetired removes the files that count no more since before a time.
func (s *Store) removeRetired(m *manifest, before pillarbox.Timestamp) error {
	var names []string
	for _, r := range m.Retired {
		if r.At < before {
			names = append(names, r.Path)
		}
	}
	return s.removeFiles(s.disk.fsys, names)
}
