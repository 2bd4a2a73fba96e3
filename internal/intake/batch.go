package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/tidwall/gjson"

	"pillarbox"
	"pillarbox/internal/ingest"
	"pillarbox/internal/protocol"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
)

// item is one element of a batch, byte for byte, or the reason why it is none.
type item struct {
	body []byte
	err  error
}

// batch is the memory of one request. It is used again, because a batch of a thousand items takes
// half a megabyte of it.
type batch struct {
	items    []item
	bodies   [][]byte        // of the good items
	accepted []ingest.Result // one for each body
	results  []ingest.Result // one for each item
	answer   []byte
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// maxBatchKept bounds what is kept for the next batch, in items.
const maxBatchKept = 4096

// release gives the memory back, without what it points to.
func (b *batch) release() {
	if cap(b.items) > maxBatchKept {
		return
	}
	clear(b.items)
	clear(b.bodies)
	clear(b.accepted)
	clear(b.results)
	b.items, b.bodies, b.accepted, b.results = b.items[:0], b.bodies[:0], b.accepted[:0], b.results[:0]
	batches.Put(b)
}

// acceptBatch accepts all good items with one append and answers for each item in order.
func (h *Handler) acceptBatch(w http.ResponseWriter, r *http.Request,
	to *source.Route) (int, error) {
	form, err := batchForm(r.Header.Get("Content-Type"))
	if err != nil {
		return 0, err
	}
	head := headOf(r)
	admission, err := to.Source.Admit(head)
	if err != nil {
		return 0, err
	}
	body, release, err := h.readBody(w, r, h.opts.MaxBatchBytes, "http.max_batch_bytes")
	defer release()
	if err != nil {
		return 0, err
	}
	b := batches.Get().(*batch)
	defer b.release()
	if b.items, err = split(b.items, form, body, h.opts.MaxBatchItems); err != nil {
		return 0, err
	}
	if len(b.items) == 0 {
		return 0, protocol.Invalid("the batch has no items")
	}
	grant, err := admission.Charge(len(b.items))
	if err != nil {
		return 0, err
	}
	h.acceptItems(r, head, grant, b)
	return b.writeResults(w, form)
}

func batchForm(contentType string) (string, error) {
	form, _, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && (form == protocol.TypeJSON || form == protocol.TypeNDJSON):
		return form, nil
	case err == nil && (form == "application/jsonl" || form == "application/ndjson" ||
		form == "application/jsonlines"):
		return protocol.TypeNDJSON, nil
	}
	return "", &protocol.Error{Status: http.StatusUnsupportedMediaType,
		Detail: "a batch is " + protocol.TypeNDJSON + " (one JSON value a line) or " + protocol.TypeJSON + " (an array); set Content-Type"}
}

// acceptItems fills in the results.
func (h *Handler) acceptItems(r *http.Request, head *source.Head, grant source.Grant, b *batch) {
	for _, it := range b.items {
		if it.err == nil {
			b.bodies = append(b.bodies, it.body)
		}
	}
	if len(b.bodies) > 0 {
		all := newRequest(r, head, grant)
		all.ContentType = protocol.TypeJSON
		b.accepted = h.opts.Acceptor.AcceptBatch(context.WithoutCancel(r.Context()), all, b.bodies,
			b.accepted)
	}
	b.merge()
	for _, result := range b.results {
		if result.Err != nil && protocol.StatusOf(result.Err) == http.StatusInternalServerError {
			h.opts.Logger.Error("item of a batch failed", telemetry.KeySource, grant.Source().Name,
				telemetry.KeyErr, result.Err)
			break // the others failed with it
		}
	}
}

// merge makes the results of the items of those of the bodies.
func (b *batch) merge() {
	if len(b.accepted) == len(b.items) {
		b.results, b.accepted = b.accepted, b.results
		return
	}
	next := 0
	for _, it := range b.items {
		result := ingest.Result{Err: it.err}
		if it.err == nil {
			result, next = b.accepted[next], next+1
		}
		b.results = append(b.results, result)
	}
}

// writeResults answers 202 if something was accepted. If nothing was, a sender which only looks at
// the status is not deceived: the batch fails with our fault if it was ours for any item, because
// the same batch may then succeed later, and else with 422.
func (b *batch) writeResults(w http.ResponseWriter, form string) (int, error) {
	status := http.StatusUnprocessableEntity
	var ours error // the first failure that is not the sender's
	for _, result := range b.results {
		switch {
		case result.Err == nil:
			status = http.StatusAccepted
		case ours == nil && protocol.StatusOf(result.Err) >= http.StatusInternalServerError:
			ours = result.Err
		}
	}
	if ours != nil && status != http.StatusAccepted {
		return 0, ours
	}
	if ours != nil && protocol.Retriable(protocol.StatusOf(ours)) {
		w.Header().Set("Retry-After", strconv.Itoa(protocol.RetryAfterSeconds(ours))) // for the items that say so
	}
	var err error
	if b.answer, err = appendResults(b.answer[:0], form, b.results); err != nil {
		return 0, err
	}
	protocol.WriteBody(w, status, form, b.answer)
	return status, nil
}

