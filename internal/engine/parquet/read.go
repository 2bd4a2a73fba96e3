package parquet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"

	pq "github.com/parquet-go/parquet-go"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// errGone says that a file is not there that counts, or counted a while ago.
var errGone = errors.New("the file is gone")

// opened is a file of events that is open.
type opened struct {
	*pq.File
	entry *entry
	file  vfs.File
}

// guarded calls look, and makes a damaged file out of whatever the decoder says of what it reads, or
// panics with. An error of the disk stays one.
func guarded(e *entry, look func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &pillarbox.CorruptError{File: e.Path, Reason: fmt.Sprint("it can't be decoded: ", p)}
		}
	}()
	err = look()
	var disk interface{ Timeout() bool } // what *fs.PathError and syscall.Errno have
	switch {
	case err == nil, errors.Is(err, errGone), errors.Is(err, pillarbox.ErrCorrupt), errors.As(err, &disk),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		if !vfs.IsForeign(err) {
			return err
		}
	}
	return &pillarbox.CorruptError{File: e.Path, Reason: err.Error()}
}

// with opens a file of events for look.
func (v *view) with(e *entry, look func(f *opened) error) error {
	return guarded(e, func() error {
		f, err := v.open(e)
		if err != nil {
			return err
		}
		return errors.Join(look(f), f.file.Close())
	})
}

func (v *view) open(e *entry) (*opened, error) {
	file, err := v.fsys.OpenFile(e.Path, os.O_RDONLY)
	if notExist(err) && v.last {
		return nil, &pillarbox.CorruptError{File: e.Path, Reason: "it is gone"}
	}
	if notExist(err) {
		return nil, fmt.Errorf("%s: %w", e.Path, errGone)
	}
	if err != nil {
		return nil, err
	}
	size, err := file.Size()
	if err == nil && size != e.Bytes {
		err = &pillarbox.CorruptError{File: e.Path, Reason: fmt.Sprintf("it has %d bytes, and was written with %d", size, e.Bytes)}
	}
	var f *pq.File
	if err == nil {
		f, err = pq.OpenFile(file, size)
	}
	if err == nil && f.NumRows() != e.Rows {
		err = &pillarbox.CorruptError{File: e.Path, Reason: fmt.Sprintf("it has %d rows, and was written with %d", f.NumRows(), e.Rows)}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &opened{File: f, entry: e, file: file}, nil
}

// Columns of row.
const (
	timestampColumn = 0
	requestIDColumn = 1
	storedAtColumn  = 11
)

// rowBytes is about what a row takes in memory.
func (f *opened) rowBytes() int64 {
	var total int64
	for _, group := range f.Metadata().RowGroups {
		total += group.TotalByteSize
	}
	return total/max(1, f.NumRows()) + 1
}

// seek returns the first row of a page behind which the first row at or behind a time is, or the
// number of rows.
func (f *opened) seek(at pillarbox.Timestamp) (int64, error) {
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
		page := sort.Search(index.NumPages(), func(page int) bool {
			return index.MaxValue(page).Int64() >= int64(at)
		})
		if page < index.NumPages() {
			return first + offsets.FirstRowIndex(page), nil
		}
		first += group.NumRows()
	}
	return first, nil
}

// mayHave reports whether a request id may be in the file.
func (f *opened) mayHave(requestID string) (bool, error) {
	for _, group := range f.RowGroups() {
		filter := group.ColumnChunks()[requestIDColumn].BloomFilter()
		if filter == nil {
			return true, nil
		}
		if may, err := filter.Check(pq.ValueOf(requestID)); may || err != nil {
			return may, err
		}
	}
	return false, nil
}

// keysAtOnce is after how many rows it is looked whether pages can be left out.
const keysAtOnce = 1024

