package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"pillarbox"
	"pillarbox/internal/ingest"
	"pillarbox/internal/jsontext"
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
	x *exchange) (int, error) {
	to, head := x.to, h.headOf(r)
	head.Batch = true
	admission, err := admit(w, to.Source, head)
	if err != nil {
		return 0, err
	}
	form, err := batchForm(to.Source, r.Header.Get("Content-Type"))
	if err != nil {
		return 0, err
	}
	body, room, release, err := h.readBody(w, r, h.opts.MaxBatchBytes, "http.max_batch_bytes")
	defer release()
	if err != nil {
		return 0, err
	}
	head.MaxBatchBytes, head.Room = h.opts.MaxBatchBytes, room
	checked, err := admission.Check(head, body)
	if err != nil {
		return 0, err
	}
	if err := checkCharset(r.Header.Get("Content-Type"), checked.Body()); err != nil {
		return 0, err
	}
	b := batches.Get().(*batch)
	defer b.release()
	if b.items, err = split(b.items, form, checked.Body(), h.opts.MaxBatchItems); err != nil {
		return 0, err
	}
	events := to.Source.IsEventBatch(r.Header.Get("Content-Type"))
	if len(b.items) == 0 {
		if events { // which may be empty (HTTP binding, section 3.3.2)
			protocol.WriteBody(w, http.StatusAccepted, form, []byte("[]\n"))
			return http.StatusAccepted, nil
		}
		return 0, protocol.Invalid("the batch has no items")
	}
	b.checkItems(to.Source)
	grant, err := checked.Charge(len(b.items))
	if err != nil {
		return 0, err
	}
	grant.Quota().SetHeader(w.Header())
	strict := wantsAllOrNothing(r)
	if strict {
		b.refuseAllForOne(to.Source)
	}
	h.acceptItems(r, x, head, grant, b)
	if b.allReplayed() {
		w.Header().Set(pillarbox.HeaderReplayed, "true")
	}
	if accepted := b.countAccepted(); strict && (accepted == 0 || accepted == len(b.results)) {
		w.Header().Set("Preference-Applied", handlingStrict)
	}
	return b.writeResults(w, form, to.Source)
}

// checkItems asks the source about each good item.
func (b *batch) checkItems(from *source.Source) {
	for i := range b.items {
		if it := &b.items[i]; it.err == nil {
			it.err = from.CheckItem(it.body)
		}
	}
}

// handlingStrict asks that a batch is accepted as a whole or not at all (RFC 7240, section 4.4).
const handlingStrict = "handling=strict"

// wantsAllOrNothing reads the first preference about handling, which is the one that counts.
func wantsAllOrNothing(r *http.Request) bool {
	for value := range preferences(r, "handling") {
		return strings.EqualFold(value, "strict")
	}
	return false
}

// refuseAllForOne refuses the good items too where there is one that can't be accepted. What the
// queue refuses afterwards may still part a batch, where it spans several of its own calls.
func (b *batch) refuseAllForOne(from *source.Source) {
	bad := 0 // the number of the first
	for i := range b.items {
		if it := &b.items[i]; it.err == nil {
			it.err = from.CheckBody(len(it.body))
		}
		if b.items[i].err != nil && bad == 0 {
			bad = i + 1
		}
	}
	if bad == 0 {
		return
	}
	other := &protocol.Error{Status: http.StatusFailedDependency, Detail: fmt.Sprintf(
		"not stored: item %d is refused, and the batch asks for all or nothing (Prefer: %s)", bad, handlingStrict)}
	for i := range b.items {
		if b.items[i].err == nil {
			b.items[i].err = other
		}
	}
}

func (b *batch) countAccepted() (n int) {
	for _, result := range b.results {
		if result.Err == nil {
			n++
		}
	}
	return n
}

// allReplayed reports whether nothing new was stored, because all of it was before.
func (b *batch) allReplayed() bool {
	return !slices.ContainsFunc(b.results, func(r ingest.Result) bool { return !r.Replayed })
}

