package intake_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"pillarbox"
	"pillarbox/internal/intake"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/prom"
)

const (
	ndjson = "application/x-ndjson"
	array  = "application/json"
)

func (b *box) batch(form, body string) nodetest.Answer {
	b.T.Helper()
	return b.post("/app/batch", body, "Content-Type", form)
}

// result is a receipt or a rejection.
type result struct {
	pillarbox.Receipt
	Code   int    `json:"code"`
	Detail string `json:"detail"`
}

func results(t *testing.T, form, body string) []result {
	t.Helper()
	if form == array {
		return nodetest.Decode[[]result](t, body)
	}
	var list []result
	for line := range strings.Lines(body) {
		list = append(list, nodetest.Decode[result](t, line))
	}
	return list
}

// TestBatchAnswersInOrderAndKeepsTheGoodItems does so in both forms: a bad item is reported in its
// place.
func TestBatchAnswersInOrderAndKeepsTheGoodItems(t *testing.T) {
	large := `"` + strings.Repeat("x", testMaxBody) + `"`
	items := []string{`{"a": 1,  "b":[1,"]"]}`, `nope`, `"te\"xt,"`, large, `17`, `null`}
	good := []string{items[0], items[2], items[4], items[5]}
	for form, body := range map[string]string{
		ndjson: "\n" + strings.Join(items, "\r\n \n") + "\n\n",
		array:  " [" + strings.Join(items, " ,\n") + "]\n",
	} {
		t.Run(form, func(t *testing.T) {
			b := openPublic(t, intake.Options{})
			got := b.batch(form, body).Wants(t, 207)
			if got.Header.Get("Content-Type") != form {
				t.Errorf("Content-Type %q", got.Header.Get("Content-Type"))
			}
			list := results(t, form, got.Body)
			var codes []int
			var ids, bodies []string
			for _, one := range list {
				codes = append(codes, one.Code)
				if one.Code == 0 {
					ids = append(ids, one.RequestID)
				}
			}
			if want := []int{0, 400, 0, 413, 0, 0}; !slices.Equal(codes, want) {
				t.Fatalf("codes %v, want %v", codes, want)
			}
			if !strings.Contains(list[1].Detail, "no JSON value") || list[1].Status != "rejected" ||
				!strings.Contains(list[3].Detail, "max_body") {
				t.Errorf("rejections %+v, %+v", list[1], list[3])
			}
			var stored []string
			for _, event := range b.Queued() {
				stored, bodies = append(stored, event.RequestID), append(bodies, string(event.Body))
				if event.ContentType != array || event.Path != "/app/batch" || event.Source != "app" {
					t.Errorf("event %+v", event)
				}
			}
			if !slices.Equal(bodies, good) || !slices.Equal(stored, ids) {
				t.Errorf("stored %q as %q, with receipts for %q", bodies, stored, ids)
			}
		})
	}
}

