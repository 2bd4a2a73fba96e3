package express

import (
	"bytes"

	"pillarbox/internal/framing"
)

// headKind is what the parser makes of the bytes that are there.
type headKind int

const (
	headPartial headKind = iota // it is not complete yet
	headPlain                   // of a request that the loop answers itself
	headUnusual                 // net/http decides: the connection is handed over
	headRefused                 // its end can be read in two ways: refused here
)

// Limits of a head that the loop reads itself. What is over them is handed over.
const (
	maxHead        = 8 << 10  // bytes of a plain one
	maxFields      = 64       // of a plain one, without Host
	maxPartialHead = 64 << 10 // bytes of one that is awaited here
)

// head is a parsed request. Its slices point into the buffer that was parsed.
type head struct {
	framing.Head
	path, query []byte
	contentType []byte
	traceparent []byte
	encoding    []byte // of the body; nil for none
	last        bool
	refusal     error // why it was refused
	looked      int64 // bytes that were looked at, of all heads; counted for the tests
}

// parse reads one request head from the start of b, by the rules of package framing, which hold for
// net/http too. Whatever is not a plain POST, but keeps to them, is unusual. What is no POST stores
// nothing, and is unusual from its first byte on.
func (h *head) parse(b []byte) headKind {
	h.path, h.query, h.contentType, h.traceparent, h.encoding, h.last, h.refusal = nil, nil, nil, nil, nil, false, nil
	if !bytes.HasPrefix(b, post[:min(len(b), len(post))]) {
		return headUnusual
	}
	complete, err := h.Read(b)
	switch {
	case err != nil:
		h.looked += int64(len(b))
		h.refusal = err
		_ = len(h.Target) > 0 && h.plainTarget() // for the measures, where it is known
		return headRefused
	case !complete:
		h.looked += int64(len(b))
		return headPartial
	}
	h.looked += int64(h.Size)
	unusual := h.Old || h.Chunked || h.Size > maxHead || len(h.Fields) > maxFields ||
		!plainHost(h.Host) || !h.plainTarget()
	for _, f := range h.Fields {
		unusual = h.note(f) || unusual
	}
	if unusual {
		return headUnusual
	}
	return headPlain
}

var post = []byte("POST ")

// plainTarget splits a target into path and query. It reports whether it is a plain one.
func (h *head) plainTarget() bool {
	if h.Target[0] != '/' || bytes.IndexByte(h.Target, '#') >= 0 {
		return false
	}
	h.path = h.Target
	if mark := bytes.IndexByte(h.Target, '?'); mark >= 0 {
		h.path, h.query = h.Target[:mark], h.Target[mark+1:]
	}
	return bytes.IndexByte(h.path, '%') < 0
}

// note looks at the names that say something about the request itself. Their lengths tell most
// others apart. It reports whether the field asks for what the loop does not do.
func (h *head) note(f framing.Field) (unusual bool) {
	switch len(f.Name) {
	case len("Content-Encoding"):
		if framing.EqualFold(f.Name, "content-encoding") {
			unusual = h.encoding != nil || !framing.EqualFold(f.Value, "gzip") && !framing.EqualFold(f.Value, "zstd")
			h.encoding = f.Value
		}
	case len("Expect"), len("Upgrade"): // Prefer and Pragma too
		for _, name := range unusualNames {
			unusual = unusual || framing.EqualFold(f.Name, name)
		}
	case len("Connection"):
		if framing.EqualFold(f.Name, "connection") {
			closing := framing.EqualFold(f.Value, "close")
			h.last = h.last || closing
			unusual = !closing && !framing.EqualFold(f.Value, "keep-alive")
		}
	case len("Traceparent"):
		if framing.EqualFold(f.Name, "traceparent") && h.traceparent == nil {
			h.traceparent = f.Value
		}
	case len("Content-Type"):
		if framing.EqualFold(f.Name, "content-type") && h.contentType == nil {
			h.contentType = f.Value
			unusual = len(f.Value) > len(eventBatch) && framing.EqualFold(f.Value[:len(eventBatch)], eventBatch)
		}
	}
	return unusual
}

// eventBatch begins the type of a batch of CloudEvents, which is one at the path of single events
// too.
const eventBatch = "application/cloudevents-batch"

// unusualNames are headers that ask for what the loop does not do. HTTP2-Settings comes with a
// Connection that says so. Pragma is here because net/http makes a Cache-Control of it.
var unusualNames = []string{"expect", "prefer", "pragma", "upgrade"}

// plainHost reports whether a Host is made of what names and addresses are made of. The rest
// net/http judges.
func plainHost(value []byte) bool {
	for _, c := range value {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '.', c == '-', c == ':', c == '_', c == '[', c == ']':
		default:
			return false
		}
	}
	return true
}
