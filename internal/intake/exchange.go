package intake

import (
	"net/http"
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
