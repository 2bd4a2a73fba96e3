package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"pillarbox/internal/requestid"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
)

// columns are the columns of the table in their order, as the statements name them.
const columns = plainColumns + ", " + factColumns

// plainColumns are those of an event of which nothing is known beside the request.
const plainColumns = columnsBefore + ", " + encodingColumns

// columnsBefore are those of a table that was made before texts had an encoding.
const columnsBefore = "timestamp, request_id, source, method, path, query, content_type, headers, remote_addr, traceparent, body, stored_at"

const encodingColumns = "query_encoding, content_type_encoding, header_encoding"

// factColumns are NULL where nothing is known: the texts of pillarbox.FactNames in their order, and
// a JSON object.
const factColumns = "caller, ce_id, ce_source, ce_type, ce_time, ce_subject, removed, attributes"

// How many columns there are, in all and without facts.
const (
	columnCount = plainCount + pillarbox.FactCount + 1
	plainCount  = 15
)

const existsSQL = "SELECT 1 FROM events WHERE timestamp = ? AND request_id = ?"

// chunkRows is how many rows one statement inserts: a tenth less time than with one each. More
// gains nothing.
const chunkRows = 10

// maxChunkBytes bounds the bound values of one statement; larger rows are inserted one by one.
const maxChunkBytes = 4 << 20

// insertSQL leaves a row alone that is already there.
func insertSQL(rows, count int) string {
	row := "(" + strings.Repeat("?, ", count-1) + "?)"
	columns := columns
	if count == plainCount {
		columns = plainColumns
	}
	return "INSERT INTO events (" + columns + ") VALUES " + strings.Repeat(row+", ", rows-1) + row +
		" ON CONFLICT (timestamp, request_id) DO NOTHING"
}

// row is an event as it is bound.
type row struct {
	event              *pillarbox.Event
	index              int // in the batch
	timestamp, headers string
	query, contentType encodedText
	headerEncoding     string
	attributes         string // JSON; empty for none
	bytes              int
	findable           bool // by the time in its id
}

// encodedText is what a column of text holds, which is always valid UTF-8.
type encodedText struct{ text, encoding string }

func encode(text string) (e encodedText) {
	e.text, e.encoding = pillarbox.EncodeText(text)
	return e
}

func newRow(index int, event *pillarbox.Event) (row, error) {
	timestamp, err := event.Timestamp.MarshalText()
	if err != nil {
		return row{}, pillarbox.Permanent(err)
	}
	headers, headerEncoding, err := headerText(event.Header)
	if err != nil {
		return row{}, pillarbox.Permanent(fmt.Errorf("headers: %w", err))
	}
	r := row{event: event, index: index, timestamp: string(timestamp), headers: headers,
		headerEncoding: headerEncoding, query: encode(event.Query), contentType: encode(
			event.ContentType)}
	r.bytes = len(r.headers) + len(event.RequestID) + len(event.Source) + len(event.Method) +
		len(event.Path) + len(r.query.text) + len(r.contentType.text) + len(event.RemoteAddr) +
		len(event.Traceparent) + len(event.Body)
	if event.Facts != nil {
		if err := r.addFacts(event.Facts); err != nil {
			return row{}, pillarbox.Permanent(err)
		}
	}
	if r.bytes > MaxEventBytes {
		return row{}, pillarbox.Permanent(
			fmt.Errorf("%d bytes, a row may have %d: %w", r.bytes, MaxEventBytes, pillarbox.ErrTooLarge))
	}
	r.findable = requestid.TellsTime(event.Key())
	return r, nil
}

func (r *row) addFacts(facts *pillarbox.Facts) error {
	if len(facts.Attributes) > 0 {
		text, err := facts.Attributes.MarshalJSON()
		if err != nil {
			return fmt.Errorf("attributes: %w", err)
		}
		r.attributes = string(text)
	}
	r.bytes += facts.Bytes() + len(r.attributes)
	return nil
}