func appendResults(body []byte, form string, results []ingest.Result) ([]byte, error) {
	opening, between, closing := "", "\n", "\n"
	if form == protocol.TypeJSON {
		opening, between, closing = "[", ",\n", "]\n"
	}
	body = append(slices.Grow(body, 160*len(results)), opening...)
	for i, result := range results {
		if i > 0 {
			body = append(body, between...)
		}
		if result.Err == nil {
			var err error
			if body, err = protocol.AppendReceipt(body, result.Receipt); err != nil {
				return nil, err
			}
			continue
		}
		problem := protocol.ProblemOf(result.Err)
		text, err := json.Marshal(protocol.Rejection{Status: protocol.StatusRejected,
			Code: problem.Status, Detail: problem.Detail})
		if err != nil {
			return nil, err
		}
		body = append(body, text...)
	}
	return append(body, closing...), nil
}

// split cuts a batch into at most limit items, which it appends to items.
func split(items []item, form string, body []byte, limit int) ([]item, error) {
	if form == protocol.TypeNDJSON {
		return splitLines(items, body, limit)
	}
	return splitArray(items, body, limit)
}

func tooMany(limit int) error {
	return fmt.Errorf("the batch has more than %d items (http.max_batch_items), send it in parts: %w",
		limit, pillarbox.ErrTooLarge)
}

var newline = []byte("\n")

// trimSpace is bytes.Trim, and quick where there is nothing to trim, as around most items.
func trimSpace(b []byte) []byte {
	if len(b) > 0 && b[0] > ' ' && b[len(b)-1] > ' ' {
		return b
	}
	return bytes.Trim(b, protocol.JSONSpace)
}

// splitLines cuts NDJSON. Blank lines are skipped; a line that is no JSON value is reported in its
// place.
func splitLines(items []item, body []byte, limit int) ([]item, error) {
	for number := 1; len(body) > 0; number++ {
		line, rest, _ := bytes.Cut(body, newline)
		body = rest
		if line = trimSpace(line); len(line) == 0 {
			continue
		}
		if len(items) == limit {
			return items, tooMany(limit)
		}
		items = append(items, checkItem(line, "line", number))
	}
	return items, nil
}

// splitArray cuts a JSON array at its top-level commas without looking into the elements, so that
// an element which is no JSON value can be reported in its place and the good ones are kept. Where
// brackets or strings don't end, nothing can be told apart, and the whole batch is refused.
func splitArray(items []item, body []byte, limit int) ([]item, error) {
	body = bytes.Trim(body, protocol.JSONSpace)
	if len(body) < 2 || body[0] != '[' || body[len(body)-1] != ']' {
		return items, protocol.Invalid("the body is no complete JSON array")
	}
	inner := body[1 : len(body)-1]
	cuts, err := topLevelCommas(inner, limit)
	if err != nil || len(cuts) == 0 && len(bytes.Trim(inner, protocol.JSONSpace)) == 0 {
		return items, err
	}
	start := 0
	for _, cut := range append(cuts, len(inner)) {
		items = append(items, checkItem(trimSpace(inner[start:cut]), "item", len(items)+1))
		start = cut + 1
	}
	return items, nil
}

func topLevelCommas(inner []byte, limit int) (cuts []int, err error) {
	depth, inString := 0, false
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth < 0 {
				return nil, protocol.Invalid("the JSON array has a closing bracket too many at byte %d", i+2)
			}
		case c == ',' && depth == 0:
			if cuts = append(cuts, i); len(cuts) == limit {
				return nil, tooMany(limit)
			}
		}
	}
	if inString || depth != 0 {
		return nil, protocol.Invalid("the JSON array ends inside a string or a bracket")
	}
	return cuts, nil
}

func checkItem(body []byte, what string, number int) item {
	if !isJSON(body) {
		return item{err: protocol.Invalid("%s %d is no JSON value of at most %d levels", what, number,
			maxNesting)}
	}
	return item{body: body}
}

// maxNesting is how deep arrays and objects may be in one another, by encoding/json.
const maxNesting = 10_000

// isJSON is json.Valid, nearly three times as fast for items of the usual sizes. gjson calls itself
// for each level of nesting and knows no limit, so it gets what is too short to be deeper than the
// limit.
func isJSON(body []byte) bool {
	if len(body) > maxNesting {
		return json.Valid(body)
	}
	return gjson.ValidBytes(body)
}
