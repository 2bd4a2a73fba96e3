package seglog

import (
	"errors"
	"fmt"
	"io"

	"pillarbox/internal/vfs"
)

// view returns up to n bytes at offset, fewer at the limit. The slice is valid until the next call.
func (w *walker) view(offset int64, n int) ([]byte, error) {
	n = int(min(int64(n), w.limit-offset))
	if n <= 0 {
		return nil, nil
	}
	from := offset - w.bufferStart
	if from < 0 || from+int64(n) > int64(len(w.buffer)) {
		if err := w.fill(offset, n); err != nil {
			return nil, err
		}
		from = 0
	}
	return w.buffer[from:min(from+int64(n), int64(len(w.buffer)))], nil
}

func (w *walker) fill(offset int64, n int) error {
	n = int(min(max(int64(n), readAhead), w.limit-offset))
	if cap(w.buffer) < n {
		w.buffer = make([]byte, n)
	}
	read, err := w.file.ReadAt(w.buffer[:n], offset)
	if vfs.IsUnreadable(err) || err == nil && len(w.unreadable) > 0 {
		read, err = w.fillPages(w.buffer[:n], offset)
	}
	w.buffer, w.bufferStart = w.buffer[:read], offset
	if err != nil && !errors.Is(err, io.EOF) {
		w.buffer = w.buffer[:0]
		return fmt.Errorf("read %s at %d: %w", w.name, offset, unavailable(err))
	}
	return nil
}

// pageTries is how often a page is read at once before it counts as unreadable for now.
const pageTries = 3

// fillPages reads page by page, and puts zeros in the place of those that the disk can't read: the
// checksums say what that costs. The kernel reads whole pages, so nothing smaller can be saved.
func (w *walker) fillPages(b []byte, offset int64) (read int, err error) {
	for read < len(b) {
		at := offset + int64(read)
		page := at &^ (pageBytes - 1)
		n := int(min(page+pageBytes-at, int64(len(b)-read)))
		got, err := w.file.ReadAt(b[read:read+n], at)
		for range pageTries - 1 {
			if !vfs.IsUnreadable(err) {
				break
			}
			got, err = w.file.ReadAt(b[read:read+n], at)
		}
		switch {
		case vfs.IsUnreadable(err):
			if w.unreadable == nil {
				w.unreadable = map[int64]bool{}
			}
			w.unreadable[page] = true
			clear(b[read : read+n])
			got = n
		case err != nil:
			return read + got, err
		default:
			delete(w.unreadable, page)
		}
		read += got
	}
	return read, nil
}

// couldNotRead reports whether zeros stand for a part of the range.
func (w *walker) couldNotRead(from, to int64) bool {
	for page := range w.unreadable {
		if page < to && page+pageBytes > from {
			return true
		}
	}
	return false
}
