package background

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/vfs"
)

const (
	// Directory is where jobs are kept, in the data directory.
	Directory = "jobs"

	// MaxKeptBytes is the most that is kept of one job: its request may have ten thousand ids.
	MaxKeptBytes = 2 << 20

	jobSuffix     = ".json"
	recordVersion = 1
)

// Keeper keeps jobs in files, one for each, so that they go on after the process has ended. A nil
// Keeper keeps nothing. All methods may be called concurrently, but not for the same job.
type Keeper struct {
	fsys vfs.FS
	keys *atrest.Keys
}

// NewKeeper keeps jobs in a directory of the file system, sealed where keys seal.
func NewKeeper(fsys vfs.FS, keys *atrest.Keys) *Keeper { return &Keeper{fsys: fsys, keys: keys} }

// record is the JSON form of a job that is kept.
type record struct {
	Version  int             `json:"version"`
	Kind     string          `json:"kind"`
	ID       string          `json:"id"`
	Running  bool            `json:"running"`
	Claims   []string        `json:"claims"` // names of destinations; null for all
	Request  json.RawMessage `json:"request"`
	Progress json.RawMessage `json:"progress"`
}

func (r *record) name() string { return path.Join(Directory, r.Kind+"-"+r.ID+jobSuffix) }

// keep makes the record durable, in the place of what was kept of the job before.
func (k *Keeper) keep(r *record) error {
	if k == nil {
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if len(text) > MaxKeptBytes {
		return fmt.Errorf("%s %s has %d bytes, and may have %d: %w", r.Kind, r.ID, len(text), MaxKeptBytes, pillarbox.ErrTooLarge)
	}
	content, err := k.keys.SealDocument(append(text, '\n'), atrest.Job)
	if err != nil {
		return err
	}
	if err := vfs.MkdirAll(k.fsys, Directory); err != nil {
		return fmt.Errorf("make %s: %w", Directory, err)
	}
	if err := vfs.WriteFile(k.fsys, r.name(), content); err != nil {
		return fmt.Errorf("keep %s %s: %w", r.Kind, r.ID, err)
	}
	return nil
}

// drop removes what is kept of a job that has ended.
func (k *Keeper) drop(r *record) error {
	if k == nil {
		return nil
	}
	if err := k.fsys.Remove(r.name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// kept returns the jobs of a kind that are kept, oldest first, and the highest id that was ever given.
// What can't be read is left alone and named in the error, which comes beside the others.
func (k *Keeper) kept(kind string) (records []*record, last int, err error) {
	if k == nil {
		return nil, 0, nil
	}
	entries, err := k.fsys.ReadDir(Directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("jobs that are kept: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		id, number, ours := idOf(kind, entry.Name)
		if !ours {
			continue
		}
		last = max(last, number)
		r, err := k.read(entry.Name)
		switch {
		case err == nil && (r.Kind != kind || r.ID != id):
			err = fmt.Errorf("it is of %s %s: %w", r.Kind, r.ID, pillarbox.ErrCorrupt)
			fallthrough
		case err != nil:
			errs = append(errs, fmt.Errorf("%s, which is left alone: %w", path.Join(Directory, entry.Name), err))
		default:
			records = append(records, r)
		}
	}
	slices.SortFunc(records, func(a, b *record) int { return numberOf(a.ID) - numberOf(b.ID) })
	return records, last, errors.Join(errs...)
}

func idOf(kind, name string) (id string, number int, ours bool) {
	id, ours = strings.CutPrefix(name, kind+"-")
	if !ours {
		return "", 0, false
	}
	id, ours = strings.CutSuffix(id, jobSuffix)
	number = numberOf(id)
	return id, number, ours && number > 0
}

// numberOf is the number that an id is, and 0 where it is none.
func numberOf(id string) int {
	number, err := strconv.Atoi(id)
	if err != nil || strconv.Itoa(number) != id {
		return 0
	}
	return number
}

func (k *Keeper) read(name string) (*record, error) {
	content, err := vfs.ReadFile(k.fsys, path.Join(Directory, name), 2*MaxKeptBytes)
	if err != nil {
		return nil, err
	}
	text, err := k.keys.OpenDocument(content, atrest.Job)
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%v: %w", err, pillarbox.ErrCorrupt)
	}
	if r.Version != recordVersion {
		return nil, pillarbox.Invalid("it is of version %d; this program knows %d", r.Version, recordVersion)
	}
	return &r, nil
}
