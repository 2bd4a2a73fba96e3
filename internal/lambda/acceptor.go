package lambda

import (
	"context"
	"errors"
	"net/http"
	"time"

	"pillarbox"
	"pillarbox/internal/ingest"
	"pillarbox/internal/protocol"
	"pillarbox/internal/source"
	"pillarbox/internal/xray"
)

// call is what the acceptor has to know of the invocation that it works for. One goroutine uses it.
type call struct {
	requestID   string    // that the gateway gave; empty for none
	trace       string    // that the event is a part of
	clientTrace string    // that the client sent; empty for none
	deadline    time.Time // at which Lambda ends the process
	limited     bool      // whether there is one

	measures *measures
	fault    error // the first that no client is to blame for
}

type callKey struct{}

// acceptor accepts for one invocation after the other.
type acceptor struct{ inner ingest.Acceptor }

// NewAcceptor makes what the handler of an Accept accepts with: ids and traces are those of the
// gateway, the queue is given up in time for an answer, and what the queue refuses is our fault and
// not that of a client.
func NewAcceptor(inner ingest.Acceptor) ingest.Acceptor { return &acceptor{inner: inner} }

// AcceptInto implements ingest.Acceptor.
func (a *acceptor) AcceptInto(ctx context.Context, requests []ingest.Request,
	results []ingest.Result) []ingest.Result {
	c, known := ctx.Value(callKey{}).(*call)
	if !known || len(requests) != 1 {
		panic("pillarbox: bug: an invocation without its call, or with several requests")
	}
	request := &requests[0]
	request.RequestID, request.Traceparent = c.requestID, c.trace
	ctx, cancel := c.within(ctx)
	defer cancel()
	defer c.countRemoved(request.Grant.Source())()
	results = a.inner.AcceptInto(ctx, requests, results)
	result := &results[0]
	if c.note(result); result.Err == nil {
		xray.Annotate(ctx, "request_id", result.Receipt.RequestID)
		xray.Annotate(ctx, "client_traceparent", c.clientTrace)
		c.count(result, len(request.Body))
	}
	return results
}

// AcceptBatch implements ingest.Acceptor. Items have ids of their own.
func (a *acceptor) AcceptBatch(ctx context.Context, all ingest.Request, bodies [][]byte,
	results []ingest.Result) []ingest.Result {
	c, known := ctx.Value(callKey{}).(*call)
	if !known {
		panic("pillarbox: bug: an invocation without its call")
	}
	all.Traceparent = c.trace
	ctx, cancel := c.within(ctx)
	defer cancel()
	defer c.countRemoved(all.Grant.Source())()
	results = a.inner.AcceptBatch(ctx, all, bodies, results)
	xray.Annotate(ctx, "client_traceparent", c.clientTrace)
	for i := range results {
		if c.note(&results[i]); results[i].Err != nil {
			c.measures.counts[metricRefused+"Items"]++
			continue
		}
		c.count(&results[i], len(bodies[i]))
	}
	return results
}

// within ends the work in time for a 503 that says when to come back, before Lambda kills the
// process. ctx has lost the deadline on its way through the handler, with what a client can cancel.
func (c *call) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if !c.limited {
		return context.WithCancel(ctx)
	}
	whole, cancel := context.WithDeadline(ctx, c.deadline)
	ctx, cancelShorter := within(whole, answerReserve)
	return ctx, func() { cancelShorter(); cancel() }
}

// countRemoved begins to count what is not kept of a request; the count ends with the call of what
// it returns.
func (c *call) countRemoved(from *source.Source) func() {
	before := from.RemovedInAll()
	return func() {
		if removed := from.RemovedInAll() - before; removed > 0 {
			c.measures.counts[metricRemoved] += int(removed)
		}
	}
}

// count counts what was accepted.
func (c *call) count(result *ingest.Result, bytes int) {
	if result.Replayed {
		c.measures.counts[metricReplayed]++
		return
	}
	c.measures.counts[metricAccepted]++
	c.measures.bytes += bytes
}

// note says of a result whose fault it is, and remembers the first that is ours.
func (c *call) note(result *ingest.Result) {
	if result.Err == nil {
		return
	}
	result.Err = ours(result.Err)
	if c.fault == nil && protocol.StatusOf(result.Err) >= http.StatusInternalServerError {
		c.fault = result.Err
	}
}

// ours makes a fault of ours of every error of the queue that speaks neither of the body's size,
// of an idempotency key nor of another time: nothing that a client sends can be the cause of a queue
// that is missing or was set up wrong.
func ours(err error) error {
	var said *protocol.Error // of the source, and of no queue
	status := protocol.StatusOf(err)
	if status >= http.StatusInternalServerError || status == http.StatusRequestEntityTooLarge ||
		errors.As(err, &said) || errors.Is(err, pillarbox.ErrKeyInFlight) ||
		errors.Is(err, pillarbox.ErrKeyReused) {
		return err
	}
	return protocol.Hide(err)
}
