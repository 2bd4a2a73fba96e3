package postgres

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"pillarbox"
	"pillarbox/internal/requestid"
	"pillarbox/internal/search"
)

// Find implements pillarbox.EventFinder. Of several events with one request id it returns the oldest.
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
	return nil, fmt.Errorf("event %s in %s: %w", requestID, s.name, pillarbox.ErrNotFound)
}

// List implements pillarbox.EventStore. To the events of a source leads an index where the table has
// one, as those that we make do, unless it is the default one; everything else than keys costs that the rows between Since and Until
// are looked at, unless somebody has made an index for it.
func (s *Store) List(ctx context.Context, filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	return s.list(ctx, "list", filter)
}

func (s *Store) list(ctx context.Context, doing string, filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	var found []*pillarbox.Event
	var others pillarbox.UnreadableError
	var ended error
	match := search.Compile(filter.Content)
	err := s.inTransaction(ctx, doing, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		q := s.listQuery(filter)
		rows, err := tx.Query(ctx, q.sql(), q.arguments...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for len(found) < filter.PageLimit() && rows.Next() {
			event, damage, err := scanEvent(rows)
			switch {
			case err != nil:
				return err
			case damage != "":
				others.Add(damage)
			case match.Takes(event):
				found = append(found, event)
			}
		}
		rows.Close()
		if err := rows.Err(); err != nil || q.bound == 0 || len(found) == filter.PageLimit() {
			return err
		}
		ended, err = q.ended(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if others.Count > 0 {
		return found, errors.Join(ended, &others)
	}
	return found, ended
}

// query is a SELECT in the making.
type query struct {
	from, order string
	where       []string
	arguments   []any

	// Of a list whose rows have to be looked at: how many may be, the conditions that lead to them, which
	// are the first of where, and how many arguments these have.
	bound, keys, keyArguments int
}

// add adds a condition, whose arguments stand as $%d in it, in order.
func (q *query) add(condition string, arguments ...any) {
	places := make([]any, len(arguments))
	for i := range arguments {
		places[i] = len(q.arguments) + i + 1
	}
	q.where = append(q.where, fmt.Sprintf(condition, places...))
	q.arguments = append(q.arguments, arguments...)
}

func condition(where []string) string {
	if len(where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(where, " AND ")
}

func (q *query) condition() string { return condition(q.where) }

// sql is the query. Rows behind the bound are not looked at: PostgreSQL takes no condition into a
// query that has a LIMIT, and knows the order of its rows.
func (q *query) sql() string {
	from, where := q.from, q.where
	if q.bound > 0 {
		from = "(SELECT * FROM " + q.from + condition(q.where[:q.keys]) + " ORDER BY " + q.order + " LIMIT " + strconv.Itoa(q.bound) + ") AS looked"
		where = q.where[q.keys:]
	}
	return "SELECT " + strings.Join(names(false), ", ") + " FROM " + from + condition(where) + " ORDER BY " + q.order
}

// ended returns a *pillarbox.ScanLimitError where rows are left behind the bound.
func (q *query) ended(ctx context.Context, tx pgx.Tx) (ended, err error) {
	rows, err := tx.Query(ctx, "SELECT timestamp, request_id FROM "+q.from+condition(q.where[:q.keys])+" ORDER BY "+q.order+
		" LIMIT 2 OFFSET "+strconv.Itoa(q.bound-1), q.arguments[:q.keyArguments]...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	keys := make([]pillarbox.Key, 0, 2)
	for rows.Next() {
		var at time.Time
		var id string
		if err := rows.Scan(&at, &id); err != nil {
			return nil, err
		}
		keys = append(keys, pillarbox.Key{Timestamp: pillarbox.TimestampOf(at), RequestID: id})
	}
	if err := rows.Err(); err != nil || len(keys) < 2 {
		return nil, err
	}
	return &pillarbox.ScanLimitError{Looked: q.bound, Last: keys[0]}, nil
}

// listQuery writes the filter as SQL, without its limit: rows that are no events don't count. All
// conditions on time use the primary key, and leave partitions out.
func (s *Store) listQuery(filter pillarbox.EventFilter) *query {
	q := &query{from: s.table.Sanitize(), order: "timestamp, request_id"}
	indexed := s.hasSourceIndex.Load() && filter.Source != unindexedSource
	if filter.Source != "" && indexed {
		q.add("source = $%d AND "+withIndex, filter.Source)
	}
	if filter.RequestID != "" {
		known := "timestamp IN (SELECT timestamp FROM " + s.idsTable() + " WHERE request_id = $%d)"
		if since, until, ok := requestid.TimesNear(filter.RequestID); ok {
			q.add("request_id = $%d AND (timestamp BETWEEN $%d AND $%d OR "+known+")", filter.RequestID,
				since.Time(), until.Time(), filter.RequestID)
		} else {
			q.add("request_id = $%d AND "+known, filter.RequestID, filter.RequestID)
		}
	}
	if filter.Since != 0 {
		q.add("timestamp >= $%d", filter.Since.Time())
	}
	if filter.Until != 0 {
		q.add("timestamp < $%d", filter.Until.Time())
	}
	behind := ">"
	if filter.Newest {
		q.order, behind = "timestamp DESC, request_id DESC", "<"
	}
	if filter.After != (pillarbox.Key{}) {
		q.add("(timestamp, request_id) "+behind+" ($%d, $%d)", filter.After.Timestamp.Time(), filter.After.RequestID)
	}
	q.keys, q.keyArguments = len(q.where), len(q.arguments)
	if filter.Looks() || filter.Source != "" && !indexed {
		q.bound = filter.MaxScan
	}
	if filter.Source != "" && !indexed {
		q.add("source = $%d", filter.Source)
	}
	if filter.Facts != nil {
		q.addFacts(filter.Facts)
	}
	if filter.Content != nil {
		q.addContent(filter.Content)
	}
	return q
}

// addContent adds what spares reading rows that do not match. What is left decides search.Match.
func (q *query) addContent(c *pillarbox.ContentFilter) {
	if c.Method != "" {
		q.add("method = $%d", c.Method)
	}
	if c.Path != "" {
		q.add("path = $%d", c.Path)
	}
	if c.ContentType != "" { // the collation C has the letters of ASCII alone
		q.add(`(content_type_encoding IS NOT NULL OR position($%d in lower(content_type COLLATE "C")) > 0)`,
			strings.Trim(search.Lower(c.ContentType), " "))
	}
	if c.Text != "" {
		q.add("position($%d::bytea in body) > 0", []byte(c.Text))
	}
	for _, v := range c.JSON { // it may be written with escapes
		q.add("(position($%d::bytea in body) > 0 OR position($%d::bytea in body) > 0)", []byte(v.Value), []byte{'\\'})
	}
	for _, h := range c.Headers {
		if search.Plain(h.Value) { // jsonb has no escapes but those that it needs
			q.add("(header_encoding IS NOT NULL OR position($%d in headers::text) > 0)", h.Value)
		}
	}
}

func (q *query) addFacts(facts *pillarbox.Facts) {
	columns := pillarbox.FactNames()
	for i, text := range facts.Texts() {
		if *text != "" {
			q.add("("+columns[i]+" = $%d AND fact_encoding IS NULL OR "+columns[i]+" = $%d AND fact_encoding = 'base64')", plain(*text), encoded(*text))
		}
	}
	for _, a := range facts.Attributes {
		q.add("attributes ->> $%d::text = CASE WHEN fact_encoding IS NULL THEN $%d ELSE $%d END", a.Name, plain(a.Value), encoded(a.Value))
	}
}

// plain is what a row has where its facts are not encoded: NULL, which nothing equals, for what has to be.
func plain(text string) any {
	if isText(text) {
		return text
	}
	return nil
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// scanned is a row as it is read: anything may be NULL where somebody else has made it.
type scanned struct {
	timestamp, storedAt *time.Time
	texts               [factColumns]*string // by column
	headers, attributes []byte
	body                []byte
	facts               [pillarbox.FactCount]*string
	factEncoding        *string
}

func (r *scanned) targets() []any {
	to := make([]any, factEncoding+1)
	for i := range to {
		switch {
		case i == 0:
			to[i] = &r.timestamp
		case i == headersColumn:
			to[i] = &r.headers
		case i == bodyColumn:
			to[i] = &r.body
		case i == storedAtColumn:
			to[i] = &r.storedAt
		case i == attributesColumn:
			to[i] = &r.attributes
		case i == factEncoding:
			to[i] = &r.factEncoding
		case i >= factColumns:
			to[i] = &r.facts[i-factColumns]
		default:
			to[i] = &r.texts[i]
		}
	}
	return to
}

func (r *scanned) text(column int) string {
	if text := r.texts[column]; text != nil {
		return *text
	}
	return ""
}

// scanEvent reads a row. damage says which row is no event, and why.
func scanEvent(rows pgx.Rows) (event *pillarbox.Event, damage string, err error) {
	var r scanned
	if err := rows.Scan(r.targets()...); err != nil {
		return nil, "", err
	}
	if r.timestamp == nil || r.text(1) == "" {
		return nil, fmt.Sprintf("row with timestamp %v and request_id %.100q: one of them is missing", r.timestamp, r.text(1)), nil
	}
	event, err = r.event()
	if err != nil {
		return nil, fmt.Sprintf("row with timestamp %s and request_id %.100q: %v", r.timestamp.UTC().Format(time.RFC3339Nano), r.text(1), err), nil
	}
	return event, "", nil
}

func (r *scanned) event() (*pillarbox.Event, error) {
	query, queryErr := pillarbox.DecodeText(r.text(5), r.text(encodingColumns))
	contentType, typeErr := pillarbox.DecodeText(r.text(6), r.text(encodingColumns+1))
	var header pillarbox.Header
	var headerErr error
	if len(r.headers) > 0 {
		headerErr = json.Unmarshal(r.headers, &header)
	}
	header, decodeErr := header.Decoded(r.text(encodingColumns + 2))
	facts, factsErr := r.knownFacts()
	if err := cmp.Or(queryErr, typeErr, headerErr, decodeErr, factsErr); err != nil {
		return nil, err
	}
	return &pillarbox.Event{
		Timestamp: pillarbox.TimestampOf(*r.timestamp), RequestID: r.text(1), Source: r.text(2), Method: r.text(3),
		Path: r.text(4), Query: query, ContentType: contentType, Header: header, RemoteAddr: r.text(8),
		Traceparent: r.text(9), Body: r.body, Facts: facts,
	}, nil
}

func (r *scanned) knownFacts() (*pillarbox.Facts, error) {
	var facts pillarbox.Facts
	for i, to := range facts.Texts() {
		if r.facts[i] != nil {
			*to = *r.facts[i]
		}
	}
	if len(r.attributes) > 0 {
		if err := json.Unmarshal(r.attributes, &facts.Attributes); err != nil {
			return nil, err
		}
	}
	if facts.IsZero() {
		return nil, nil
	}
	return &facts, r.decodeFacts(&facts)
}

func (r *scanned) decodeFacts(facts *pillarbox.Facts) (err error) {
	if r.factEncoding == nil {
		return nil
	}
	decode := func(text *string) {
		decoded, wrong := pillarbox.DecodeText(*text, *r.factEncoding)
		*text, err = decoded, cmp.Or(err, wrong)
	}
	for _, text := range facts.Texts() {
		decode(text)
	}
	for i := range facts.Attributes {
		decode(&facts.Attributes[i].Value)
	}
	return err
}

// Count implements pillarbox.EventStore. It scans the table.
func (s *Store) Count(ctx context.Context) (count uint64, err error) {
	var n int64
	err = s.withPurges(ctx, "count in", func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, "SELECT count(*) FROM "+s.table.Sanitize()).Scan(&n)
	})
	return uint64(n), err
}

// Missing implements pillarbox.EventStore: all keys are looked up in one state of the database.
func (s *Store) Missing(ctx context.Context, keys []pillarbox.Key) (missing []pillarbox.Key, err error) {
	err = s.withPurges(ctx, "look up keys in", func(tx pgx.Tx) (err error) {
		missing, err = missingOf(ctx, tx, s.table.Sanitize(), keys)
		return err
	})
	return missing, err
}

// lookupKeys is how many keys one statement looks up.
const lookupKeys = 5000

func missingOf(ctx context.Context, tx pgx.Tx, table string, keys []pillarbox.Key) (missing []pillarbox.Key, err error) {
	for len(keys) > 0 {
		some := keys[:min(len(keys), lookupKeys)]
		keys = keys[len(some):]
		times, ids := make([]time.Time, len(some)), make([]string, len(some))
		for i, key := range some {
			times[i], ids[i] = key.Timestamp.Time(), key.RequestID
		}
		rows, err := tx.Query(ctx, `SELECT asked.n FROM unnest($1::timestamptz[], $2::text[]) WITH ORDINALITY AS asked (timestamp, request_id, n)
			WHERE NOT EXISTS (SELECT 1 FROM `+table+` AS e WHERE e.timestamp = asked.timestamp AND e.request_id = asked.request_id) ORDER BY asked.n`, times, ids)
		if err != nil {
			return nil, err
		}
		places, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return nil, err
		}
		for _, place := range places {
			missing = append(missing, some[place-1])
		}
	}
	return missing, nil
}

// StoredAt implements pillarbox.EventStore.
func (s *Store) StoredAt(ctx context.Context, key pillarbox.Key) (at pillarbox.Timestamp, err error) {
	err = s.with(ctx, "look up an event in", func(conn *pgxpool.Conn) error {
		var stored *time.Time
		rows, err := conn.Query(ctx, "SELECT stored_at FROM "+s.table.Sanitize()+" WHERE timestamp = $1 AND request_id = $2",
			key.Timestamp.Time(), key.RequestID)
		if err != nil {
			return err
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[*time.Time])
		switch {
		case err != nil:
			return err
		case len(found) == 0:
			return fmt.Errorf("event %s: %w", key.RequestID, pillarbox.ErrNotFound)
		}
		if stored = found[0]; stored == nil {
			return fmt.Errorf("stored_at of event %s is NULL: %w", key.RequestID, pillarbox.ErrCorrupt)
		}
		at = pillarbox.TimestampOf(*stored)
		return nil
	})
	return at, err
}
