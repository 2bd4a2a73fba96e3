package parquet

import (
	"errors"
	"io"

	pq "github.com/parquet-go/parquet-go"

	"pillarbox"
)

// cursor goes through the rows of a file, in the order of their keys or against it. It opens the file
// when its turn has come.
type cursor struct {
	view   *view
	entry  *entry
	newest bool

	file   *opened
	reader *pq.GenericReader[row]
	rows   []row // that were read last; the cursor stands at one of them
	at     int
	lo, hi int64 // rows of the file that are still to be read, from the end where the newest come first
	chunk  int64 // rows that are read at once
	passed int64 // rows that the cursor has left behind
}

func newCursor(v *view, e *entry, newest bool) *cursor {
	return &cursor{view: v, entry: e, newest: newest}
}

// place is the key at which the cursor stands; before the file is open, the first that it may have.
func (c *cursor) place() pillarbox.Key {
	switch {
	case c.file != nil:
		return c.rows[c.at].key()
	case c.newest:
		return c.entry.Last.key()
	}
	return c.entry.First.key()
}

// compareCursors puts first what is to be read first.
func compareCursors(a, b *cursor) int {
	order := compareKeys(a.place(), b.place())
	if a.newest {
		return -order
	}
	return order
}

// Sizes of what a cursor reads at once.
const (
	chunkBytes = 1 << 20
	chunkRows  = 256
)

// open opens the file and goes to the first page that may have events between two times, both
// inclusive, and with a request id if it is not empty.
func (c *cursor) open(since, until pillarbox.Timestamp, requestID string) (ended bool, err error) {
	err = guarded(c.entry, func() (err error) {
		if c.file, err = c.view.open(c.entry); err != nil {
			return err
		}
		may := true
		if requestID != "" {
			may, err = c.file.mayHave(requestID)
		}
		if err != nil || !may {
			ended = true
			return err
		}
		c.chunk = min(max(1, chunkBytes/c.file.rowBytes()), chunkRows)
		c.hi = c.file.NumRows()
		if since > c.entry.First.Timestamp {
			if c.lo, err = c.file.seek(since); err != nil {
				return err
			}
		}
		if until < c.entry.Last.Timestamp {
			if c.hi, err = c.file.seekBehind(until); err != nil {
				return err
			}
		}
		c.reader = pq.NewGenericReader[row](c.file.File)
		return nil
	})
	if err != nil || ended {
		return true, err
	}
	return c.read()
}

// next moves to the next row.
func (c *cursor) next() (ended bool, err error) {
	c.passed++
	if c.newest {
		c.at--
	} else {
		c.at++
	}
	if c.at >= 0 && c.at < len(c.rows) {
		return false, nil
	}
	return c.read()
}

// read reads the next rows.
func (c *cursor) read() (ended bool, err error) {
	n := min(c.chunk, c.hi-c.lo)
	if n <= 0 {
		return true, nil
	}
	from := c.lo
	if c.newest {
		from = c.hi - n
	}
	err = guarded(c.entry, func() error {
		if err := c.reader.SeekToRow(from); err != nil {
			return err
		}
		c.rows = make([]row, n) // the rows before may still be on their way to somebody
		return readAll(c.reader, c.rows)
	})
	if err != nil {
		return true, err
	}
	if c.newest {
		c.hi, c.at = from, len(c.rows)-1
	} else {
		c.lo, c.at = from+n, 0
	}
	return false, nil
}

// readAll fills rows.
func readAll(reader *pq.GenericReader[row], rows []row) error {
	for len(rows) > 0 {
		n, err := reader.Read(rows)
		if rows = rows[n:]; len(rows) == 0 {
			return nil
		}
		if errors.Is(err, io.EOF) || n == 0 && err == nil {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// close may be called at any time. It only reads, so nothing can be lost by an error.
func (c *cursor) close() {
	if c.reader != nil {
		_ = c.reader.Close()
	}
	if c.file != nil {
		_ = c.file.file.Close()
	}
	c.reader, c.file = nil, nil
}

// seekBehind returns the number of rows before the first page that is wholly behind a time.
func (f *opened) seekBehind(at pillarbox.Timestamp) (int64, error) {
	first := int64(0)
	for _, group := range f.RowGroups() {
		chunk := group.ColumnChunks()[timestampColumn]
		index, err := chunk.ColumnIndex()
		if err != nil {
			return 0, err
		}
		offsets, err := chunk.OffsetIndex()
		if err != nil {
			return 0, err
		}
		for page := range index.NumPages() {
			if index.MinValue(page).Int64() > int64(at) {
				return first + offsets.FirstRowIndex(page), nil
			}
		}
		first += group.NumRows()
	}
	return first, nil
}
