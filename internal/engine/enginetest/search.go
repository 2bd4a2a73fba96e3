package enginetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pillarbox"
)

// sought are the events that searches go through, by the names that the cases know them by. Most of
// what is in them has tempted somebody to take it for something else.
var sought = []struct {
	name        string
	method      string
	path        string
	contentType string
	header      pillarbox.Header
	body        string
}{
	{"plain", "POST", "/app", "application/json", pillarbox.Header{{Name: "X-Tag", Value: "one"}, {Name: "X-Tag", Value: "two"}}, `{"type":"paid","n":1}`},
	{"charset", "POST", "/app", `Application/JSON; charset="utf-8"`, pillarbox.Header{{Name: "X-Tag", Value: "ONE"}}, `{"type":"PAID","n":1.0}`},
	{"put", "PUT", "/app/a%20b", "text/plain", nil, "100% of a_b\nis paid"},
	{"any letter", "POST", "/app/aXb", "text/plain; charset=utf-8", nil, "100 x of aXb"},
	{"no utf-8", "POST", "/bin", "text/plain; name=\xfc", pillarbox.Header{{Name: "X-Name", Value: "J\xfcrgen"}, {Name: "X-Tag", Value: "one"}}, "\xff\xfepaid\x00after"},
	{"duplicate", "POST", "/app", "application/json", nil, `{"n":1e2,"n":100,"a":{"b":"x"},"a":{"b":"y"}}`},
	{"large number", "POST", "/app", "application/json", nil, `{"n":12345678901234567890.10,"m":9007199254740993}`},
	{"escapes", "POST", "/app", "application/json", nil, `{"a/b":{"~":"sl\u0061sh \"q\" \\"},"type":"p\u0061id","%":"_"}`},
	{"items", "POST", "/app", "application/json", nil, ` [{"n":1},{"n":"2"},{"n":null},{"n":true},{"n":{"n":3}}] `},
	{"mark", "POST", "/app", "application/json", nil, "\uFEFF" + `{"type":"marked"}`},
	{"no json", "POST", "/app", "application/json", nil, `{"type":"paid"`},
	{"two texts", "POST", "/app", "application/json", nil, `{"type":"paid"} {"type":"paid"}`},
	{"empty", "POST", "/app", "", pillarbox.Header{{Name: "X-Empty", Value: ""}, {Name: "X-Quote", Value: `"<&>\ü`}}, ""},
	{"empty values", "POST", "/app", "application/json", nil, `{"s":"","o":{},"l":[]}`},
	{"umlaut", "POST", "/app", "text/plain", nil, "Grüße, PAID"},
}

