package express

import (
	"cmp"
	"errors"
	"time"

	"pillarbox"
	"pillarbox/internal/framing"
	"pillarbox/internal/ingest"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
)

// maxBody is the largest body that the loop reads itself. A larger one is handed over: it would
// make the others wait, and its own costs hide what a goroutine costs.
const maxBody = 256 << 10

// maxEncoded is the largest body with a Content-Encoding that the loop reads itself: decoding takes
// time in which the others wait.
const maxEncoded = 16 << 10

// take takes the complete requests at the start of b, and returns how many bytes they have.
func (l *loop) take(c *conn, b []byte) (used int) {
	for used < len(b) && c.state.reads() {
		if c.taken == maxShare || l.full() {
			c.advance(eventFull)
			return used
		}
		size := l.takeOne(c, b[used:])
		if size == 0 {
			return used
		}
		used += size
	}
	return used
}

// takeOne takes one request, and returns how many bytes it has. A head that comes in pieces is
// parsed when its empty line is there, and until then each byte is looked at once.
func (l *loop) takeOne(c *conn, b []byte) int {
	if b[0] == '\r' || b[0] == '\n' {
		return l.takeBlank(c, b)
	}
	if c.scan.Begun() && c.need == 0 && !l.scan(c, b) {
		return 0
	}
	switch l.head.parse(b) {
	case headUnusual:
		c.advance(eventUnusual)
	case headRefused:
		l.refuseHead(c, l.head.refusal)
	case headPlain:
		return l.takePlain(c, b)
	case headPartial:
		if len(b) >= len(post) {
			_, _ = c.scan.Next(b) // what it would refuse was refused
		}
		l.headIncomplete(c, b)
	}
	return 0
}

// takeBlank takes the one empty line that may stand before a request (RFC 9112, section 2.2).
func (l *loop) takeBlank(c *conn, b []byte) int {
	switch {
	case b[0] == '\r' && !c.blank && len(b) == 1:
		return 0
	case b[0] == '\r' && !c.blank && b[1] == '\n':
		c.blank = true
		return 2
	}
	l.head.path = nil
	l.refuseHead(c, framing.ErrSecondEmptyLine)
	return 0
}

// scan looks at what is new of a head, and reports whether it is complete.
func (l *loop) scan(c *conn, b []byte) bool {
	before := c.scan.Looked()
	complete, err := c.scan.Next(b)
	l.head.looked += int64(c.scan.Looked() - before)
	switch {
	case err != nil:
		l.head.path = nil
		l.refuseHead(c, err)
	case !complete:
		l.headIncomplete(c, b)
	}
	return complete
}

// headIncomplete waits for more of a head, unless that would be too much.
func (l *loop) headIncomplete(c *conn, b []byte) {
	switch {
	case len(b) > l.opts.MaxHeaderBytes:
		l.head.path = nil
		l.refuseHead(c, framing.ErrHeadTooLarge)
	case len(b) >= maxPartialHead:
		c.advance(eventUnusual)
	}
}

// takePlain takes a request whose head was parsed, once its body is there.
func (l *loop) takePlain(c *conn, b []byte) int {
	h := &l.head
	route := c.route // a request goes on with the table that it began with
	if c.need == 0 {
		route = l.routeOf(h)
	}
	if h.Size > l.opts.MaxHeaderBytes {
		l.refuseHead(c, framing.ErrHeadTooLarge)
		return 0
	}
	if route == nil || h.Length > min(route.Source.MaxBody, maxBody) ||
		h.encoding != nil && h.Length > maxEncoded {
		c.advance(eventUnusual)
		return 0
	}
	size := h.Size + int(h.Length)
	if len(b) < size {
		if c.need == 0 && !l.admit(c, route) {
			return 0
		}
		c.need, c.route = size, route
		if c.bodyDue, c.progress = 0, 0; l.opts.MinBodyRate > 0 {
			c.bodyDue = l.mono + int64(l.opts.BodyGrace)
		}
		return 0
	}
	if !l.add(c, route, b[h.Size:size]) {
		return 0
	}
	if h.last {
		c.advance(eventLast)
	}
	return size
}

// routeOf finds where a request leads, once for each: a signature of the canary counts once.
func (l *loop) routeOf(h *head) *source.Route {
	table := l.opts.Sources.Table()
	if text(h.path) == source.CanaryPath {
		for _, f := range h.Fields {
			if l.names.canonical(f.Name) == source.CanarySignature {
				return cmp.Or(table.Canary(text(f.Value)), table.Single(text(h.path)))
			}
		}
	}
	return table.Single(text(h.path))
}