// TestBatchesThatAreRefusedAsAWhole stores nothing of them.
func TestBatchesThatAreRefusedAsAWhole(t *testing.T) {
	for name, c := range map[string]struct {
		form, body string
		status     int
		part       string
	}{
		"no lines":          {ndjson, "\n \r\n", 400, "no items"},
		"nothing":           {ndjson, "", 400, "no items"},
		"empty array":       {array, " [ ] ", 400, "no items"},
		"no array":          {array, ` {"a":1}`, 400, "no JSON array: it begins with '{' at byte 2"},
		"nothing at all":    {array, " ", 400, "is empty"},
		"a bracket":         {array, "[", 400, "no complete JSON array"},
		"unfinished array":  {array, `[1,2`, 400, "no complete JSON array"},
		"unfinished string": {array, ` [1,"a]`, 400, "inside the string that begins at byte 5"},
		"unfinished object": {array, `[1,{"a":1]`, 400, "inside 1 brackets"},
		"bracket too many":  {array, `[1],2]`, 400, "closing bracket too many at byte 3"},
		"two arrays":        {array, `[1][2]`, 400, "closing bracket"},
		"too many lines":    {ndjson, "1\n2\n3\n4\n", 413, "3 items (http.max_batch_items)"},
		"too many elements": {array, "[1,2,3,4]", 413, "3 items (http.max_batch_items)"},
		"too many bytes":    {ndjson, strings.Repeat("1", 101), 413, "http.max_batch_bytes"},
		"wrong type":        {"text/plain", "1", 415, ndjson},
		"no type":           {"", "1", 415, ndjson},
		"nothing but bad lines": {ndjson, "a\nb\n", 422,
			"line 2 is no JSON value: invalid character 'b' looking for beginning of value, at byte 3 of the body"},
		"nothing but bad items": {array, "\ufeff [a, ]", 422,
			"item 2 is no JSON value: unexpected end of JSON input, at byte 8 of the body"},
		"cut value": {ndjson, " {\"a\":1,}\n", 422,
			"looking for beginning of object key string, at byte 9 of the body"},
		"no space of JSON":     {ndjson, "\u00a0\n", 422, "line 1 is no JSON value"},
		"no space in an array": {array, "[\u00a0]", 422, "item 1 is no JSON value"},
	} {
		t.Run(name, func(t *testing.T) {
			b := openPublic(t, intake.Options{MaxBatchItems: 3, MaxBatchBytes: 100})
			b.batch(c.form, c.body).Wants(t, c.status, c.part)
			if len(b.Queued()) != 0 {
				t.Error("something was stored")
			}
		})
	}
}

// TestBatchOfExactlyTheLimitIsAccepted in both forms, and under the other names of NDJSON.
func TestBatchOfExactlyTheLimitIsAccepted(t *testing.T) {
	b := openPublic(t, intake.Options{MaxBatchItems: 3})
	b.batch(ndjson, "1\n2\n3").Wants(t, 202)
	b.batch("application/jsonl; charset=utf-8", "1\n2\n3").Wants(t, 202)
	b.batch(array, "[1,2,3]").Wants(t, 202)
	if stored := len(b.Queued()); stored != 9 {
		t.Errorf("%d events are stored", stored)
	}
}

// TestBatchThatFailsThroughOurFaultIsNoFaultOfTheSender: with a bad item at its head, too. A batch
// that is accepted in part says in its place what was not, and when to come back with it.
func TestBatchThatFailsThroughOurFaultIsNoFaultOfTheSender(t *testing.T) {
	b := openPublic(t, intake.Options{})
	b.Queue.SetFault(func([]*pillarbox.Event) error { return pillarbox.ErrFull })
	b.batch(ndjson, "bad\n1\n").Wants(t, 503, "full")
	b.Queue.SetFault(func([]*pillarbox.Event) error { return errors.New("secret") })
	if got := b.batch(ndjson, "1\n2\n").Wants(t, 500); strings.Contains(got.Body, "secret") {
		t.Errorf("the inside is told: %s", got.Body)
	}
	b.Queue.SetFault(func([]*pillarbox.Event) error {
		return &pillarbox.BatchError{Items: []pillarbox.ItemError{{Index: 1, Err: pillarbox.ErrNoSpace}}}
	})
	got := b.batch(ndjson, "1\n2\nbad\n").Wants(t, 207)
	list := results(t, ndjson, got.Body)
	if len(list) != 3 || list[0].Code != 0 || list[1].Code != 507 || list[2].Code != 400 ||
		got.Header.Get("Retry-After") == "" {
		t.Errorf("results %+v, Retry-After %q", list, got.Header.Get("Retry-After"))
	}
}

