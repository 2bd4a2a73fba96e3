package trail

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/vfs"
)

// maxRead bounds what is read of one file: it ends with the entry that makes it full, which is not
// longer than its texts.
const maxRead = MaxFileBytes + 64*MaxText

const (
	logSuffix  = ".log"
	keysSuffix = ".keys"
	tornSuffix = ".torn"
)

func logName(first uint64) string {
	return path.Join(Directory, fmt.Sprintf("%016d%s", first, logSuffix))
}

func keysName(first uint64) string {
	return path.Join(Directory, fmt.Sprintf("%016d%s", first, keysSuffix))
}

// filesOf lists the numbers of the first entries of all files.
func filesOf(fsys vfs.FS) (first []uint64, err error) {
	entries, err := fsys.ReadDir(Directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the trail: %w", err)
	}
	for _, e := range entries {
		number, isLog := strings.CutSuffix(e.Name, logSuffix)
		if n, err := strconv.ParseUint(number, 10, 64); isLog && err == nil && logName(n) == path.Join(Directory, e.Name) {
			first = append(first, n)
		}
	}
	slices.Sort(first)
	return first, nil
}

// appender is a file that grows.
type appender struct {
	file vfs.File
	end  int64
}

func openAppender(fsys vfs.FS, name string) (*appender, error) {
	file, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("open the trail: %w", err)
	}
	size, err := file.Size()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the trail: %w", err), file.Close())
	}
	return &appender{file, size}, nil
}

func (a *appender) append(text []byte) error {
	if _, err := a.file.WriteAt(text, a.end); err != nil {
		return fmt.Errorf("write the trail: %w", err)
	}
	if err := a.sync(); err != nil {
		return err
	}
	a.end += int64(len(text))
	return nil
}

// mend takes away what an append has left that failed. What stands before was synced then; what
// comes in its place is written to the same pages, and synced again.
func (a *appender) mend() error {
	if err := a.file.Truncate(a.end); err != nil {
		return fmt.Errorf("cut the trail: %w", err)
	}
	return a.sync()
}

func (a *appender) sync() error {
	if err := a.file.Sync(); err != nil {
		return fmt.Errorf("sync the trail: %w", err)
	}
	return nil
}

// cut takes away what is behind an offset.
func (a *appender) cut(end int64) error {
	if end < a.end {
		if err := a.file.Truncate(end); err != nil {
			return fmt.Errorf("cut the trail: %w", err)
		}
		a.end = end
	}
	return a.sync()
}

// endOfLines is where the last whole line ends.
func endOfLines(text []byte) int { return bytes.LastIndexByte(text, '\n') + 1 }

// firstLine cuts the first line off, without its end.
func firstLine(text []byte) (one, rest []byte) {
	one, rest, _ = bytes.Cut(text, []byte("\n"))
	return one, rest
}

// erased stands in the place of a key.
const erased = "erased"

func keyLine(seq uint64, key string) []byte { return fmt.Appendf(nil, "%d %s\n", seq, key) }

// keysOf reads the keys of one file, sealed or not: nil for one that was erased. A line that can't be read is none.
func keysOf(fsys vfs.FS, first uint64) (map[uint64][]byte, error) {
	text, err := vfs.ReadFile(fsys, keysName(first), maxRead)
	if err != nil {
		return nil, fmt.Errorf("read the keys of the trail: %w", err)
	}
	keys := map[uint64][]byte{}
	for one := range strings.Lines(string(text)) {
		number, encoded, _ := strings.Cut(strings.TrimSuffix(one, "\n"), " ")
		seq, err := strconv.ParseUint(number, 10, 64)
		key, bad := base64.StdEncoding.DecodeString(encoded)
		switch {
		case err != nil:
		case encoded == erased:
			keys[seq] = nil
		case bad == nil && (len(key) == keyBytes || len(key) == keyBytes+atrest.Overhead):
			keys[seq] = key // a life that ended between key and entry has left another one before it
		}
	}
	return keys, nil
}

// Erase forgets the key of an entry, which nobody can read from then on; the chain stays whole. It
// returns when that is durable. Errors: ErrNotFound, and those of the disk.
func (t *Trail) Erase(seq uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fsys == nil {
		return fmt.Errorf("the trail of administration can't be read: %w", t.closed)
	}
	at, found := slices.BinarySearch(t.files, seq)
	if !found {
		at--
	}
	if seq == 0 || seq > t.last.Entries || at < 0 {
		return fmt.Errorf("the trail has no entry %d; it has %d: %w", seq, t.last.Entries, pillarbox.ErrNotFound)
	}
	first := t.files[at]
	text, err := vfs.ReadFile(t.fsys, keysName(first), maxRead)
	if err != nil {
		return fmt.Errorf("erase an entry: %w", err)
	}
	var kept bytes.Buffer
	prefix := strconv.FormatUint(seq, 10) + " "
	for one := range strings.Lines(string(text)) {
		if !strings.HasPrefix(one, prefix) {
			kept.WriteString(one)
		}
	}
	kept.Write(keyLine(seq, erased))
	if err := vfs.WriteFile(t.fsys, keysName(first), kept.Bytes()); err != nil {
		return fmt.Errorf("erase an entry: %w", err)
	}
	if at < len(t.files)-1 || t.keys == nil {
		return nil
	}
	_ = t.keys.file.Close() // of the file that has no name any more
	t.keys, err = openAppender(t.fsys, keysName(first))
	if err != nil {
		t.closed = err
	}
	return err
}