// searches are what is asked for, and which of them are found. What is said of a filter in package
// search is here as cases.
var searches = []struct {
	name   string
	filter pillarbox.ContentFilter
	want   string // names, with a comma and a space between them
}{
	{"a method", pillarbox.ContentFilter{Method: "PUT"}, "put"},
	{"a method in another case", pillarbox.ContentFilter{Method: "put"}, ""},
	{"a path", pillarbox.ContentFilter{Path: "/app/a%20b"}, "put"},
	{"a path is no pattern", pillarbox.ContentFilter{Path: "/app/a_b"}, ""},
	{"a path is all of it", pillarbox.ContentFilter{Path: "/bi"}, ""},
	{"a media type", pillarbox.ContentFilter{ContentType: "text/plain"}, "put, any letter, no utf-8, umlaut"},
	{"a media type in another case", pillarbox.ContentFilter{ContentType: "TEXT/Plain", Method: "PUT"}, "put"},
	{"a media type with parameters", pillarbox.ContentFilter{ContentType: `application/json; charset="UTF-8"`}, "charset"},
	{"a part of a media type", pillarbox.ContentFilter{ContentType: "text"}, ""},
	{"a media type is no pattern", pillarbox.ContentFilter{ContentType: "text/%"}, ""},
	{"a header", header("X-Tag", "one"), "plain, no utf-8"},
	{"a header of any case", header("x-TAG", "two"), "plain"},
	{"a value in another case", header("X-Tag", "One"), ""},
	{"a part of a value", header("X-Tag", "on"), ""},
	{"another header with the value", header("X-Other", "one"), ""},
	{"an empty header", header("X-Empty", ""), "empty"},
	{"a header with quotes", header("X-Quote", `"<&>\ü`), "empty"},
	{"a header is no pattern", header("X-Tag", "o%"), ""},
	{"two headers", pillarbox.ContentFilter{Headers: []pillarbox.HeaderField{{Name: "X-Tag", Value: "one"}, {Name: "X-Tag", Value: "two"}}}, "plain"},
	{"text", pillarbox.ContentFilter{Text: "paid"}, "plain, put, no utf-8, no json, two texts"},
	{"text in capitals", pillarbox.ContentFilter{Text: "PAID"}, "charset, umlaut"},
	{"text beyond ASCII", pillarbox.ContentFilter{Text: "Grüße"}, "umlaut"},
	{"text behind a zero", pillarbox.ContentFilter{Text: "after"}, "no utf-8"},
	{"text with a percent sign", pillarbox.ContentFilter{Text: "100% of"}, "put"},
	{"text with an underscore", pillarbox.ContentFilter{Text: "a_b"}, "put"},
	{"text with a quote", pillarbox.ContentFilter{Text: `' OR '1'='1`}, ""},
	{"text with a backslash", pillarbox.ContentFilter{Text: `\u0061`}, "escapes"},
	{"text with a line", pillarbox.ContentFilter{Text: "b\nis"}, "put"},
	{"a string", value("/type", "paid"), "plain, escapes"},
	{"a string in another case", value("/type", "PAID"), "charset"},
	{"a string behind a byte order mark", value("/type", "marked"), "mark"},
	{"a number", value("/n", "1"), "plain"},
	{"a number as it was sent", value("/n", "1.0"), "charset"},
	{"both of one name", value("/n", "100"), "duplicate"},
	{"the other of one name", value("/n", "1e2"), "duplicate"},
	{"in both of one name", pillarbox.ContentFilter{JSON: []pillarbox.PointerValue{{Pointer: "/a/b", Value: "x"}, {Pointer: "/a/b", Value: "y"}}}, "duplicate"},
	{"a number that no float has", value("/m", "9007199254740993"), "large number"},
	{"the float next to it", value("/m", "9007199254740992"), ""},
	{"a number with its zero", value("/n", "12345678901234567890.10"), "large number"},
	{"a number without its zero", value("/n", "12345678901234567890.1"), ""},
	{"behind escapes of a pointer", value("/a~1b/~0", `slash "q" \`), "escapes"},
	{"a name that is a pattern of others", value("/%", "_"), "escapes"},
	{"an item", value("/0/n", "1"), "items"},
	{"every item", value("/*/n", "2"), "items"},
	{"null", value("/*/n", "null"), "items"},
	{"true", value("/3/n", "true"), "items"},
	{"an object equals nothing", value("/4/n", `{"n":3}`), ""},
	{"an empty string", value("/s", ""), "empty values"},
	{"an empty object is no empty string", value("/o", ""), ""},
	{"an item that is not there", value("/9/n", "1"), ""},
	{"all of it", pillarbox.ContentFilter{Method: "POST", Path: "/app", ContentType: "application/json", Text: "type",
		Headers: []pillarbox.HeaderField{{Name: "X-Tag", Value: "one"}}, JSON: []pillarbox.PointerValue{{Pointer: "/type", Value: "paid"}, {Pointer: "/n", Value: "1"}}}, "plain"},
}

func header(name, value string) pillarbox.ContentFilter {
	return pillarbox.ContentFilter{Headers: []pillarbox.HeaderField{{Name: name, Value: value}}}
}

func value(pointer, value string) pillarbox.ContentFilter {
	return pillarbox.ContentFilter{JSON: []pillarbox.PointerValue{{Pointer: pointer, Value: value}}}
}

// soughtEvents are the events of sought, and what they are called, by request id.
func soughtEvents() (events []*pillarbox.Event, names map[string]string) {
	events, names = Events(len(sought), 22), map[string]string{}
	for i, s := range sought {
		e := events[i]
		e.Source, e.Method, e.Path, e.ContentType, e.Header, e.Body = "app", s.method, s.path, s.contentType, s.header, []byte(s.body)
		names[e.RequestID] = s.name
	}
	return events, names
}

// Every engine finds the same, whatever it leaves to its database.
func testSearch(t *testing.T, store pillarbox.Sink) {
	events, names := soughtEvents()
	write(t, store, events)
	for _, search := range searches {
		t.Run(search.name, func(t *testing.T) {
			for _, filter := range []pillarbox.EventFilter{
				{}, {Limit: 1}, {MaxScan: len(events)}, {Source: "app", MaxScan: len(events)},
				{Since: events[0].Timestamp, Until: events[len(events)-1].Timestamp + 1, Limit: len(events)},
			} {
				filter.Content = &search.filter
				if got := namesOf(list(t, store, filter), names); filter.Limit == 1 {
					first, _, _ := strings.Cut(search.want, ", ")
					if got != first {
						t.Errorf("the first is %q, want %q", got, first)
					}
				} else if got != search.want {
					t.Errorf("%+v: found %q, want %q", filter, got, search.want)
				}
			}
			backwards := list(t, store, pillarbox.EventFilter{Content: &search.filter, Newest: true, MaxScan: len(events)})
			slices.Reverse(backwards)
			if got := namesOf(backwards, names); got != search.want {
				t.Errorf("newest first: found %q, want %q", got, search.want)
			}
		})
	}
	if found := list(t, store, pillarbox.EventFilter{Content: &pillarbox.ContentFilter{Method: "PUT"}, Source: "other"}); len(found) > 0 {
		t.Errorf("another source has %d of them", len(found))
	}
}

func namesOf(events []*pillarbox.Event, names map[string]string) string {
	var found []string
	for _, event := range events {
		found = append(found, names[event.RequestID])
	}
	return strings.Join(found, ", ")
}

// A list that looks at events ends at its bound, says so, and goes on from there without a gap.
func testSearchIsBounded(t *testing.T, store pillarbox.Sink) {
	events := Events(300, 23)
	for i, event := range events {
		event.Method, event.Facts = "POST", nil
		if i == 5 || i == 50 || i == 299 { // 50 is the first one behind a bound
			event.Method = "PUT"
		}
	}
	write(t, store, events)
	for _, newest := range []bool{false, true} {
		want := []*pillarbox.Event{events[5], events[50], events[299]}
		if newest {
			slices.Reverse(want)
		}
		filter := pillarbox.EventFilter{Content: &pillarbox.ContentFilter{Method: "PUT"}, Newest: newest, Limit: 2, MaxScan: 50}
		var found []*pillarbox.Event
		bounds := 0
		for {
			page, err := store.List(t.Context(), filter)
			if found = append(found, page...); err == nil && len(page) < filter.Limit {
				break
			}
			if err == nil {
				filter.After = page[len(page)-1].Key()
				continue
			}
			filter.After = wantScanLimit(t, err, 50)
			if bounds++; bounds > len(events) {
				t.Fatal("it does not come to an end")
			}
		}
		wantEvents(t, found, want)
		if bounds < 5 {
			t.Errorf("300 events were looked at with %d ends at 50", bounds)
		}
	}
	all := list(t, store, pillarbox.EventFilter{MaxScan: 50, Limit: len(events)})
	wantEvents(t, all, events) // of which none had to be looked at
	within := pillarbox.EventFilter{Content: &pillarbox.ContentFilter{Method: "PUT"}, MaxScan: 50,
		Since: events[30].Timestamp, Until: events[80].Timestamp}
	wantEvents(t, list(t, store, within), events[50:51])
}

func wantScanLimit(t *testing.T, err error, most int) pillarbox.Key {
	t.Helper()
	var ended *pillarbox.ScanLimitError
	if !errors.As(err, &ended) || !errors.Is(err, pillarbox.ErrInvalid) {
		t.Fatalf("list: %v; want an end at the bound that is ErrInvalid", err)
	}
	if ended.Looked < 1 || ended.Looked > most || ended.Last == (pillarbox.Key{}) {
		t.Fatalf("%d events were looked at, up to %v; %d may be", ended.Looked, ended.Last, most)
	}
	if text := fmt.Sprint(err); !strings.Contains(text, "time range") || !strings.Contains(text, ended.Last.Timestamp.String()) {
		t.Fatalf("it does not say what to add: %s", text)
	}
	return ended.Last
}
