package adminapi

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"pillarbox/internal/protocol"
	"pillarbox/internal/search"

	"pillarbox"
)

// query is the query of a request, read strictly: a name that is misspelled would select something
// else than was meant. The methods keep the first error, which err returns.
type query struct {
	values url.Values
	now    time.Time
	first  *error
}

func parseQuery(raw string, allowed []string, now time.Time) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return query{}, protocol.Invalid("query: %v", err)
	}
	for name, given := range values {
		switch {
		case len(allowed) == 0:
			return query{}, protocol.Invalid("parameter %q is not known here; there are none", name)
		case !slices.Contains(allowed, name) && !isNamed(allowed, name):
			return query{}, protocol.Invalid("parameter %q is not known here; the parameters are %s", name,
				strings.Join(allowed, ", "))
		case len(given) > 1 && !mayRepeat(name):
			return query{}, protocol.Invalid("parameter %q is given more than once", name)
		}
	}
	return query{values: values, now: now, first: new(error)}, nil
}

// attributePrefix stands in front of the name of an attribute.
const attributePrefix = "attribute."

// factParams are the parameters for the texts of pillarbox.Facts, of which the last, what was removed,
// is a list for people.
var factParams = func() []string { names := pillarbox.FactNames(); return names[:len(names)-1] }()

// isNamed reports whether a parameter has a name in itself, of an attribute, a header or a value, where
// that may be asked for.
func isNamed(allowed []string, name string) bool {
	for _, pattern := range []string{attributePrefix + "NAME", headerPrefix + "NAME", jsonPrefix + "POINTER"} {
		prefix, _, _ := strings.Cut(pattern, ".")
		if strings.HasPrefix(name, prefix+".") && slices.Contains(allowed, pattern) {
			return true
		}
	}
	return false
}

// facts are what is to be known of an event; nil where nothing is asked for.
func (q query) facts() *pillarbox.Facts {
	facts := &pillarbox.Facts{}
	texts := facts.Texts()
	for i, name := range factParams {
		*texts[i] = q.text(name)
	}
	for name := range q.values {
		if attribute, found := strings.CutPrefix(name, attributePrefix); found {
			if err := pillarbox.CheckAttributeName(attribute); err != nil {
				q.refuse(fmt.Errorf("parameter %q: %w", name, err))
			}
			facts.Attributes.Set(attribute, q.text(name))
		}
	}
	if facts.IsZero() {
		return nil
	}
	return facts
}

func (q query) err() error { return *q.first }

func (q query) refuse(err error) {
	if *q.first == nil {
		*q.first = err
	}
}

func (q query) has(name string) bool { return q.values.Has(name) }

func (q query) text(name string) string { return q.isText(name, q.values.Get(name)) }

// isText returns the value, which it refuses where it is no text.
func (q query) isText(name, value string) string {
	if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
		q.refuse(protocol.Invalid("parameter %q is not text", name))
	}
	return value
}

// flag is true where it is there without a value.
func (q query) flag(name string) bool {
	switch value := q.text(name); {
	case !q.has(name), value == "false":
		return false
	case value == "", value == "true":
		return true
	default:
		q.refuse(protocol.Invalid("parameter %q is %q; it may be true or false", name, value))
		return false
	}
}

// limit is the size of a page.
func (q query) limit() int {
	if !q.has("limit") {
		return pillarbox.DefaultListLimit
	}
	limit, err := strconv.Atoi(q.values.Get("limit"))
	if err != nil || limit < 1 || limit > pillarbox.MaxListLimit {
		q.refuse(protocol.Invalid("parameter \"limit\" is %q; it may be 1 to %d", q.values.Get("limit"),
			pillarbox.MaxListLimit))
	}
	return limit
}

// span reads since and until.
func (q query) span() (since, until pillarbox.Timestamp) {
	since, until, err := parseSpan(q.values.Get("since"), q.values.Get("until"), q.now)
	if err != nil {
		q.refuse(err)
	}
	return since, until
}

func parseSpan(since, until string, now time.Time) (from, to pillarbox.Timestamp, err error) {
	if from, err = parseTime("since", since, now); err != nil {
		return 0, 0, err
	}
	if to, err = parseTime("until", until, now); err != nil {
		return 0, 0, err
	}
	if from != 0 && to != 0 && from >= to {
		return 0, 0, protocol.Invalid("since (%s) is not before until (%s)", from, to)
	}
	return from, to, nil
}