// TestStrictBatchIsAllOrNothing in both forms, also where an item is only too large.
func TestStrictBatchIsAllOrNothing(t *testing.T) {
	large := `"` + strings.Repeat("x", testMaxBody) + `"`
	for _, c := range []struct {
		form, body string
		status     int
		codes      []int
		applied    string
	}{
		{ndjson, "1\n2\n", 202, []int{0, 0}, "handling=strict"},
		{ndjson, "1\nbad\n3\n", 422, []int{424, 400, 424}, "handling=strict"},
		{array, "[1," + large + ",bad]", 422, []int{424, 413, 400}, "handling=strict"},
	} {
		b := openPublic(t, intake.Options{})
		got := b.post("/app/batch", c.body, "Content-Type", c.form, "Prefer", `wait=1, Handling="strict"; x=1`).
			Wants(t, c.status)
		var codes []int
		for _, one := range results(t, c.form, got.Body) {
			if codes = append(codes, one.Code); one.Code == 424 && !strings.Contains(one.Detail, "item 2") {
				t.Errorf("detail %q", one.Detail)
			}
		}
		if !slices.Equal(codes, c.codes) || got.Header.Get("Preference-Applied") != c.applied {
			t.Errorf("%q: codes %v, applied %q", c.body, codes, got.Header.Get("Preference-Applied"))
		}
		if stored := len(b.Queued()); (stored == 0) != (c.status == 422) {
			t.Errorf("%q: %d are stored", c.body, stored)
		}
	}
	b := openPublic(t, intake.Options{})
	b.post("/app/batch", "1\nbad\n", "Content-Type", ndjson, "Prefer",
		"handling=lenient, handling=strict").
		Wants(t, 207)
	b.Queue.SetFault(func([]*pillarbox.Event) error {
		return &pillarbox.BatchError{Items: []pillarbox.ItemError{{Index: 1, Err: pillarbox.ErrNoSpace}}}
	})
	got := b.post("/app/batch", "1\n2\n", "Content-Type", ndjson, "Prefer",
		"handling=strict").Wants(t, 207)
	if got.Header.Get("Preference-Applied") != "" {
		t.Error("a batch that the queue has parted is told to be all or nothing")
	}
}

// TestByteOrderMarkCostsNoRecord, in front of the body and where files were put together.
func TestByteOrderMarkCostsNoRecord(t *testing.T) {
	for form, body := range map[string]string{
		ndjson: "\ufeff{\"a\":1}\n\ufeff2\n\ufeff\n", array: "\ufeff[{\"a\":1},2]",
	} {
		b := openPublic(t, intake.Options{})
		b.batch(form, body).Wants(t, 202)
		var bodies []string
		for _, event := range b.Queued() {
			bodies = append(bodies, string(event.Body))
		}
		if !slices.Equal(bodies, []string{`{"a":1}`, "2"}) {
			t.Errorf("%s: stored %q", form, bodies)
		}
	}
}

// TestRefusalsAreCountedBySourceAndReason, requests and items of batches.
func TestRefusalsAreCountedBySourceAndReason(t *testing.T) {
	registry := prometheus.NewRegistry()
	b := openPublic(t, intake.Options{})
	table, err := source.Compile([]source.Settings{{Name: "app", Path: "/app", MaxBody: testMaxBody}},
		source.Options{Metrics: telemetry.NewMetrics(prom.Keep(registry, prom.Options{}))})
	if err != nil {
		t.Fatal(err)
	}
	b.sources.Replace(table)
	b.batch(ndjson, "1\nbad\n\""+strings.Repeat("x", testMaxBody)+"\"\n").Wants(t, 207)
	b.batch(array, "{}").Wants(t, 400)
	b.post("/app/batch", "1\nbad\n", "Content-Type", ndjson, "Prefer", "handling=strict").Wants(t, 422)
	b.post("/app", strings.Repeat("x", testMaxBody+1)).Wants(t, 413)
	b.post("/app", "x", "Content-Encoding", "br").Wants(t, 415)
	b.Queue.SetFault(func([]*pillarbox.Event) error { return pillarbox.ErrFull })
	b.post("/app", "x").Wants(t, 503)
	want := map[string]float64{"invalid": 3, "too_large": 2, "batch": 1, "unsupported": 1,
		"unavailable": 1, "in_flight": 0, "key_reused": 0,
		"method": 0, "unauthorized": 0, "forbidden": 0, "slow": 0, "rate": 0, "no_space": 0, "other": 0}
	got := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "pillarbox_ingest_refused_total" {
				got[metric.GetLabel()[0].GetValue()] = metric.GetCounter().GetValue()
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("counted are %v, want %v", got, want)
	}
}

