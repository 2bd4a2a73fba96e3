package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"pillarbox/internal/requestid"
	"pillarbox/internal/search"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
)

// Find implements pillarbox.EventFinder. Of several events with one request id it returns the
// oldest. It reads the rows of half a second where the id is a UUIDv7, and none besides the event
// where it is not.
func (s *Store) Find(ctx context.Context, requestID string) (*pillarbox.Event, error) {
	if requestID == "" { // in a filter it would mean all
		return nil, fmt.Errorf("event without id: %w", pillarbox.ErrNotFound)
	}
	found, err := s.list(ctx, "find in", pillarbox.EventFilter{RequestID: requestID, Limit: 1})
	if len(found) == 1 { // beside it there may be rows that are no events
		return found[0], nil
	}
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("event %s in database %s: %w", requestID, s.path, pillarbox.ErrNotFound)
	}
	return found[0], nil
}

// List implements pillarbox.EventStore. To the events of a source leads an index, unless it is the
// default one or the table an old and large one; everything else than keys costs that the rows between Since and Until are
// looked at. A row that is no event, which somebody must have added or changed by hand, costs that
// it is read.
func (s *Store) List(ctx context.Context,
	filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	return s.list(ctx, "list", filter)
}

func (s *Store) list(ctx context.Context, doing string,
	filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	l := listing{filter: filter, match: search.Compile(filter.Content)}
	err := s.read(ctx, doing, l.run)
	if err != nil {
		return nil, err
	}
	return l.found, l.beside()
}

// listing is a List under way.
type listing struct {
	filter pillarbox.EventFilter
	match  *search.Match
	found  []*pillarbox.Event
	others pillarbox.UnreadableError
	ended  *pillarbox.ScanLimitError
}

// beside is what comes beside the events that were found.
func (l *listing) beside() error {
	switch {
	case l.ended != nil && l.others.Count > 0:
		return errors.Join(l.ended, &l.others)
	case l.ended != nil:
		return l.ended
	case l.others.Count > 0:
		return &l.others
	}
	return nil
}

