package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"

	"pillarbox"
	"pillarbox/internal/ingest"
)

// Rejection stands in the place of a receipt for an item of a batch that was not accepted.
type Rejection struct {
	Status string `json:"status"` // "rejected"
	Code   int    `json:"code"`   // what a single request would have been answered with
	Detail string `json:"detail"`
}

const statusRejected = "rejected"

// The forms of a batch.
const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
)

// item is one element of a batch, byte for byte, or the reason why it is none.
type item struct {
	body []byte
	err  error
}

// acceptBatch accepts all good items with one append and answers for each item in order.
func (p *Public) acceptBatch(w http.ResponseWriter, r *http.Request, to *route) (int, error) {
	form, err := batchForm(r.Header.Get("Content-Type"))
	if err != nil {
		return 0, err
	}
	body, release, err := p.readBody(w, r, p.opts.MaxBatchBytes, "http.max_batch_bytes")
	defer release()
	if err != nil {
		return 0, err
	}
	items, err := split(form, body)
	if err != nil {
		return 0, err
	}
	switch {
	case len(items) == 0:
		return 0, &statusError{status: http.StatusBadRequest, detail: "the batch has no items"}
	case len(items) > p.opts.MaxBatchItems:
		return 0, &statusError{status: http.StatusRequestEntityTooLarge, detail: fmt.Sprintf("the batch has more than %d items (http.max_batch_items); send it in parts", p.opts.MaxBatchItems)}
	}
	results := p.acceptItems(r, to, items)
	return writeResults(w, form, results)
}

func batchForm(contentType string) (string, error) {
	form, _, err := mime.ParseMediaType(contentType)
	switch {
	case err == nil && (form == typeJSON || form == typeNDJSON):
		return form, nil
	case err == nil && (form == "application/jsonl" || form == "application/ndjson" || form == "application/jsonlines"):
		return typeNDJSON, nil
	}
	return "", &statusError{status: http.StatusUnsupportedMediaType, detail: "a batch is " + typeNDJSON + " (one JSON value a line) or " + typeJSON + " (an array); set Content-Type"}
}

func (p *Public) acceptItems(r *http.Request, to *route, items []item) []ingest.Result {
	results := make([]ingest.Result, len(items))
	requests := make([]ingest.Request, 0, len(items))
	places := make([]int, 0, len(items))
	template := newRequest(r, to.source.Name)
	template.ContentType = typeJSON
	for i, it := range items {
		if it.err != nil {
			results[i].Err = it.err
			continue
		}
		request := template
		request.Body = it.body
		requests, places = append(requests, request), append(places, i)
	}
	if len(requests) > 0 {
		for i, result := range p.acceptor.Accept(context.WithoutCancel(r.Context()), requests) {
			results[places[i]] = result
		}
	}
	return results
}

// writeResults answers 202 if something was accepted. If nothing was, the batch has the status of its first
// item, so that a sender which only looks at the status is not deceived.
func writeResults(w http.ResponseWriter, form string, results []ingest.Result) (int, error) {
	accepted := false
	for _, result := range results {
		accepted = accepted || result.Err == nil
	}
	status := http.StatusAccepted
	if !accepted {
		first := results[0].Err
		if status = statusOf(first); status >= http.StatusInternalServerError {
			return 0, first
		}
		status = http.StatusUnprocessableEntity
	}
	body, err := encodeResults(form, results)
	if err != nil {
		return 0, err
	}
	w.Header().Set("Content-Type", form)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone if this fails; what is accepted stays accepted
	return status, nil
}

func encodeResults(form string, results []ingest.Result) ([]byte, error) {
	opening, between, closing := "", "\n", "\n"
	if form == typeJSON {
		opening, between, closing = "[", ",\n", "]\n"
	}
	body := append(make([]byte, 0, 160*len(results)), opening...)
	for i, result := range results {
		if i > 0 {
			body = append(body, between...)
		}
		if result.Err == nil {
			var err error
			if body, err = appendReceipt(body, result.Receipt); err != nil {
				return nil, err
			}
			continue
		}
		problem := problemOf(result.Err)
		text, err := json.Marshal(Rejection{Status: statusRejected, Code: problem.Status, Detail: problem.Detail})
		if err != nil {
			return nil, err
		}
		body = append(body, text...)
	}
	return append(body, closing...), nil
}

func split(form string, body []byte) ([]item, error) {
	if form == typeNDJSON {
		return splitLines(body), nil
	}
	return splitArray(body)
}

// splitLines cuts NDJSON. Blank lines are skipped; a line that is no JSON value is reported in its place.
func splitLines(body []byte) []item {
	var items []item
	number := 0
	for line := range bytes.SplitSeq(body, []byte("\n")) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		items = append(items, checkItem(line, "line", number))
	}
	return items
}

// splitArray cuts a JSON array at its top-level commas without looking into the elements, so that an element
// which is no JSON value can be reported in its place and the good ones are kept. Where brackets or strings
// don't end, nothing can be told apart, and the whole batch is refused.
func splitArray(body []byte) ([]item, error) {
	body = bytes.TrimSpace(body)
	if len(body) < 2 || body[0] != '[' || body[len(body)-1] != ']' {
		return nil, fmt.Errorf("the body is no complete JSON array: %w", pillarbox.ErrInvalid)
	}
	inner := body[1 : len(body)-1]
	cuts, err := topLevelCommas(inner)
	if err != nil {
		return nil, err
	}
	if len(cuts) == 0 && len(bytes.TrimSpace(inner)) == 0 {
		return nil, nil
	}
	var items []item
	start := 0
	for _, cut := range append(cuts, len(inner)) {
		items = append(items, checkItem(bytes.TrimSpace(inner[start:cut]), "item", len(items)+1))
		start = cut + 1
	}
	return items, nil
}

func topLevelCommas(inner []byte) (cuts []int, err error) {
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
				return nil, fmt.Errorf("the JSON array has a closing bracket too many at byte %d: %w", i+2, pillarbox.ErrInvalid)
			}
		case c == ',' && depth == 0:
			cuts = append(cuts, i)
		}
	}
	if inString || depth != 0 {
		return nil, fmt.Errorf("the JSON array ends inside a string or a bracket: %w", pillarbox.ErrInvalid)
	}
	return cuts, nil
}

func checkItem(body []byte, what string, number int) item {
	if !json.Valid(body) {
		return item{err: fmt.Errorf("%s %d is no JSON value: %w", what, number, pillarbox.ErrInvalid)}
	}
	return item{body: body}
}
