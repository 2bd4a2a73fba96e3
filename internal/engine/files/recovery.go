package files

import (
	"cmp"
	"fmt"
	"log/slog"
	"path"
	"slices"

	"pillarbox/internal/letterfile"
	"pillarbox/internal/vfs"
)

// recovery finds out, when the letters are opened, which there are, and removes what a crash left behind.
type recovery struct {
	*Letters
	log   *slog.Logger
	found map[id][]place // letters of which there is more than one file, and all of those
}

// run syncs each directory before it reads it. An earlier life may have died between changing a name and making
// that durable; if the change were lost after all, a file could come back and win over one that was put since.
func (r *recovery) run() error {
	if err := r.fsys.SyncDir(r.dir); err != nil {
		return err
	}
	days, err := r.listDays()
	if err != nil {
		return err
	}
	for _, day := range days {
		if err := r.day(day); err != nil {
			return err
		}
	}
	for letter, places := range r.found {
		if err := r.choose(letter, places); err != nil {
			return err
		}
	}
	return nil
}

// day adds the letters of one day to the index.
func (r *recovery) day(day place) error {
	dir := path.Join(r.dir, day.DayName())
	if err := r.fsys.SyncDir(dir); err != nil {
		return err
	}
	r.days[day.Day] = true
	entries, err := r.fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name
		if vfs.IsTemp(name) {
			if err := r.removeTemp(dir, name); err != nil {
				return err
			}
			continue
		}
		letter, in, ok := letterfile.ParseFileName(name)
		if !ok || entry.Dir {
			continue
		}
		here := place{Day: day.Day, State: in}
		if there, known := r.index.lookup(letter); known {
			if len(r.found[letter]) == 0 {
				r.found[letter] = []place{there}
			}
			r.found[letter] = append(r.found[letter], here)
			continue
		}
		r.index.set(letter, here)
	}
	return nil
}

// removeTemp removes a letter that was never finished. It need not be durable: it would be removed again.
func (r *recovery) removeTemp(dir, name string) error {
	if _, _, ours := letterfile.ParseFileName(name[:len(name)-len(vfs.TempSuffix)]); !ours {
		return nil
	}
	if err := r.fsys.Remove(path.Join(dir, name)); err != nil {
		return fmt.Errorf("remove unfinished dead letter: %w", err)
	}
	return nil
}

// choose keeps one of several files of a letter. They differ because a call was cut off before it removed the
// older one, and had not returned: resolved wins over open, and the later day over the earlier. Nothing is
// removed unless the one that is kept can be read.
func (r *recovery) choose(letter id, places []place) error {
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(-cmp.Compare(min(a.State, replayed), min(b.State, replayed)), -cmp.Compare(a.Day, b.Day))
	})
	kept := slices.IndexFunc(places, func(at place) bool {
		_, err := r.readAt(letter, at)
		return err == nil
	})
	if kept < 0 {
		r.index.set(letter, places[0])
		return nil
	}
	r.index.set(letter, places[kept])
	for i, at := range places {
		if i == kept {
			continue
		}
		if _, err := r.readAt(letter, at); err != nil {
			r.index.suspect(letter, at) // to be looked at by a person, until the letter is written again
			continue
		}
		r.log.Info("leftover of a dead letter removed", "file", letterfile.Name(letter, at), "kept", letterfile.Name(letter, places[kept]))
		if err := r.remove(letter, at); err != nil {
			return fmt.Errorf("remove leftover of a dead letter: %w", err)
		}
	}
	return nil
}