// parseTime reads an instant, the beginning of a day (UTC), or a duration ago. Nothing is no bound.
func parseTime(name, value string, now time.Time) (pillarbox.Timestamp, error) {
	if value == "" {
		return 0, nil
	}
	// A plus that was not escaped arrives as a space.
	at, err := time.Parse(time.RFC3339Nano, strings.Replace(value, " ", "+", 1))
	if err != nil {
		at, err = time.Parse(time.DateOnly, value) // midnight UTC, as every time that is shown
	}
	if err != nil {
		ago, agoErr := parseAgo(value)
		if agoErr != nil {
			return 0, protocol.Invalid("%s is %q; it may be a time as in 2026-11-23T14:12:00Z, a day (UTC) as in 2026-11-23, or how long ago, as in 15m, 24h or 7d", name, value)
		}
		at = now.Add(-ago)
	}
	// What is below the microsecond is rounded up: since is inclusive, until is not, and timestamps
	// are cut.
	stamp := pillarbox.TimestampOf(at.Add(time.Microsecond - 1))
	if _, err := stamp.MarshalText(); err != nil {
		return 0, protocol.Invalid("%s is %q, which is outside the years 0000 to 9999", name, value)
	}
	if stamp == 0 {
		stamp = 1 // 0 would be no bound
	}
	return stamp, nil
}

const hoursOfDay = 24

// parseAgo reads a duration that may begin with days.
func parseAgo(value string) (time.Duration, error) {
	days, rest, found := strings.Cut(value, "d")
	if !found {
		days, rest = "", value
	}
	var ago time.Duration
	if found {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, err
		}
		ago = time.Duration(n) * hoursOfDay * time.Hour
	}
	if rest == "" && found {
		return ago, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 || ago+more < 0 || strings.HasPrefix(rest, "-") ||
		strings.HasPrefix(rest, "+") {
		return 0, protocol.Invalid("duration %q", value)
	}
	return ago + more, nil
}

// Check reports what every server would refuse in the query, as ErrInvalid.
func (q EventQuery) Check() error {
	_, err := ParseEventCursor(q.Cursor)
	for _, a := range q.Facts.Attributes {
		if nameErr := pillarbox.CheckAttributeName(a.Name); nameErr != nil {
			err = nameErr
		}
	}
	if contentErr := search.Check(&q.Content); contentErr != nil {
		err = contentErr
	}
	return checkList(q.Since, q.Until, q.Limit, err)
}

// Fixed is the query with times in the place of how long ago: asked again, it means the same.
// Errors: ErrInvalid.
func (q EventQuery) Fixed(now time.Time) (EventQuery, error) {
	since, until, err := parseSpan(q.Since, q.Until, now)
	if since != 0 {
		q.Since = since.String()
	}
	if until != 0 {
		q.Until = until.String()
	}
	return q, err
}

// Check reports what every server would refuse in the query, as ErrInvalid.
func (q DeadLetterQuery) Check() error {
	_, err := parseLetterPlace(q.Cursor)
	return checkList(q.Since, q.Until, q.Limit, err)
}

func checkList(since, until string, limit int, cursor error) error {
	if _, _, err := parseSpan(since, until, time.Now()); err != nil {
		return err
	}
	if limit < 0 || limit > pillarbox.MaxListLimit {
		return protocol.Invalid("limit is %d; it may be 1 to %d", limit, pillarbox.MaxListLimit)
	}
	return cursor
}

// Check reports what every server would refuse in the request, as ErrInvalid.
func (r *ReplayRequest) Check() error {
	_, err := r.request(time.Now())
	return err
}

// EventCursor is the cursor behind the event with the key: a list or a stream goes on from there.
func EventCursor(key pillarbox.Key) string {
	return base64.RawURLEncoding.EncodeToString([]byte(key.Timestamp.String() + key.RequestID))
}

// maxCursor bounds the text of a cursor. Ids that gateways give are shorter by far.
const maxCursor = 1024

func errCursor(cursor string) error {
	return protocol.Invalid("cursor %q is not one that this server gave", cursor)
}

// ParseEventCursor is the way back; no cursor is the zero key. Errors: ErrInvalid.
func ParseEventCursor(cursor string) (pillarbox.Key, error) {
	if cursor == "" {
		return pillarbox.Key{}, nil
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(cursor) > maxCursor || !utf8.Valid(text) {
		return pillarbox.Key{}, errCursor(cursor)
	}
	return parseKey(string(text), cursor)
}

// parseKey reads a timestamp with an id right behind it.
func parseKey(text, cursor string) (pillarbox.Key, error) {
	const stampLength = len("2006-01-02T15:04:05.000000Z")
	if len(text) <= stampLength {
		return pillarbox.Key{}, errCursor(cursor)
	}
	stamp, err := pillarbox.ParseTimestamp(text[:stampLength])
	if err != nil {
		return pillarbox.Key{}, errCursor(cursor)
	}
	return pillarbox.Key{Timestamp: stamp, RequestID: text[stampLength:]}, nil
}
