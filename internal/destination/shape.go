package destination

import (
	"fmt"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"pillarbox"
	"pillarbox/internal/jsontext"
)

// Redacted stands where a value was.
const Redacted = "REDACTED"

// Places are where values stand in an event.
type Places struct {
	Headers []string // names, in any case
	Query   []string // names of parameters, decoded
	JSON    []string // pointers into the body (RFC 6901); * stands for every item of an array and every member of an object
}

// Names are new names, by place.
type Names struct {
	Headers map[string]string // by name, in any case
	Query   map[string]string // by name of the parameter, decoded
	JSON    map[string]string // by pointer; the new one is that of a member
}

// Shape is what is changed of the events that a destination gets, and of nothing else: the queue and
// the dead letters keep what came.
type Shape struct {
	Drop   Places
	Redact Places // the value is replaced by Redacted
	Rename Names  // where the new name is taken, nothing is renamed
}

// Changes count what was changed.
type Changes struct{ Dropped, Redacted, Renamed int }

// Add adds up.
func (c *Changes) Add(other Changes) {
	c.Dropped, c.Redacted, c.Renamed = c.Dropped+other.Dropped, c.Redacted+other.Redacted, c.Renamed+other.Renamed
}

// act is what is done with a place.
type act struct {
	verb string // one of the words below
	to   string // the new name of what is renamed
}

const (
	dropped  = "dropped"
	redacted = "redacted"
	renamed  = "renamed"
)

// shaper is a compiled shape.
type shaper struct {
	headers, query map[string]act // headers by canonical name
	json           []jsonAct
	removes        bool // values of the body
}

type jsonAct struct {
	act
	pointer jsontext.Pointer
}

// newShaper returns nil where nothing is changed.
func newShaper(shape *Shape) *shaper {
	s := &shaper{headers: map[string]act{}, query: map[string]act{}}
	s.addNames(&shape.Rename)
	s.addPlaces(&shape.Redact, redacted)
	s.addPlaces(&shape.Drop, dropped)
	if len(s.headers)+len(s.query)+len(s.json) == 0 {
		return nil
	}
	slices.SortStableFunc(s.json, func(a, b jsonAct) int { return strings.Compare(a.pointer.Text, b.pointer.Text) })
	return s
}

func (s *shaper) addPlaces(places *Places, verb string) {
	for _, name := range places.Headers {
		s.headers[textproto.CanonicalMIMEHeaderKey(name)] = act{verb: verb}
	}
	for _, name := range places.Query {
		s.query[name] = act{verb: verb}
	}
	for _, pointer := range places.JSON {
		s.json = append(s.json, jsonAct{act{verb: verb}, jsontext.ParsePointer(pointer)})
		s.removes = true
	}
}

func (s *shaper) addNames(names *Names) {
	for from, to := range names.Headers {
		s.headers[textproto.CanonicalMIMEHeaderKey(from)] = act{verb: renamed, to: textproto.CanonicalMIMEHeaderKey(to)}
	}
	for from, to := range names.Query {
		s.query[from] = act{verb: renamed, to: to}
	}
	for from, to := range names.JSON {
		s.json = append(s.json, jsonAct{act{verb: renamed, to: to}, jsontext.ParsePointer(from)})
	}
}

// errNoJSON refuses a body of which no rule can tell what it holds.
var errNoJSON = pillarbox.Permanent(fmt.Errorf(
	"the destination drops or redacts values in JSON, and the body is no JSON text in UTF-8: it would be delivered with all of them"))

// Shaped returns the event as the destination gets it: the same one where nothing is changed, and
// else a copy, whose facts say what is not as it came. Errors: a PermanentError where values of the
// body are to be dropped or redacted and it is no JSON; an empty one holds nothing.
func (d *Destination) Shaped(event *pillarbox.Event) (*pillarbox.Event, Changes, error) {
	if d.shape == nil {
		return event, Changes{}, nil
	}
	w := &shaping{shaper: d.shape, event: *event}
	w.headers()
	w.query()
	if err := w.body(); err != nil {
		return nil, Changes{}, err
	}
	if w.changes == (Changes{}) {
		return event, Changes{}, nil
	}
	w.note()
	return &w.event, w.changes, nil
}

// shaping is the work on one event.
type shaping struct {
	*shaper
	event   pillarbox.Event // a copy
	changes Changes
	said    []string // what was done, by name
}

