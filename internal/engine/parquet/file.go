package parquet

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"pillarbox/internal/requestid"
	"pillarbox/internal/vfs"
)

const (
	writeBuffer   = 1 << 20   // bytes that are handed to the disk at once
	pageBytes     = 256 << 10 // of a column, before compression: what a look-up reads
	bloomBits     = 10        // for each request id: one in a hundred that is not there seems to be
	maxDictionary = 1 << 20   // bytes; a column with more different values is plain from there on
	rowGroupBytes = 64 << 20  // of bodies and texts; what one who writes or reads may have in memory
	rowGroupRows  = 500_000
)

// newEncoder makes what writes files of events. The rows come in the order of their keys.
func newEncoder(to io.Writer) *pq.GenericWriter[row] {
	return pq.NewGenericWriter[row](to,
		pq.Compression(&zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1}),
		pq.BloomFilters(pq.SplitBlockFilter(bloomBits, "request_id")),
		pq.SortingWriterConfig(pq.SortingColumns(pq.Ascending("timestamp"), pq.Ascending("request_id"))),
		pq.PageBufferSize(pageBytes), pq.DictionaryMaxBytes(maxDictionary), pq.MaxRowsPerRowGroup(rowGroupRows),
		pq.SkipPageBounds("body"), pq.SkipPageBounds("headers"), pq.SkipPageBounds("traceparent"), pq.SkipPageBounds("attributes"),
		pq.CreatedBy("pillarbox", "1", ""))
}

// encodeNone makes a file without events.
func encodeNone() ([]byte, error) {
	var content bytes.Buffer
	w := newEncoder(&content)
	err := w.Close()
	return content.Bytes(), err
}

// appender writes to a file from its start on.
type appender struct {
	file vfs.File
	size int64
}

func (a *appender) Write(p []byte) (int, error) {
	n, err := a.file.WriteAt(p, a.size)
	a.size += int64(n)
	return n, err
}

// writer writes one file of events under a temporary name.
type writer struct {
	fsys    vfs.FS
	temp    string
	to      *appender
	buffer  *bufio.Writer
	encoder *pq.GenericWriter[row]
	grouped int64 // bytes of the row group at hand
	entry   entry
}

// newWriter takes an encoder, which is of no use after an error.
func newWriter(fsys vfs.FS, temp string, encoder *pq.GenericWriter[row]) (*writer, error) {
	file, err := vfs.Create(fsys, temp)
	if err != nil {
		return nil, err
	}
	w := &writer{fsys: fsys, temp: temp, to: &appender{file: file}, encoder: encoder}
	w.buffer = bufio.NewWriterSize(w.to, writeBuffer)
	encoder.Reset(w.buffer)
	return w, nil
}

// piece is some rows of one partition, in the order of their keys.
type piece struct {
	rows  []row
	bytes int64 // of bodies and texts
	odd   bool  // as of an entry
}

func (p *piece) reset() { p.rows, p.bytes, p.odd = p.rows[:0], 0, false }

func (p *piece) add(r *row) {
	p.rows = append(p.rows, *r)
	p.bytes += int64(len(r.Body) + len(r.Headers) + len(r.Query) + len(r.Path))
	p.odd = p.odd || !requestid.TellsTime(r.key())
}

// write takes rows behind those before. It keeps none of them.
func (w *writer) write(p *piece) error {
	if len(p.rows) == 0 {
		return nil
	}
	if w.entry.Rows == 0 {
		w.entry.Source, w.entry.First = p.rows[0].Source, placeOf(p.rows[0].key())
	}
	if _, err := w.encoder.Write(p.rows); err != nil {
		return err
	}
	w.entry.Odd = w.entry.Odd || p.odd
	w.entry.Rows += int64(len(p.rows))
	w.entry.Last = placeOf(p.rows[len(p.rows)-1].key())
	if w.grouped += p.bytes; w.grouped >= rowGroupBytes {
		w.grouped = 0
		return w.encoder.Flush()
	}
	return nil
}

// finish makes the file durable under its temporary name.
func (w *writer) finish() (entry, error) {
	err := w.encoder.Close()
	if err == nil {
		err = w.buffer.Flush()
	}
	if err == nil {
		err = w.to.file.Sync()
	}
	if err = errors.Join(err, w.to.file.Close()); err != nil {
		return entry{}, fmt.Errorf("write %s: %w", w.temp, err)
	}
	w.entry.Bytes = w.to.size
	return w.entry, nil
}

// abort gives up. What can't be removed is removed by the next recovery.
func (w *writer) abort() error {
	return errors.Join(w.to.file.Close(), w.fsys.Remove(w.temp))
}
