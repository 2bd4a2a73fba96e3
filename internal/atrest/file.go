package atrest

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"
	"slices"
	"strings"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// Directory is where the data keys are, below the data directory.
const Directory = "data-keys"

const (
	fileVersion = 1
	copies      = 2       // of each data key: without it a day is lost
	maxFile     = 1 << 20 // bytes of a file
	suffix      = ".json"
)

// dataKeyFile is the content of a file.
type dataKeyFile struct {
	Version   int                 `json:"version"`
	ID        ID                  `json:"id"`
	Created   pillarbox.Timestamp `json:"created"`
	WrappedBy string              `json:"wrapped_by"`
	Wrapped   []byte              `json:"wrapped"`
	Checksum  uint32              `json:"checksum"` // CRC-32C of id, created, wrapped_by and wrapped
}

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) != 2*idBytes {
		return fmt.Errorf("an id of %d characters: %w", len(text), pillarbox.ErrCorrupt)
	}
	_, err := hex.Decode(id[:], text)
	return err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (f *dataKeyFile) checksum() uint32 {
	text := strings.Join([]string{f.ID.String(), f.Created.String(), f.WrappedBy, string(f.Wrapped)}, "\x00")
	return crc32.Checksum([]byte(text), castagnoli)
}

func fileName(id ID, number int) string {
	return path.Join(Directory, fmt.Sprintf("%s.%d%s", id, number, suffix))
}

// write makes a data key durable, in all its copies. A copy that was there stays whole until another
// is in its place.
func (f *dataKeyFile) write(fsys vfs.FS) error {
	f.Version, f.Checksum = fileVersion, f.checksum()
	text, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = vfs.MkdirAll(fsys, Directory)
	}
	for number := range copies {
		if err == nil {
			err = vfs.WriteFile(fsys, fileName(f.ID, number), append(text, '\n'))
		}
	}
	if err != nil {
		return fmt.Errorf("keep the data key %s: %w: %w", f.ID, err, pillarbox.ErrUnavailable)
	}
	return nil
}

// readFiles returns the data keys of a directory, oldest first; mend are those of which a copy is
// missing or damaged. Errors: ErrCorrupt where no copy of one is whole; ErrInvalid where a newer
// version has written it; those of the disk.
func readFiles(fsys vfs.FS) (all, mend []*dataKeyFile, err error) {
	entries, err := fsys.ReadDir(Directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list the data keys: %w: %w", err, pillarbox.ErrUnavailable)
	}
	seen := map[ID]bool{}
	for _, entry := range entries {
		var id ID
		digits, _, _ := strings.Cut(entry.Name, ".")
		if vfs.IsTemp(entry.Name) || !strings.HasSuffix(entry.Name, suffix) || id.UnmarshalText([]byte(digits)) != nil || seen[id] {
			continue
		}
		seen[id] = true
		one, whole, err := readCopies(fsys, id)
		if err != nil {
			return nil, nil, err
		}
		if all = append(all, one); whole < copies {
			mend = append(mend, one)
		}
	}
	slices.SortFunc(all, func(a, b *dataKeyFile) int {
		if a.Created != b.Created {
			return int(max(-1, min(1, int64(a.Created)-int64(b.Created))))
		}
		return strings.Compare(a.ID.String(), b.ID.String())
	})
	return all, mend, nil
}

// readCopies returns the first copy that is whole, and how many are.
func readCopies(fsys vfs.FS, id ID) (found *dataKeyFile, whole int, err error) {
	var bad error
	for number := range copies {
		one, err := readFile(fsys, id, number)
		switch {
		case errors.Is(err, pillarbox.ErrInvalid):
			return nil, 0, err
		case err != nil:
			bad = errors.Join(bad, err)
		case found == nil:
			found, whole = one, 1
		case one.Checksum == found.Checksum:
			whole++
		}
	}
	if found == nil {
		return nil, 0, fmt.Errorf("the data key %s can't be read; put it back from a backup, or move its files away to give up what is sealed with it: %w", id, bad)
	}
	return found, whole, nil
}

func readFile(fsys vfs.FS, id ID, number int) (*dataKeyFile, error) {
	name := fileName(id, number)
	text, err := vfs.ReadFile(fsys, name, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	one := &dataKeyFile{}
	if err := json.Unmarshal(text, one); err != nil {
		return nil, &pillarbox.CorruptError{File: name, Reason: err.Error()}
	}
	switch {
	case one.Version > fileVersion:
		return nil, pillarbox.Invalid("%s has the version %d, and this pillarbox reads %d; use the version of pillarbox that wrote it",
			name, one.Version, fileVersion)
	case one.Checksum != one.checksum() || one.ID != id:
		return nil, &pillarbox.CorruptError{File: name, Reason: "its checksum is wrong, or its id is not that of its name"}
	}
	return one, nil
}
