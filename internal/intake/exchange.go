package intake

import (
	"net/http"
	"strconv"
	"time"

	"pillarbox"
	"pillarbox/internal/ingest"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
)

// exchange is a request and what is known of its answer.
type exchange struct {
	to        *source.Route // nil where there is no source
	began     time.Time
	span      *telemetry.Span // nil where nothing is recorded, and before a source has let the request in
	requestID string          // of the one event that was accepted
}

// record begins the span of a request that a source has let in.
func (h *Handler) record(r *http.Request, x *exchange, header pillarbox.Header) {
	if h.opts.Traces == nil {
		return
	}
	parent := ingest.ValidTraceparent(r.Header.Get("Traceparent"))
	if !h.opts.Traces.Records(parent) {
		return
	}
	x.span = h.opts.Traces.Request(telemetry.TracedRequest{
		Method: telemetry.Method(r.Method), Route: x.to.Path, Source: x.to.Source.Name, Traceparent: parent,
		Tracestate: header.Tracestate(), Began: x.began,
	})
}

// logAccess writes the line of the answer. The path of what is no route is that which came: nothing
// but the log tells of it.
func (h *Handler) logAccess(w http.ResponseWriter, r *http.Request, x *exchange, status int, ended time.Time) {
	entry := telemetry.AccessEntry{
		Began: x.began, Took: ended.Sub(x.began), Client: h.opts.Trusted.Client(addressOf(r), headerOf(r)), Method: r.Method,
		Path: r.URL.EscapedPath(), Proto: r.Proto, Status: status, RequestID: x.requestID, TraceID: x.span.TraceID(),
		Referer: r.Referer(), UserAgent: r.UserAgent(),
	}
	if x.to != nil {
		entry.Path, entry.Source = x.to.Path, x.to.Source.Name
	}
	if length, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64); err == nil && r.Method != http.MethodHead {
		entry.Bytes = length
	}
	h.opts.Access.Answered(&entry)
}