func (w *shaping) did(a act, count int, where, name string) {
	if count == 0 {
		return
	}
	if strings.ContainsAny(name, ", \"\\") || !isPlain(name) {
		name = strconv.QuoteToASCII(name)
	}
	said := a.verb + " " + where + " " + name
	switch a.verb {
	case dropped:
		w.changes.Dropped += count
	case redacted:
		w.changes.Redacted += count
	default:
		w.changes.Renamed += count
		said += " to " + a.to
	}
	if !slices.Contains(w.said, said) {
		w.said = append(w.said, said)
	}
}

func isPlain(name string) bool {
	return !strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c >= 0x7f }) && name != ""
}

func (w *shaping) headers() {
	if len(w.shaper.headers) == 0 {
		return
	}
	has := func(name string) bool {
		return slices.ContainsFunc(w.event.Header, func(f pillarbox.HeaderField) bool { return f.Name == name })
	}
	var kept pillarbox.Header
	for _, field := range w.event.Header {
		a := w.shaper.headers[field.Name]
		if a.verb == renamed && has(a.to) || a.verb == redacted && field.Value == Redacted {
			a = act{}
		}
		name := field.Name
		switch a.verb {
		case redacted:
			field.Value = Redacted
		case renamed:
			field.Name = a.to
		}
		if a.verb != dropped {
			kept = append(kept, field)
		}
		if a.verb != "" {
			w.did(a, 1, "header", name)
		}
	}
	w.event.Header = kept
}

// query changes the parameters, and leaves all else of the query as it came.
func (w *shaping) query() {
	if len(w.shaper.query) == 0 || w.event.Query == "" {
		return
	}
	pairs := splitQuery(w.event.Query)
	has := func(name string) bool {
		return slices.ContainsFunc(pairs, func(p pair) bool { return p.name == name })
	}
	var out strings.Builder
	for _, p := range pairs {
		a := w.shaper.query[p.name]
		if a.verb == renamed && has(a.to) {
			a = act{}
		}
		text := p.text
		name, value, valued := strings.Cut(text, "=")
		switch a.verb {
		case dropped:
			w.did(a, 1, "query", p.name)
			continue
		case redacted:
			if !valued || value == Redacted {
				a = act{}
				break
			}
			text = name + "=" + Redacted
		case renamed:
			text = url.QueryEscape(a.to) + text[len(name):]
		}
		if a.verb != "" {
			w.did(a, 1, "query", p.name)
		}
		if out.Len() > 0 {
			out.WriteByte(p.separator)
		}
		out.WriteString(text)
	}
	w.event.Query = out.String()
}

// pair is a parameter of a query.
type pair struct {
	separator byte   // in front of it
	text      string // as it came
	name      string // decoded
}

// splitQuery parts a query at & (WHATWG URL, section 5.1), and at ; which some servers take besides.
func splitQuery(query string) (pairs []pair) {
	separator := byte('&')
	for {
		end := strings.IndexAny(query, "&;")
		text := query
		if end >= 0 {
			text = query[:end]
		}
		name, _, _ := strings.Cut(text, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		pairs = append(pairs, pair{separator: separator, text: text, name: name})
		if end < 0 {
			return pairs
		}
		separator, query = query[end], query[end+1:]
	}
}

func (w *shaping) body() error {
	if len(w.json) == 0 || len(w.event.Body) == 0 {
		return nil
	}
	text := jsontext.Text(w.event.Body)
	if !jsontext.Valid(text) {
		if w.removes {
			return errNoJSON
		}
		return nil
	}
	root := gjson.ParseBytes(text)
	var edits jsontext.Edits
	for i := range w.json {
		a := &w.json[i]
		count := 0
		switch a.verb {
		case dropped:
			count = edits.Drop(root, a.pointer)
		case renamed:
			count = edits.Rename(root, a.pointer, a.to)
		case redacted:
			a.pointer.Find(root, func(value gjson.Result) {
				if value.Type != gjson.Null && value.Str != Redacted {
					edits.Replace(value, `"`+Redacted+`"`)
					count++
				}
			})
		}
		w.did(a.act, count, "json", a.pointer.Text)
	}
	if lead := len(w.event.Body) - len(text); lead > 0 {
		w.event.Body = append(w.event.Body[:lead:lead], edits.Apply(text)...)
		return nil
	}
	w.event.Body = edits.Apply(text)
	return nil
}

// note says in the facts of the copy what is not as it came.
func (w *shaping) note() {
	facts := pillarbox.Facts{}
	if w.event.Facts != nil {
		facts = *w.event.Facts
	}
	said := strings.Join(w.said, ", ")
	if facts.Removed != "" {
		said = facts.Removed + ", " + said
	}
	facts.Removed = said
	w.event.Facts = &facts
}
