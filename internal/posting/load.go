package posting

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// progressInterval is how often the progress bar moves.
const progressInterval = 200 * time.Millisecond

// Load sends many events over some connections and keeps the score.
type Load struct {
	Sender      *Sender
	Body        []byte // nil: a small JSON object with a running number
	Events      int
	Concurrency int
	Rate        float64   // events per second; 0 for as fast as it goes
	Receipts    *Receipts // nil keeps none
	Progress    io.Writer // where progress is drawn, if it is a terminal

	interval time.Duration // between two sends
	start    time.Time
	next     atomic.Int64

	mu        sync.Mutex
	summary   Summary
	latencies []time.Duration
}

// Run sends until everything is sent or ctx ends, and draws progress meanwhile. It is called once.
func (l *Load) Run(ctx context.Context) Summary {
	l.start, l.summary.Statuses = time.Now(), map[string]int{}
	if l.Rate > 0 {
		l.interval = time.Duration(float64(time.Second) / l.Rate)
	}
	finished := make(chan struct{})
	var drawing sync.WaitGroup
	if file, ok := l.Progress.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		drawing.Go(func() { l.draw(l.Progress, finished) })
	}
	var sending sync.WaitGroup
	for range min(l.Concurrency, l.Events) {
		sending.Go(func() { l.work(ctx) })
	}
	sending.Wait()
	close(finished)
	drawing.Wait()
	l.summary.Seconds = time.Since(l.start).Seconds()
	l.summary.PerSecond = float64(l.summary.Accepted) / l.summary.Seconds
	l.summary.Latency = latenciesOf(l.latencies)
	return l.summary
}

func (l *Load) work(ctx context.Context) {
	for ctx.Err() == nil {
		i := l.next.Add(1) - 1
		if i >= int64(l.Events) {
			return
		}
		// With a rate, latency counts from when the event was due, so that a server that stalls is not
		// excused from the events that it kept from being sent.
		due := time.Now()
		if l.interval > 0 {
			due = l.start.Add(time.Duration(i) * l.interval)
			if !sleepUntil(ctx, due) {
				return
			}
		}
		body := l.Body
		if body == nil {
			body = []byte(`{"n":` + strconv.FormatInt(i+1, 10) + `,"source":"pillarbox post"}`)
		}
		l.note(l.Sender.Send(ctx, body), time.Since(due))
	}
}

func sleepUntil(ctx context.Context, due time.Time) bool {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (l *Load) note(a Answer, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.summary.Sent++
	switch {
	case a.Unreached():
		l.summary.Unreached++
		l.fail(a.Err.Error())
		return
	case a.Err != nil:
		l.summary.Unknown++
		l.fail(a.Err.Error())
		return
	case !a.Accepted():
		l.fail(fmt.Sprintf("%d: %s", a.Status, a.Refusal))
	default:
		l.summary.Accepted++
	}
	l.summary.Statuses[strconv.Itoa(a.Status)]++
	l.latencies = append(l.latencies, took)
	l.Receipts.Add(a.Receipts())
}

func (l *Load) fail(text string) {
	if l.summary.FirstFail == "" {
		l.summary.FirstFail = text
	}
}

// draw moves a progress bar until finished is closed.
func (l *Load) draw(w io.Writer, finished <-chan struct{}) {
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	const width = 30
	for {
		l.mu.Lock()
		sent, accepted := l.summary.Sent, l.summary.Accepted
		l.mu.Unlock()
		full := width * sent / l.Events
		rate := float64(sent) / time.Since(l.start).Seconds()
		fmt.Fprintf(w, "\r[%s%s] %d of %d, %d accepted, %.0f/s ", strings.Repeat("#", full),
			strings.Repeat(".", width-full), sent, l.Events, accepted, rate)
		select {
		case <-finished:
			fmt.Fprintln(w)
			return
		case <-ticker.C:
		}
	}
}

// Summary is the result of a load.
type Summary struct {
	Sent      int            `json:"sent"`
	Accepted  int            `json:"accepted"`
	Unknown   int            `json:"unknown"`   // no answer came
	Unreached int            `json:"unreached"` // nobody listened, so they were not accepted
	Statuses  map[string]int `json:"statuses"`
	Seconds   float64        `json:"seconds"`
	PerSecond float64        `json:"accepted_per_second"`
	Latency   Latencies      `json:"latency_ms"`
	FirstFail string         `json:"first_failure,omitempty"`
}

// Latencies are in milliseconds.
type Latencies struct {
	Min float64 `json:"min"`
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func latenciesOf(all []time.Duration) Latencies {
	if len(all) == 0 {
		return Latencies{}
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		return float64(
			all[int(q*float64(len(all)-1))].Microseconds()) / 1000
	}
	return Latencies{Min: at(0), P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: at(1)}
}