// have looks up keys, which are in order and in the range of the file, and calls found for those that
// are in it. It reads the pages that may have them, of the columns of keys alone.
func (f *opened) have(ctx context.Context, keys []pillarbox.Key, found func(i int)) error {
	var wanted []int // those that the filter does not exclude
	for i, key := range keys {
		may, err := f.mayHave(key.RequestID)
		if err != nil {
			return err
		}
		if may {
			wanted = append(wanted, i)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return f.merge(ctx, keys, wanted, found)
}

// merge goes through the rows and through the wanted keys at once.
func (f *opened) merge(ctx context.Context, keys []pillarbox.Key, wanted []int, found func(i int)) error {
	first := int64(0)
	for _, group := range f.RowGroups() {
		if err := ctx.Err(); err != nil {
			return err
		}
		rest, err := f.mergeGroup(ctx, group, first, keys, wanted, found)
		if err != nil || len(rest) == 0 {
			return err
		}
		wanted = rest
		first += group.NumRows()
	}
	return nil
}

// mergeGroup goes through one row group, whose first row in the file is given, and returns which keys
// are behind it.
func (f *opened) mergeGroup(ctx context.Context, group pq.RowGroup, first int64, keys []pillarbox.Key, wanted []int,
	found func(i int)) (rest []int, err error) {
	times, ids := newColumnReader(group, timestampColumn), newColumnReader(group, requestIDColumn)
	defer func() { err = errors.Join(err, times.close(), ids.close()) }()
	for row := int64(0); len(wanted) > 0; row++ {
		if row%keysAtOnce == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			to, err := f.seek(keys[wanted[0]].Timestamp)
			if err != nil {
				return nil, err
			}
			row = max(row, to-first)
		}
		if row >= group.NumRows() {
			break
		}
		at, err := times.value(row)
		if err != nil {
			return nil, err
		}
		for len(wanted) > 0 && keys[wanted[0]].Timestamp < pillarbox.Timestamp(at.Int64()) {
			wanted = wanted[1:]
		}
		if len(wanted) == 0 || keys[wanted[0]].Timestamp > pillarbox.Timestamp(at.Int64()) {
			continue
		}
		id, err := ids.value(row)
		if err != nil {
			return nil, err
		}
		wanted = passed(keys, wanted, pillarbox.Timestamp(at.Int64()), string(id.ByteArray()), found)
	}
	return wanted, nil
}

// passed leaves out the keys up to that of a row, which is found if it is one of them.
func passed(keys []pillarbox.Key, wanted []int, at pillarbox.Timestamp, id string, found func(i int)) []int {
	row := pillarbox.Key{Timestamp: at, RequestID: id}
	for len(wanted) > 0 {
		order := compareKeys(keys[wanted[0]], row)
		if order > 0 {
			break
		}
		if order == 0 {
			found(wanted[0])
		}
		wanted = wanted[1:]
	}
	return wanted
}

// columnReader reads values of a column of a row group, whose rows are asked for in their order.
type columnReader struct {
	pages  pq.Pages
	page   pq.Page
	reader pq.ValueReader
	next   int64 // row behind what is in values
	values []pq.Value
	buffer [256]pq.Value
}

func newColumnReader(group pq.RowGroup, column int) *columnReader {
	return &columnReader{pages: group.ColumnChunks()[column].Pages()}
}

// value returns the value of a row. It is valid until the next call.
func (c *columnReader) value(row int64) (pq.Value, error) {
	if ahead := row - c.next; ahead > int64(len(c.buffer)) || c.page == nil {
		if err := c.seek(row); err != nil {
			return pq.Value{}, err
		}
	}
	for row >= c.next {
		if err := c.fill(); err != nil {
			return pq.Value{}, err
		}
	}
	return c.values[int64(len(c.values))-(c.next-row)], nil
}

func (c *columnReader) seek(row int64) error {
	pq.Release(c.page)
	c.page, c.values, c.next = nil, nil, row
	return c.pages.SeekToRow(row)
}

// fill reads the next values. A key is in each row, so a value is a row.
func (c *columnReader) fill() (err error) {
	for {
		if c.page == nil {
			if c.page, err = c.pages.ReadPage(); err != nil {
				return noEOF(err)
			}
			c.reader = c.page.Values()
		}
		n, err := c.reader.ReadValues(c.buffer[:])
		if n > 0 {
			c.values = c.buffer[:n]
			c.next += int64(n)
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		pq.Release(c.page)
		c.page = nil
	}
}

// noEOF makes an error of an end that comes too early.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *columnReader) close() error {
	pq.Release(c.page)
	return c.pages.Close()
}

// stored looks up keys, which are in order, each once. unknown has those that are in the range of a
// file that can't be read, and why.
func (v *view) stored(ctx context.Context, keys []pillarbox.Key) (there []bool, unknown map[int]error, err error) {
	there, unknown = make([]bool, len(keys)), map[int]error{}
	for start := 0; start < len(keys); {
		hour := hourOf(keys[start].Timestamp)
		end := start + sort.Search(len(keys)-start, func(i int) bool { return keys[start+i].Timestamp >= hour+hourMicroseconds })
		files, err := v.files(dayOf(hour))
		if err != nil {
			return nil, nil, err
		}
		for _, e := range inHour(files, hour) {
			if err := v.storedIn(ctx, &e, keys, start, end, there, unknown); err != nil {
				return nil, nil, err
			}
		}
		start = end
	}
	return there, unknown, nil
}

// storedIn looks up those of the keys from start to end that may be in a file.
func (v *view) storedIn(ctx context.Context, e *entry, keys []pillarbox.Key, start, end int, there []bool, unknown map[int]error) error {
	first, _ := slices.BinarySearchFunc(keys[start:end], e.First.key(), compareKeys)
	last, exact := slices.BinarySearchFunc(keys[start:end], e.Last.key(), compareKeys)
	if first += start; exact {
		last++
	}
	if last += start; first >= last {
		return nil
	}
	err := v.with(e, func(f *opened) error {
		return f.have(ctx, keys[first:last], func(i int) { there[first+i] = true })
	})
	if !errors.Is(err, pillarbox.ErrCorrupt) {
		return err
	}
	for i := first; i < last; i++ {
		if !there[i] && unknown[i] == nil {
			unknown[i] = fmt.Errorf("nobody can tell whether the event is stored; put the file back as it was: %w", err)
		}
	}
	return nil
}