// write inserts the events in one transaction and returns which of them were refused while the
// others are committed. After an error nothing is.
func (w *writer) write(ctx context.Context, events []*pillarbox.Event,
	storedAt pillarbox.Timestamp) ([]pillarbox.ItemError, error) {
	batch := insertion{writer: w, storedAt: storedAt.String()}
	rows := make([]row, 0, len(events))
	for i, event := range events {
		row, err := newRow(i, event)
		if err != nil {
			batch.refuse(i, err)
			continue
		}
		rows = append(rows, row)
	}
	w.conn.SetInterrupt(ctx)
	defer w.conn.SetInterrupt(context.Background())
	defer w.forget()
	if err := w.conn.Exec("BEGIN IMMEDIATE"); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	err := batch.insert(rows)
	if err == nil {
		err = w.markWrite(len(rows))
	}
	if err == nil {
		if err = w.conn.Exec("COMMIT"); err != nil {
			err = fmt.Errorf("commit: %w", err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, w.rollback())
	}
	return batch.refused, nil
}

// rollback ends the transaction where SQLite has not done so already.
func (w *writer) rollback() error {
	w.conn.SetInterrupt(context.Background())
	if w.conn.GetAutocommit() {
		return nil
	}
	if err := w.conn.Exec("ROLLBACK"); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// forget releases the memory of the last values.
func (w *writer) forget() {
	for _, insert := range w.inserts() {
		_ = insert.stmt.ClearBindings()
		clear(insert.bound)
	}
}

// insertion is one batch on its way into the table.
type insertion struct {
	*writer
	storedAt string
	refused  []pillarbox.ItemError
}

func (b *insertion) refuse(index int, err error) {
	b.refused = append(b.refused, pillarbox.ItemError{Index: index, Err: err})
}

// insert inserts the rows, several with one statement. Where a statement does not insert all of its
// rows, they are tried one by one: some are refused, or were there before.
func (b *insertion) insert(rows []row) error {
	for len(rows) > 0 {
		n := 1
		if len(rows) >= chunkRows && totalBytes(rows[:chunkRows]) <= maxChunkBytes {
			n = chunkRows
			done, err := b.tryChunk(rows[:n])
			if err != nil {
				return err
			}
			if done {
				rows = rows[n:]
				continue
			}
		}
		for _, row := range rows[:n] {
			if err := b.insertRow(row); err != nil {
				return err
			}
		}
		rows = rows[n:]
	}
	return nil
}

func totalBytes(rows []row) int {
	total := 0
	for _, row := range rows {
		total += row.bytes
	}
	return total
}

// tryChunk reports whether all of the rows are inserted. If not, any number of them is.
func (b *insertion) tryChunk(rows []row) (bool, error) {
	insert := &b.insertChunk
	for i := range rows {
		if rows[i].event.Facts != nil {
			insert = &b.insertFactChunk
		}
	}
	for i, row := range rows {
		if err := insert.bind(i, row, b.storedAt); err != nil {
			return false, err
		}
	}
	if err := insert.stmt.Exec(); err != nil {
		if b.blamesRow(err) {
			return false, nil
		}
		return false, fmt.Errorf("insert: %w", err)
	}
	if b.conn.Changes() < int64(len(rows)) {
		return false, nil
	}
	for _, row := range rows {
		if err := b.noteID(row); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (b *insertion) insertRow(row row) error {
	insert := &b.insertOne
	if row.event.Facts != nil {
		insert = &b.insertFactOne
	}
	if err := insert.bind(0, row, b.storedAt); err != nil {
		return err
	}
	if err := insert.stmt.Exec(); err != nil {
		if !b.blamesRow(err) {
			return fmt.Errorf("insert: %w", err)
		}
		refusal := fmt.Errorf("insert into events: %w", err)
		if isRefusal(err) {
			refusal = pillarbox.Permanent(refusal)
		}
		b.refuse(row.index, refusal)
		return nil
	}
	if b.conn.Changes() == 0 {
		there, err := b.isThere(row)
		if err != nil {
			return err
		}
		if !there {
			b.refuse(row.index, pillarbox.Permanent(errors.New("a trigger on the table events ignores it")))
			return nil
		}
	}
	return b.noteID(row)
}

// blamesRow reports whether the error is about a row, and the transaction can go on without it. A
// trigger that fails (json_extract of a body that is no JSON) and a statement that no longer fits
// the tables look the same; what tells them apart is whether the statement can still be prepared.
func (b *insertion) blamesRow(err error) bool {
	if b.conn.GetAutocommit() {
		return false // the trigger said RAISE(ROLLBACK): refused as a whole
	}
	if isRefusal(err) {
		return true
	}
	if !errors.Is(err, sqlite3.ERROR) {
		return false
	}
	stmt, _, err := b.conn.Prepare(insertSQL(1, columnCount))
	if err != nil {
		return false
	}
	return stmt.Close() == nil
}

// isThere reports whether the row is in the table.
func (b *insertion) isThere(row row) (bool, error) {
	if err := errors.Join(b.exists.BindText(1, row.timestamp),
		b.exists.BindText(2, row.event.RequestID)); err != nil {
		return false, err
	}
	there := b.exists.Step()
	return there, errors.Join(b.exists.Err(), b.exists.Reset())
}

// noteID makes an event findable whose id does not tell when it was.
func (b *insertion) noteID(row row) error {
	if row.findable {
		return nil
	}
	if err := errors.Join(b.insertID.BindText(1, row.event.RequestID),
		b.insertID.BindText(2, row.timestamp)); err != nil {
		return err
	}
	if err := b.insertID.Exec(); err != nil {
		return fmt.Errorf("insert into event_ids: %w", err)
	}
	return nil
}

// insertStmt inserts one or more rows.
type insertStmt struct {
	stmt    *sqlite3.Stmt
	columns int // of each row: plainCount, or columnCount
	// bound is what each parameter is bound to. SQLite keeps values from one execution to the next,
	// and most columns are the same in many events: looking costs less than binding. Empty between
	// batches.
	bound []boundText
}

type boundText struct {
	text  string
	known bool
}

// bodyColumn is where the body stands among the columns; stored_at and the encodings follow.
const bodyColumn = 10

// bind binds the values of the row at that place of the statement.
func (s *insertStmt) bind(place int, row row, storedAt string) error {
	event, first := row.event, place*s.columns
	for i, text := range [...]string{
		row.timestamp, event.RequestID, event.Source, event.Method, event.Path, row.query.text,
		row.contentType.text, row.headers, event.RemoteAddr, event.Traceparent,
	} {
		if err := s.bindText(first+i, text); err != nil {
			return err
		}
	}
	if err := bindBody(s.stmt, first+bodyColumn, event.Body); err != nil {
		return err
	}
	if err := s.bindText(first+bodyColumn+1, storedAt); err != nil {
		return err
	}
	for i, encoding := range [...]string{
		row.query.encoding, row.contentType.encoding, row.headerEncoding,
	} {
		if err := s.bindOptional(first+bodyColumn+2+i, encoding); err != nil {
			return err
		}
	}
	if s.columns == columnCount {
		return s.bindFacts(first+plainCount, event.Facts, row.attributes)
	}
	return nil
}

// bindFacts binds what is known, which may be nothing in a statement of several rows.
func (s *insertStmt) bindFacts(first int, facts *pillarbox.Facts, attributes string) error {
	if facts == nil {
		facts = &pillarbox.Facts{}
	}
	for i, text := range facts.Texts() {
		if err := s.bindOptional(first+i, *text); err != nil {
			return err
		}
	}
	return s.bindOptional(first+pillarbox.FactCount, attributes)
}

// bindOptional leaves NULL where there is none, as between batches.
func (s *insertStmt) bindOptional(param int, text string) error {
	if text != "" {
		return s.bindText(param, text)
	}
	if !s.bound[param].known {
		return nil
	}
	s.bound[param] = boundText{}
	return s.stmt.BindNull(1 + param)
}

func (s *insertStmt) bindText(param int, text string) error {
	if s.bound[param] == (boundText{text, true}) {
		return nil
	}
	s.bound[param] = boundText{text, true}
	return s.stmt.BindText(1+param, text)
}

// bindBody binds text where SQLite's text functions would see all of it: they stop at a zero byte.
func bindBody(stmt *sqlite3.Stmt, param int, body []byte) error {
	if utf8.Valid(body) && bytes.IndexByte(body, 0) < 0 {
		return stmt.BindText(1+param, string(body))
	}
	return stmt.BindBlob(1+param, body)
}
