package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Limits of a run.
const (
	maxConnections = 20_000
	maxRate        = 10_000_000
	maxDuration    = 48 * time.Hour

	dialTimeout   = 5 * time.Second
	defaultErrors = 1000
	defaultGrace  = 5 * time.Second
)

// Options say what is sent, where to, and how. Address, Request, Connections and Duration are
// needed.
type Options struct {
	Address     string  // host:port
	Request     []byte  // as Request.Encode makes it
	Connections int     // at the same time
	Rate        float64 // requests per second of an open loop; 0 is a closed loop
	Duration    time.Duration
	Threads     int           // threads of the event loops; default half of the processors, since the server needs the others
	TLS         *tls.Config   // nil: none
	Grace       time.Duration // how long answers are waited for when the duration is over; default 5 s
	MaxErrors   int           // connections that fail before the run gives up; default 1000
	Serials     *Serials      // what Serial stands for; nil: numbers that no other request has

	serialAt int // where Serial stands in Request; -1 for nowhere
}

func (o Options) withDefaults() Options {
	if o.Threads == 0 {
		o.Threads = max(runtime.NumCPU()/2, 1)
	}
	o.Threads = min(o.Threads, o.Connections)
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.MaxErrors == 0 {
		o.MaxErrors = defaultErrors
	}
	o.serialAt = bytes.Index(o.Request, []byte(Serial))
	return o
}

func (o Options) validate() error {
	switch {
	case o.Address == "":
		return errors.New("load: Address is missing")
	case len(o.Request) == 0:
		return errors.New("load: Request is missing")
	case o.Connections < 1 || o.Connections > maxConnections:
		return fmt.Errorf("load: Connections %d: want 1 to %d", o.Connections, maxConnections)
	case !(o.Rate >= 0 && o.Rate <= maxRate): // this way round it refuses NaN as well
		return fmt.Errorf("load: Rate %v: want 0 to %d", o.Rate, maxRate)
	case o.Duration <= 0 || o.Duration > maxDuration:
		return fmt.Errorf("load: Duration %v: want up to %v", o.Duration, maxDuration)
	case o.Threads < 1:
		return fmt.Errorf("load: Threads %d: want 1 or more", o.Threads)
	}
	return nil
}

// Result is what a run has seen.
type Result struct {
	Answers    uint64         // all that came, with whatever status
	Late       uint64         // of those, the ones that came when the duration was over
	Statuses   map[int]uint64 // answers by status class: 2 is 200 to 299
	Errors     uint64         // connections that broke; the request on it has no answer
	Unanswered uint64         // requests whose answer had not come when the grace was over
	Unsent     uint64         // open loop: requests that were due and never found a free connection
	FirstError error
	Duration   time.Duration
	Latency    Histogram
	// Lag is, in an open loop, how much later than due a request went out although a connection was
	// free. It is the fault of the generator or of a busy machine, and is part of Latency.
	Lag Histogram
}

// PerSecond is the rate of answers within the duration.
func (r *Result) PerSecond() float64 {
	return float64(r.Answers-r.Late) / r.Duration.Seconds()
}

// Failed counts what is not an answer of 200 to 299.
func (r *Result) Failed() uint64 {
	return r.Answers - r.Statuses[2] + r.Errors + r.Unanswered + r.Unsent
}

func newResult(duration time.Duration) *Result {
	return &Result{Statuses: map[int]uint64{}, Duration: duration}
}

func (r *Result) add(other *Result) {
	r.Answers += other.Answers
	r.Late += other.Late
	r.Errors += other.Errors
	r.Unanswered += other.Unanswered
	r.Unsent += other.Unsent
	for class, n := range other.Statuses {
		r.Statuses[class] += n
	}
	if r.FirstError == nil {
		r.FirstError = other.FirstError
	}
	r.Latency.Add(&other.Latency)
	r.Lag.Add(&other.Lag)
}

// fail notes a broken connection. It reports whether the run goes on.
func (r *Result) fail(err error, maxErrors int) bool {
	r.Errors++
	if r.FirstError == nil {
		r.FirstError = err
	}
	return r.Errors < uint64(maxErrors)
}

// driver runs a share of the connections, and of the rate, until the end.
type driver func(ctx context.Context, o Options) (*Result, error)

// Run sends until the duration is over or ctx ends, and waits for the answers under way. An error
// means that nothing was measured, as when nobody listens at the address; single failures are
// counted in the result.
func Run(ctx context.Context, o Options) (*Result, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	return runWith(ctx, o, drive)
}

// runWith splits the connections among the threads.
func runWith(ctx context.Context, o Options, drive driver) (*Result, error) {
	total := newResult(o.Duration)
	var mu sync.Mutex // guards total and failure
	var failure error
	var threads sync.WaitGroup
	for i := range o.Threads {
		share := o
		share.Connections = o.Connections/o.Threads + boolInt(i < o.Connections%o.Threads)
		share.Rate = o.Rate * float64(share.Connections) / float64(o.Connections)
		threads.Go(func() {
			result, err := drive(ctx, share)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failure = errors.Join(failure, err)
				return
			}
			total.add(result)
		})
	}
	threads.Wait()
	if failure != nil {
		return nil, fmt.Errorf("load on %s: %w", o.Address, failure)
	}
	return total, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
