package telemetry

import (
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// methods is the closed set of the label; the last one stands for everything else.
var methods = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT",
	"TRACE", "other"}

// Method is the name of a method as labels and spans have it: "other" for what none of them is.
func Method(method string) string { return methods[methodIndex(method)] }

func methodIndex(method string) int {
	if index := slices.Index(methods[:], method); index >= 0 {
		return index
	}
	return len(methods) - 1
}

// maxCode bounds the label: a status code has three digits, and none of ours is above 599.
const maxCode = 599

// Route measures the requests to one route.
type Route struct {
	metrics *Metrics
	name    string
	seconds Observer
	// Counters are made when first needed, because few of the combinations ever occur.
	requests [len(methods)]atomic.Pointer[codes]
}

type codes [maxCode + 1]atomic.Pointer[Counter]

// Route returns the measures of a route, by its template. It is to be called when the server is set
// up, never with anything that a client sent.
func (m *Metrics) Route(template string) *Route {
	if m == nil {
		return nil
	}
	return &Route{metrics: m, name: template, seconds: m.histograms[httpSeconds](template)}
}

// Begin counts a request as in flight. Each Begin needs one Done.
func (r *Route) Begin() { r.BeginMany(1) }

// BeginMany counts n requests as in flight.
func (r *Route) BeginMany(n int) {
	if r != nil {
		r.metrics.inFlight.Add(float64(n))
	}
}

// Done counts a request that Begin counted as answered. Codes outside 100 to 599 count as 500.
func (r *Route) Done(method string, code int,
	took time.Duration) {
	r.DoneMany(method, code, took, 1)
}

// DoneMany counts n requests that were answered alike, after the same time.
func (r *Route) DoneMany(method string, code int, took time.Duration, n int) {
	if r == nil {
		return
	}
	r.metrics.inFlight.Sub(float64(n))
	r.counter(method, code).Add(float64(n))
	for range n {
		r.seconds.Observe(took.Seconds())
	}
}

// DoneIn is Done for a request of a recorded trace.
func (r *Route) DoneIn(traceID, method string, code int, took time.Duration) {
	if r == nil {
		return
	}
	r.metrics.inFlight.Sub(1)
	r.counter(method, code).Add(1)
	r.seconds.ObserveIn(traceID, took.Seconds())
}

func (r *Route) counter(method string, code int) Counter {
	if code < 100 || code > maxCode {
		code = 500
	}
	index := methodIndex(method)
	byCode := r.requests[index].Load()
	if byCode == nil {
		r.requests[index].CompareAndSwap(nil, new(codes))
		byCode = r.requests[index].Load()
	}
	counter := byCode[code].Load()
	if counter == nil {
		made := r.metrics.counters[httpRequests](r.name, methods[index], strconv.Itoa(code))
		counter = &made
		byCode[code].Store(counter)
	}
	return *counter
}