// admit asks the source before the body is there, and refuses the request if it is not to come in.
func (l *loop) admit(c *conn, route *source.Route) bool {
	fields := len(l.fields)
	l.sourceHead = l.headOf(c, l.header())
	defer func() { l.fields = l.fields[:fields] }() // the head is parsed again when the body is there
	var err error
	if c.admitted, err = route.Source.Admit(&l.sourceHead); err == nil {
		return true
	}
	if errors.Is(err, source.ErrMustWait) {
		c.advance(eventUnusual)
		return false
	}
	c.route = route
	l.refuse(c, err)
	it := &l.items[len(l.items)-1]
	it.lines, it.sight = route.Source.OriginLines(l.sourceHead.Header), l.see(l.sourceHead.Header)
	return false
}

// header is that of the head that was parsed. Its texts point into the buffer.
func (l *loop) header() pillarbox.Header {
	first := len(l.fields)
	for _, f := range l.head.Fields {
		l.fields = append(l.fields, pillarbox.HeaderField{Name: l.names.canonical(f.Name),
			Value: text(f.Value)})
	}
	return l.fields[first:len(l.fields):len(l.fields)]
}

func (l *loop) headOf(c *conn, header pillarbox.Header) source.Head {
	head := source.Head{Method: "POST", Path: text(l.head.path), Query: text(l.head.query), RemoteAddr: c.addr, Header: header, Certificate: c.certificate}
	if c.trusted {
		head.RemoteAddr = l.opts.Trusted.Client(c.addr, header)
	}
	if l.head.encoding != nil {
		l.encoding[0] = text(l.head.encoding)
		head.ContentEncoding = l.encoding[:]
	}
	return head
}

// grant asks the source about a request that is complete.
func (l *loop) grant(c *conn, route *source.Route, header pillarbox.Header,
	body []byte) (source.Grant, []byte, error) {
	l.sourceHead = l.headOf(c, header)
	if c.need > 0 {
		return c.admitted.One(&l.sourceHead, body)
	}
	return route.Source.AdmitOne(&l.sourceHead, body)
}

// add makes a request of the head that was parsed. Its texts point into the buffer. It returns false
// where another front has to answer it.
func (l *loop) add(c *conn, route *source.Route, body []byte) bool {
	h, fields := &l.head, len(l.fields)
	header := l.header()
	grant, body, err := l.grant(c, route, header, body)
	if err != nil && errors.Is(err, source.ErrMustWait) {
		l.fields = l.fields[:fields]
		c.advance(eventUnusual)
		return false
	}
	c.taken++
	c.advance(eventRequest)
	l.items = append(l.items, item{conn: c, route: route, begun: c.begun, err: err,
		lines: route.Source.OriginLines(header), sight: l.see(header)})
	c.need, c.route, c.admitted, c.begun = 0, nil, source.Admission{}, l.mono
	c.scan, c.blank = framing.Scan{}, false
	if err != nil {
		return true
	}
	l.bytes += len(body)
	it := &l.items[len(l.items)-1]
	if l.opts.Traces != nil {
		l.record(it, header)
	}
	l.requests = append(l.requests, ingest.Request{
		Span: it.span, Grant: grant, Method: "POST", Path: text(h.path), Query: text(h.query),
		Header: header, ContentType: text(h.contentType),
		RemoteAddr: l.sourceHead.RemoteAddr, Traceparent: text(h.traceparent), Body: body,
	})
	return true
}

// record begins the span of a request that was let in, where it is to be recorded.
func (l *loop) record(it *item, header pillarbox.Header) {
	parent := ingest.ValidTraceparent(text(l.head.traceparent))
	if !l.opts.Traces.Records(parent) {
		return
	}
	it.span = l.opts.Traces.Request(telemetry.TracedRequest{
		Method: "POST", Route: it.route.Path, Source: it.route.Source.Name, Traceparent: parent,
		Tracestate: header.Tracestate(), Began: l.start.Add(time.Duration(it.begun)),
	})
}

// refuseHead refuses the request whose head was read, as far as it was.
func (l *loop) refuseHead(c *conn, why error) {
	c.route = l.opts.Sources.Table().Single(text(l.head.path))
	l.refuse(c, why)
}

// refuse answers with an error and closes.
func (l *loop) refuse(c *conn, err error) {
	l.answerError(c, err)
	c.advance(eventRefused)
}

// answerError gives the request at the start of the connection's buffer an error for an answer.
func (l *loop) answerError(c *conn, err error) {
	l.items = append(l.items, item{conn: c, route: c.route, begun: c.begun, err: err})
}