// TestNestingHasALimit: an item is taken as long as encoding/json takes it, and one that is nothing
// but brackets, as large as a batch may be, is no more than an item that is no JSON.
func TestNestingHasALimit(t *testing.T) {
	const limit = 10_000 // of encoding/json
	for _, depth := range []int{1, limit / 2, limit/2 + 1, limit, limit + 1, 8 << 20} {
		body := slices.Concat(bytes.Repeat([]byte("["), depth), bytes.Repeat([]byte("]"), depth))
		bodies, err := intake.Split(ndjson, body, 1)
		if err != nil || len(bodies) != 1 || (bodies[0] != nil) != (depth <= limit) {
			t.Errorf("depth %d: %d items, taken %v, %v", depth, len(bodies), bodies[0] != nil, err)
		}
		bodies, err = intake.Split(ndjson, body[:depth], 1)
		if err != nil || len(bodies) != 1 || bodies[0] != nil {
			t.Errorf("depth %d, unclosed: %d items, %v", depth, len(bodies), err)
		}
	}
}

// FuzzBatchBody holds the splitter to encoding/json: it never panics, it takes every valid array
// and every valid NDJSON apart into the same values, and what it gives out is JSON.
func FuzzBatchBody(f *testing.F) {
	for _, seed := range []string{
		`[1,2]`, `[]`, ` [ {"a":"]"} , "\\\"," ]`, "1\n{\"a\":[1]}\r\n\n\"x\"", `[`, `]`, `["`, `[1,]`, `[{]},1]`, "[\u00a01]", "\ufeff[1]", `["\`, `[[[1]],{"a":{"b":[]}}]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const limit = 1000
		var want []json.RawMessage
		bodies, err := intake.Split(array, body, limit)
		if json.Unmarshal(body, &want) == nil && want != nil && len(want) <= limit {
			same(t, bodies, err, want)
		}
		valid(t, bodies, err)
		want = nil
		lines := true
		for line := range bytes.SplitSeq(body, []byte("\n")) {
			if line = bytes.Trim(line, " \t\r"); len(line) > 0 {
				want = append(want, json.RawMessage(line))
				lines = lines && json.Valid(line)
			}
		}
		bodies, err = intake.Split(ndjson, body, limit)
		if lines && len(want) <= limit && !bytes.Contains(body, []byte("\ufeff")) {
			same(t, bodies, err, want)
		}
		valid(t, bodies, err)
	})
}

func valid(t *testing.T, bodies [][]byte, err error) {
	for i, body := range bodies {
		if body != nil && !json.Valid(body) {
			t.Errorf("item %d is no JSON: %q", i, body)
		}
	}
	if err != nil && (len(bodies) > 0 || !errors.Is(err, pillarbox.ErrInvalid) &&
		!errors.Is(err, pillarbox.ErrTooLarge)) {
		t.Errorf("%d items with the error %v", len(bodies), err)
	}
}

// same compares values and not bytes: json.RawMessage keeps no outer space either, but need not.
func same(t *testing.T, bodies [][]byte, err error, want []json.RawMessage) {
	if err != nil || len(bodies) != len(want) {
		t.Fatalf("%d items and %v, want %d", len(bodies), err, len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(value(t, bodies[i]), value(t, want[i])) {
			t.Errorf("item %d is %s, want %s", i, bodies[i], want[i])
		}
	}
}

func value(t *testing.T, text []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(fmt.Errorf("%q: %w", text, err))
	}
	return value
}
