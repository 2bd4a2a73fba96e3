package parquet

import (
	"context"
	"crypto/rand"
	"fmt"
	"path"
	"slices"
	"strings"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// built is a file that is durable under a temporary name, and the place that it is for.
type built struct {
	temp string
	entry
}

// publish carries out one change: the files get their names, and then a manifest counts them. Where
// the power goes before that, nothing has happened, and the intent tells which files to remove. change
// makes the next manifest out of the last one, which has the files already. After an error nobody
// knows whether it has happened, until the recovery.
func (s *Store) publish(ctx context.Context, files []built, change func(next *manifest)) error {
	v := s.view.Load().in(ctx)
	if err := s.name(v.fsys, files); err != nil {
		s.breakLocked()
		return err
	}
	next := v.clone()
	next.Generation++
	for _, f := range files {
		next.add(f.entry)
	}
	change(next)
	if len(next.Added)+len(next.Removed) > s.options.FoldFiles {
		if err := s.fold(v, next); err != nil {
			s.breakLocked()
			return err
		}
	}
	if err := s.replaceManifest(ctx, next); err != nil {
		s.breakLocked()
		return err
	}
	s.show(next)
	return nil
}

// replaceManifest makes a manifest what counts.
func (s *Store) replaceManifest(ctx context.Context, next *manifest) error {
	text, err := encodeChecked(next)
	if err != nil {
		return err
	}
	return s.disk.current.replace(ctx, text)
}

// name puts files in their places, durably.
func (s *Store) name(fsys vfs.FS, files []built) error {
	if len(files) == 0 {
		return nil
	}
	for _, f := range files {
		if err := s.makeDir(fsys, f.partition()); err != nil {
			return err
		}
	}
	return putInPlace(fsys, s.intents.write, files)
}

// maxMade is how many directories are remembered to be there.
const maxMade = 10_000

func (s *Store) makeDir(fsys vfs.FS, dir string) error {
	if s.made[dir] {
		return nil
	}
	if err := vfs.MkdirAll(fsys, dir); err != nil {
		return err
	}
	if len(s.made) >= maxMade {
		clear(s.made)
	}
	s.made[dir] = true
	return nil
}

// fold moves what a manifest has of files to files of their days, so that it stays small. Their
// predecessors are kept for who has read an older manifest.
func (s *Store) fold(v *view, next *manifest) error {
	days := map[string]bool{}
	for _, e := range next.Added {
		days[e.day()] = true
	}
	for _, name := range next.Removed {
		days[dayOfPath(name)] = true
	}
	folded := &view{manifest: next, fsys: v.fsys, days: v.days}
	list := slices.Clone(next.Days)
	at := pillarbox.TimestampOf(s.options.Now())
	for day := range days {
		files, err := folded.files(day)
		if err != nil {
			return err
		}
		if old := next.of(day); old != nil {
			list = slices.DeleteFunc(list, func(d dayEntry) bool { return d.Day == day })
			next.Retired = append(next.Retired, retired{old.File, at})
		}
		if len(files) == 0 {
			continue
		}
		d := summary(day, files)
		d.File = fmt.Sprintf("%s/%s-%010x-%s.json", daysDir, day, next.Generation, newName()) // as dayGenerationOf reads it
		if err := writeChecked(v.fsys, d.File, dayFiles{Version: formatOne, Day: day, Files: files}); err != nil {
			return err
		}
		s.days.put(d.File, files)
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b dayEntry) int { return strings.Compare(a.Day, b.Day) })
	next.Days, next.Added, next.Removed = list, []entry{}, []string{}
	return nil
}

func summary(day string, files []entry) dayEntry {
	d := dayEntry{Day: day, Files: len(files)}
	partitions := map[string]int{}
	for i := range files {
		d.Rows += files[i].Rows
		d.Odd = d.Odd || files[i].Odd
		if partitions[files[i].partition()]++; partitions[files[i].partition()] == 2 {
			d.Loose++
		}
	}
	return d
}

// newName is a name that was never used.
func newName() string { return strings.ToLower(rand.Text()[:16]) }

func newTemp() string { return path.Join(tempDir, newName()+vfs.TempSuffix) }

// newPath is where a file of a partition goes.
func newPath(partition string, generation uint64) string {
	return fmt.Sprintf("%s/%010x-%s%s", partition, generation, newName(), suffix)
}
