package filter_test

import (
	"errors"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/filter"
)

// order is an event that filters are tried on.
func order() *pillarbox.Event {
	return &pillarbox.Event{Source: "shop", Method: "POST", Path: "/shop", Query: "a=1&a=2&b=x+y&c=%zz",
		ContentType: "application/json", Facts: &pillarbox.Facts{CEType: "order.paid", Caller: "key one"},
		Header: pillarbox.Header{{Name: "X-Kind", Value: "one"}, {Name: "Content-Type", Value: "application/json"}, {Name: "X-Kind", Value: "two"}},
		Body: []byte("\uFEFF" + `{"type":"order.paid","id":9007199254740993,"big":18446744073709551615,"amount":12.50,"e":1e3,"huge":1e999,
			"items":[{"sku":"a","n":2},{"sku":"b","n":0}],"nested":{"a":{"b":null}},"twice":1,"twice":2,"é":"ü\u0041","ok":true}`)}
}

func TestFilters(t *testing.T) {
	for expression, want := range map[string]bool{
		`source == "shop" && method == "POST" && path == "/shop"`:               true,
		`source in ["app", "other"]`:                                            false,
		`content_type.startsWith("application/json")`:                           true,
		`query["a"] == "1" && query.b == "x y"`:                                 true,
		`query["nothing"] == ""`:                                                true,
		`has(query.nothing) || has(headers.nothing)`:                            false,
		`has(query.b) && query[?"c"].hasValue() == false`:                       true,
		`"nothing" in query`:                                                    false,
		`"a" in query && size(query) == 2`:                                      true,
		`headers["x-kind"] == "one, two"`:                                       true,
		`headers["X-KIND"].contains("two")`:                                     true,
		`"X-Other" in headers`:                                                  false,
		`headers["X-Other"] == "a"`:                                             false,
		`headers.exists(name, name == "X-Kind")`:                                true,
		`ce.type == "order.paid" && ce.id == ""`:                                true,
		`"subject" in ce`:                                                       false,
		`json.type == "order.paid"`:                                             true,
		`json.type.startsWith("invoice.")`:                                      false,
		`json["type"].matches("^order\\.(paid|sent)$")`:                         true,
		`json.id == 9007199254740993`:                                           true,
		`json.id == 9007199254740992`:                                           false,
		`json.big == 18446744073709551615u`:                                     true,
		`json.amount > 12 && json.amount < 13`:                                  true,
		`json.e == 1000`:                                                        true,
		`json.huge > 1.7e308`:                                                   true,
		`json.items.exists(i, i.n == 0)`:                                        true,
		`json.items.all(i, i.n > 0)`:                                            false,
		`size(json.items) == 2 && json.items[1].sku == "b"`:                     true,
		`has(json.nested.a) && !has(json.nested.z)`:                             true,
		`json.nested.a.b == null`:                                               true,
		`json.?missing.orValue("none") == "none"`:                               true,
		`json.twice == 2`:                                                       true,
		`json["é"] == "üA"`:                                                     true,
		`json.ok`:                                                               true,
		`json.nested == {"a": {"b": null}}`:                                     true,
		`json.items == [{"sku": "a", "n": 2}, {"n": 0, "sku": "b"}]`:            true,
		`json.map(name, name).exists(name, name == "amount")`:                   true,
		`false && json.missing == 1`:                                            false,
		`timestamp("2026-01-02T00:00:00Z") < timestamp("2026-01-03T00:00:00Z")`: true,
	} {
		f, err := filter.Compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got, err := f.Takes(order()); err != nil || got != want {
			t.Errorf("%s is %v, %v, want %v", expression, got, err, want)
		}
	}
}

// TestFiltersThatFail have no answer, and say why in one line.
func TestFiltersThatFail(t *testing.T) {
	noJSON := order()
	noJSON.Body = []byte(`{"type":`)
	for _, c := range []struct {
		expression, why string
		event           *pillarbox.Event
	}{
		{`json.missing == "a"`, "no such key: missing", order()},
		{`json.missing.deeper == "a"`, "no such key: missing", order()},
		{`json.id.startsWith("a")`, "no such overload", order()},
		{`json.items[7].sku == "a"`, "out of bounds", order()},
		{`json.type == "a"`, "the body is no JSON", noJSON},
		{`has(json.type)`, "the body is no JSON", noJSON},
		{`json.type`, "and not true or false", order()},
		{`int(json.type) == 1`, "the filter fails", order()},
		{`json.items.map(i, json.items.map(j, json.items.map(k, json.items.map(l, json.items.map(m, json.items.map(n, json.items.map(o, json.items.map(p,
			json.items.map(q, json.items.map(r, json.items.map(s, json.items.map(t, json.items.map(u, json.items.map(v, 1)))))))))))))) == []`, "cost limit", order()},
	} {
		f, err := filter.Compile(c.expression)
		if err != nil {
			t.Errorf("%s: %v", c.expression, err)
			continue
		}
		if taken, err := f.Takes(c.event); err == nil || taken || !strings.Contains(err.Error(), c.why) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v, want %q", c.expression, taken, err, c.why)
		}
	}
}

func TestWhatIsNoFilter(t *testing.T) {
	for expression, why := range map[string]string{
		``:                  "is no expression",
		`json.type = "a"`:   "column",
		`body == "a"`:       "undeclared reference to 'body'",
		`source`:            "gives string, and must give true or false",
		`source == 1`:       "no matching overload",
		`query == "a=1"`:    "no matching overload",
		`path.matches("(")`: "invalid matches argument",
		strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200): "is no expression",
		`source == "` + strings.Repeat("a", filter.MaxLength) + `"`:  "may have",
	} {
		_, err := filter.Compile(expression)
		if !errors.Is(err, pillarbox.ErrInvalid) || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.80s: %v, want %q", expression, err, why)
		}
	}
}

// FuzzTakes sees that no body makes an evaluation do anything but decide or fail.
func FuzzTakes(f *testing.F) {
	compiled, err := filter.Compile(`json.type == "a" || json.items.exists(i, i.n > 3.5) || size(json) > 3 || headers["X"] == query.a`)
	if err != nil {
		f.Fatal(err)
	}
	for _, body := range []string{`{"type":"a"}`, `[1]`, `"a"`, `{"items":[{"n":1e999}]}`, `{"type":"\ud800"}`, `null`, ``} {
		f.Add(body, "a=1")
	}
	f.Fuzz(func(t *testing.T, body, query string) {
		event := &pillarbox.Event{Body: []byte(body), Query: query}
		first, err := compiled.Takes(event)
		again, errAgain := compiled.Takes(event)
		if first != again || (err == nil) != (errAgain == nil) {
			t.Errorf("%q: %v, %v and then %v, %v", body, first, err, again, errAgain)
		}
	})
}