func (l *listing) run(conn *sqlite3.Conn) error {
	columns, missing, err := columnsOf(conn)
	if err != nil || l.filter.Facts != nil && len(missing) > 0 && knowsNone(missing) {
		return err // of none of its events is anything known
	}
	indexed := false
	if l.filter.Source != "" && l.filter.Source != unindexedSource {
		if indexed, err = hasSourceIndex(conn); err != nil {
			return err
		}
	}
	selected := listQuery(columns, l.filter, indexed, missing)
	sql, arguments := selected.sql()
	err = query(conn, sql, arguments, l.take)
	if err == nil && selected.bounded() && len(l.found) < l.filter.PageLimit() {
		err = selected.ended(conn)
	}
	if errors.As(err, &l.ended) || errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// take reads a row.
func (l *listing) take(stmt *sqlite3.Stmt) error {
	if l.match != nil && !l.match.TakesBody(stmt.ColumnRawBlob(bodyColumn)) {
		return stmt.Err() // most rows end here, and the rest of them is not read
	}
	event, damage, err := scanEvent(stmt)
	switch {
	case err != nil:
		return err
	case damage != "":
		l.others.Add(damage)
		return nil
	case !l.match.Takes(event):
		return nil
	}
	if l.found = append(l.found, event); len(l.found) == l.filter.PageLimit() {
		return errEnough
	}
	return nil
}

// errEnough ends a query that has found what it was to find.
var errEnough = errors.New("enough")

// listQuery is the filter as SQL. All conditions on time use the primary key, or the index of sources
// where there is one. missing are the columns that the table is without.
func listQuery(columns string, filter pillarbox.EventFilter, indexed bool, missing []string) *selection {
	s := &selection{columns: columns, order: "timestamp, request_id"}
	if filter.Source != "" && indexed {
		s.key("source = ? AND "+withIndex, filter.Source)
	}
	if filter.RequestID != "" {
		known := "timestamp IN (SELECT timestamp FROM event_ids WHERE request_id = ?)"
		if since, until, ok := requestid.TimesNear(filter.RequestID); ok {
			s.key("request_id = ? AND (timestamp BETWEEN ? AND ? OR "+known+")",
				filter.RequestID, since.String(), until.String(), filter.RequestID)
		} else {
			s.key("request_id = ? AND "+known, filter.RequestID, filter.RequestID)
		}
	}
	if filter.Since != 0 {
		s.key("timestamp >= ?", filter.Since.String())
	}
	if filter.Until != 0 {
		s.key("timestamp < ?", filter.Until.String())
	}
	behind := ">"
	if filter.Newest {
		s.order, behind = "timestamp DESC, request_id DESC", "<"
	}
	if filter.After != (pillarbox.Key{}) {
		s.key("(timestamp, request_id) "+behind+" (?, ?)", filter.After.Timestamp.String(),
			filter.After.RequestID)
	}
	if filter.Source != "" && !indexed {
		s.other("source = ?", filter.Source)
	}
	if filter.Facts != nil {
		addFacts(s.other, filter.Facts)
	}
	if filter.Content != nil && !slices.Contains(missing, "content_type_encoding") {
		s.content(filter.Content)
	}
	if filter.Looks() || filter.Source != "" && !indexed {
		s.bound = filter.MaxScan
	}
	return s
}

// knowsNone reports whether a table has no columns for facts.
func knowsNone(missing []string) bool { return slices.Contains(missing, "attributes") }

func addFacts(add func(condition string, values ...string), facts *pillarbox.Facts) {
	names := pillarbox.FactNames()
	for i, text := range facts.Texts() {
		if *text != "" {
			add(names[i]+" = ?", *text)
		}
	}
	for _, a := range facts.Attributes {
		// a row that somebody added by hand may have anything there
		add("CASE WHEN json_valid(attributes) THEN json_extract(attributes, ?) = ? END",
			`$."`+a.Name+`"`, a.Value)
	}
}

// query runs sql and calls visit for each row, until it returns an error.
func query(conn *sqlite3.Conn, sql string, arguments []string,
	visit func(*sqlite3.Stmt) error) error {
	stmt, _, err := conn.Prepare(sql)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i, argument := range arguments {
		if err := stmt.BindText(i+1, argument); err != nil {
			return err
		}
	}
	for stmt.Step() {
		if err := visit(stmt); err != nil {
			return err
		}
	}
	return stmt.Err()
}

// scanEvent reads a row. damage says which row is no event, and why.
func scanEvent(stmt *sqlite3.Stmt) (_ *pillarbox.Event, damage string, err error) {
	if damage := damageOf(stmt); damage != "" {
		return nil, nameRow(stmt, damage), stmt.Err()
	}
	timestamp, timeErr := pillarbox.ParseTimestamp(stmt.ColumnText(0))
	query, queryErr := pillarbox.DecodeText(stmt.ColumnText(5), stmt.ColumnText(12))
	contentType, typeErr := pillarbox.DecodeText(stmt.ColumnText(6), stmt.ColumnText(13))
	header, headerErr := scanHeader(stmt)
	facts, factsErr := scanFacts(stmt)
	event := &pillarbox.Event{
		Timestamp: timestamp, RequestID: stmt.ColumnText(1), Source: stmt.ColumnText(2),
		Method: stmt.ColumnText(3), Path: stmt.ColumnText(4), Query: query, ContentType: contentType,
		Header: header, RemoteAddr: stmt.ColumnText(8), Traceparent: stmt.ColumnText(9),
		Facts: facts,
	}
	if err := cmp.Or(timeErr, queryErr, typeErr, headerErr, factsErr); err != nil {
		return nil, nameRow(stmt, err.Error()), stmt.Err()
	}
	if stmt.ColumnType(10) == sqlite3.BLOB {
		event.Body = stmt.ColumnBlob(10, nil)
	} else {
		event.Body = []byte(stmt.ColumnText(10))
	}
	return event, "", stmt.Err()
}

// damageOf says which column holds what no event has, or nothing.
func damageOf(stmt *sqlite3.Stmt) string {
	for column := range columnCount {
		if column == bodyColumn {
			continue // it may be anything
		}
		kind := stmt.ColumnType(column)
		// What a sender may leave out may be left out by who adds a row.
		optional := column >= 5
		if kind != sqlite3.TEXT && (!optional || kind != sqlite3.NULL) {
			return fmt.Sprintf("%s is %s and not TEXT", stmt.ColumnName(column), kind)
		}
	}
	switch {
	case stmt.ColumnText(0) == pillarbox.Timestamp(0).String():
		return "timestamp is that of no event"
	case stmt.ColumnText(1) == "":
		return "request_id is empty"
	}
	return ""
}

// nameRow names a row that is no event by its key, as it stands there.
func nameRow(stmt *sqlite3.Stmt, damage string) string {
	return fmt.Sprintf("row with timestamp %.100q and request_id %.100q: %s", stmt.ColumnText(0),
		stmt.ColumnText(1), damage)
}

func scanHeader(stmt *sqlite3.Stmt) (header pillarbox.Header, err error) {
	if text := stmt.ColumnRawText(7); len(text) > 0 {
		if err := json.Unmarshal(text, &header); err != nil {
			return nil, err
		}
	}
	return header.Decoded(stmt.ColumnText(14))
}

// scanFacts returns what is known of the event, or nil.
func scanFacts(stmt *sqlite3.Stmt) (*pillarbox.Facts, error) {
	var facts pillarbox.Facts
	for i, to := range facts.Texts() {
		if stmt.ColumnType(plainCount+i) != sqlite3.NULL {
			*to = stmt.ColumnText(plainCount + i)
		}
	}
	if text := stmt.ColumnRawText(plainCount + pillarbox.FactCount); len(text) > 0 {
		if err := json.Unmarshal(text, &facts.Attributes); err != nil {
			return nil, err
		}
	}
	if facts.IsZero() {
		return nil, nil
	}
	return &facts, nil
}

// Count implements pillarbox.EventStore. It scans the table.
func (s *Store) Count(ctx context.Context) (uint64, error) {
	var count uint64
	err := s.readWithPurges(ctx, "count", func(conn *sqlite3.Conn) error {
		return query(conn, "SELECT count(*) FROM events", nil, func(stmt *sqlite3.Stmt) error {
			count = uint64(stmt.ColumnInt64(0))
			return nil
		})
	})
	return count, err
}

// Missing implements pillarbox.EventStore: all keys are looked up in one state of the database.
func (s *Store) Missing(ctx context.Context, keys []pillarbox.Key) ([]pillarbox.Key, error) {
	var missing []pillarbox.Key
	err := s.readWithPurges(ctx, "look up keys in", func(conn *sqlite3.Conn) (err error) {
		missing, err = findMissing(conn, keys)
		return err
	})
	if err != nil {
		return nil, err
	}
	return missing, nil
}

func inSnapshot(conn *sqlite3.Conn, look func() error) error {
	if err := conn.Exec("BEGIN"); err != nil {
		return err
	}
	if err := look(); err != nil {
		return err // the connection is closed after an error, which ends the transaction
	}
	return conn.Exec("ROLLBACK")
}

func findMissing(conn *sqlite3.Conn, keys []pillarbox.Key) ([]pillarbox.Key, error) {
	stmt, _, err := conn.Prepare(existsSQL)
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	var missing []pillarbox.Key
	for _, key := range keys {
		if err := errors.Join(stmt.BindText(1, key.Timestamp.String()),
			stmt.BindText(2, key.RequestID)); err != nil {
			return nil, err
		}
		if !stmt.Step() {
			missing = append(missing, key)
		}
		if err := errors.Join(stmt.Err(), stmt.Reset()); err != nil {
			return nil, err
		}
	}
	return missing, nil
}

// StoredAt implements pillarbox.EventStore.
func (s *Store) StoredAt(ctx context.Context, key pillarbox.Key) (pillarbox.Timestamp, error) {
	var at pillarbox.Timestamp
	err := s.read(ctx, "look up an event in", func(conn *sqlite3.Conn) error {
		found := false
		sql := "SELECT stored_at FROM events WHERE timestamp = ? AND request_id = ?"
		err := query(conn, sql, []string{key.Timestamp.String(), key.RequestID},
			func(stmt *sqlite3.Stmt) (err error) {
				found = true
				if at, err = pillarbox.ParseTimestamp(stmt.ColumnText(0)); err != nil {
					return fmt.Errorf("stored_at of event %s: %w: %w", key.RequestID, pillarbox.ErrCorrupt, err)
				}
				return nil
			})
		if err == nil && !found {
			return fmt.Errorf("event %s: %w", key.RequestID, pillarbox.ErrNotFound)
		}
		return err
	})
	return at, err
}