func batchForm(from *source.Source, contentType string) (string, error) {
	form, _, err := mime.ParseMediaType(contentType)
	switch {
	case from.IsEventBatch(contentType):
		return protocol.TypeJSON, nil
	case err == nil && (form == protocol.TypeJSON || form == protocol.TypeNDJSON):
		return form, nil
	case err == nil && (form == "application/jsonl" || form == "application/ndjson" ||
		form == "application/jsonlines"):
		return protocol.TypeNDJSON, nil
	}
	return "", &protocol.Error{Status: http.StatusUnsupportedMediaType,
		Detail: "a batch is " + protocol.TypeNDJSON + " (one JSON value a line) or " + protocol.TypeJSON + " (an array), of CloudEvents " + source.TypeEventBatch + "; set Content-Type"}
}

// acceptItems fills in the results.
func (h *Handler) acceptItems(r *http.Request, x *exchange, head *source.Head, grant source.Grant, b *batch) {
	for _, it := range b.items {
		if it.err == nil {
			b.bodies = append(b.bodies, it.body)
		}
	}
	grant.Source().Metrics().Events(telemetry.IngestInvalid, len(b.items)-len(b.bodies))
	if len(b.bodies) > 0 {
		all := h.newRequest(r, x, head, grant)
		all.ContentType = protocol.TypeJSON
		if grant.Source().IsEventBatch(r.Header.Get("Content-Type")) {
			all.ContentType = source.TypeEvent
		}
		b.accepted = h.opts.Acceptor.AcceptBatch(context.WithoutCancel(r.Context()), all, b.bodies,
			b.accepted)
	}
	b.merge()
	for _, result := range b.results {
		if result.Err != nil && protocol.StatusOf(result.Err) == http.StatusInternalServerError {
			h.opts.Logger.Error("item of a batch failed", telemetry.InTrace(x.span, telemetry.KeySource, grant.Source().Name,
				telemetry.KeyErr, result.Err)...)
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

// writeResults answers so that a sender which only looks at the status is not deceived: 202 if all
// was accepted, 207 if something was, and 422 if nothing was. But where nothing was and the fault
// is ours for any item, the batch fails with it, because the same batch may then succeed later.
func (b *batch) writeResults(w http.ResponseWriter, form string, from *source.Source) (int, error) {
	var ours error // the first failure that is not the sender's
	for _, result := range b.results {
		if result.Err != nil && protocol.StatusOf(result.Err) >= http.StatusInternalServerError {
			ours = result.Err
			break
		}
	}
	status := http.StatusMultiStatus
	switch b.countAccepted() {
	case len(b.results):
		status = http.StatusAccepted
	case 0:
		if ours != nil {
			return 0, ours
		}
		status = http.StatusUnprocessableEntity
	}
	for _, result := range b.results {
		if result.Err != nil {
			from.Metrics().Refused(protocol.StatusOf(result.Err), 1)
		}
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

// byteOrderMark stands in front of files that some editors and exports make. It is no part of the
// JSON, and a parser may ignore it (RFC 8259, section 8.1).
var byteOrderMark = []byte("\uFEFF")

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

// splitLines cuts NDJSON. Blank lines are skipped, and so is a byte order mark at the start of a
// line, where files were put together; a line that is no JSON value is reported in its place.
func splitLines(items []item, body []byte, limit int) ([]item, error) {
	start := 0 // of the line, in the body
	for number := 1; start < len(body); number++ {
		line, _, _ := bytes.Cut(body[start:], newline)
		at := part{in: body, start: start, end: start + len(line)}
		start = at.end + len(newline)
		if at.skip(byteOrderMark); len(at.bytes()) == 0 {
			continue
		}
		if len(items) == limit {
			return items, tooMany(limit)
		}
		items = append(items, at.item("line", number))
	}
	return items, nil
}

// part is a stretch of a body, which knows where it is.
type part struct {
	in         []byte
	start, end int
}

// bytes are its content without the space around it.
func (p *part) bytes() []byte { return trimSpace(p.in[p.start:p.end]) }

// skip leaves out what it begins with.
func (p *part) skip(prefix []byte) {
	if bytes.HasPrefix(p.in[p.start:p.end], prefix) {
		p.start += len(prefix)
	}
}

// trim leaves out the space around it.
func (p *part) trim() {
	p.end = p.start + len(bytes.TrimRight(p.in[p.start:p.end], protocol.JSONSpace))
	p.start = p.end - len(bytes.TrimLeft(p.in[p.start:p.end], protocol.JSONSpace))
}

// item is the content, if it is a JSON value.
func (p *part) item(what string, number int) item {
	body := p.bytes()
	if jsontext.Valid(body) {
		return item{body: body}
	}
	p.trim()
	return item{err: protocol.Invalid("%s %d is no JSON value: %s", what, number, p.fault())}
}

// fault is what is wrong with the content, and at which byte of the body, counted from 1.
func (p *part) fault() string {
	var value json.RawMessage
	err := json.Unmarshal(p.in[p.start:p.end], &value)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return fmt.Sprintf("it begins at byte %d", p.start+1)
	}
	return fmt.Sprintf("%v, at byte %d of the body", err, max(p.start+1, p.start+int(syntax.Offset)))
}

// splitArray cuts a JSON array at its top-level commas without looking into the elements, so that
// an element which is no JSON value can be reported in its place and the good ones are kept. Where
// brackets or strings don't end, nothing can be told apart, and the whole batch is refused.
func splitArray(items []item, body []byte, limit int) ([]item, error) {
	array := part{in: body, end: len(body)}
	array.skip(byteOrderMark)
	array.trim()
	if err := array.checkEnds(); err != nil {
		return items, err
	}
	array.start, array.end = array.start+1, array.end-1
	cuts, err := array.topLevelCommas(limit)
	if err != nil || len(cuts) == 0 && len(array.bytes()) == 0 {
		return items, err
	}
	start := array.start
	for _, cut := range append(cuts, array.end) {
		element := part{in: body, start: start, end: cut}
		items = append(items, element.item("item", len(items)+1))
		start = cut + 1
	}
	return items, nil
}

// checkEnds looks for the brackets of an array.
func (p *part) checkEnds() error {
	text := p.in[p.start:p.end]
	switch {
	case len(text) == 0:
		return protocol.Invalid("the body is empty; want a JSON array")
	case text[0] != '[':
		return protocol.Invalid("the body is no JSON array: it begins with %q at byte %d, want [ (or send %s, one value a line)",
			text[0], p.start+1, protocol.TypeNDJSON)
	case len(text) < 2 || text[len(text)-1] != ']':
		return protocol.Invalid("the body is no complete JSON array: it ends with %q at byte %d, want ]",
			text[len(text)-1], p.end)
	}
	return nil
}

// topLevelCommas returns where in the body the commas between the elements are.
func (p *part) topLevelCommas(limit int) (cuts []int, err error) {
	depth, inString := 0, false
	inner := p.in[:p.end]
	opened := p.start // the last string that began
	for i := p.start; i < len(inner); i++ {
		switch c := inner[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString, opened = !inString, i
		case inString:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth < 0 {
				return nil, protocol.Invalid("the JSON array has a closing bracket too many at byte %d", i+1)
			}
		case c == ',' && depth == 0:
			if cuts = append(cuts, i); len(cuts) == limit {
				return nil, tooMany(limit)
			}
		}
	}
	switch {
	case inString:
		return nil, protocol.Invalid("the JSON array ends inside the string that begins at byte %d",
			opened+1)
	case depth != 0:
		return nil, protocol.Invalid("the JSON array ends inside %d brackets that are not closed", depth)
	}
	return cuts, nil
}
