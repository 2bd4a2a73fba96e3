// Package canary sends a synthetic event through the public door and waits until every destination that
// is to have it, has it: it tries the whole way, and says how long each part of it took.
//
// It promises that what it reports as stored was read back as such from the server's account of the
// event, and that what it does not know it reports as that. It sends one event for each run, and cleans
// nothing up: an event is an event. Whoever does not want it among others gives it a source of its own.
package canary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/posting"
)

// Defaults.
const (
	DefaultTimeout = 30 * time.Second // until all destinations are to have the event

	firstPoll   = 20 * time.Millisecond // until the server is asked what became of it; each time twice as long
	longestPoll = time.Second
)

// Header marks the event of a canary.
const Header = pillarbox.CanaryHeader

// Options of a run. Sender and Story are required.
type Options struct {
	Sender *posting.Sender
	// Story asks the server what became of an event.
	Story   func(ctx context.Context, requestID string) (*adminapi.Trace, error)
	Timeout time.Duration // 0 is DefaultTimeout
	Now     func() time.Time
}

// Result is what a run has found out. Times are in seconds, from the moment of sending.
type Result struct {
	RequestID    string        `json:"request_id,omitempty"`
	SentAt       string        `json:"sent_at"`
	Accepted     float64       `json:"accepted_seconds"`
	Destinations []Destination `json:"destinations"`
	OK           bool          `json:"ok"`
	Reason       string        `json:"reason,omitempty"` // why not
}

// Destination is where the event stood in the end.
type Destination struct {
	Destination string  `json:"destination"`
	State       string  `json:"state"`
	Seconds     float64 `json:"seconds"` // until it was seen there; the server is asked every now and then
}

// Run sends one event. A run that finds something wrong is no error: see Result.
func Run(ctx context.Context, options Options) (*Result, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Timeout <= 0 {
		options.Timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, options.Timeout)
	defer cancel()
	begun := options.Now()
	r := &run{Options: options, begun: begun, result: &Result{SentAt: pillarbox.TimestampOf(begun).String(), Destinations: []Destination{}}}
	body, err := json.Marshal(map[string]string{"pillarbox": "canary", "sent_at": r.result.SentAt})
	if err != nil {
		return nil, err
	}
	answer := options.Sender.Send(ctx, body)
	r.result.Accepted = r.since()
	switch {
	case answer.Err != nil:
		r.result.Reason = "it was not answered: " + answer.Err.Error()
		return r.result, nil
	case !answer.Accepted():
		r.result.Reason = "it was not accepted: " + answer.Refusal
		return r.result, nil
	}
	r.result.RequestID = answer.Receipt.RequestID
	r.wait(ctx)
	return r.result, nil
}

type run struct {
	Options
	begun  time.Time
	result *Result
}

func (r *run) since() float64 { return r.Now().Sub(r.begun).Seconds() }

// wait asks until nothing is pending any more, or the time is over.
func (r *run) wait(ctx context.Context) {
	seen, last := map[string]float64{}, error(nil)
	for pause := firstPoll; ; pause = min(2*pause, longestPoll) {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			r.end(ctx, last)
			return
		case <-timer.C:
		}
		story, err := r.Story(ctx, r.result.RequestID)
		if last = err; err != nil {
			continue // it may not be there yet, or nobody answers just now
		}
		if r.look(story, seen); r.settled() {
			r.end(ctx, nil)
			return
		}
	}
}

func (r *run) look(story *adminapi.Trace, seen map[string]float64) {
	r.result.Destinations = r.result.Destinations[:0]
	for _, d := range story.Deliveries {
		at, known := seen[d.Destination+" "+d.State]
		if !known {
			at = r.since()
			seen[d.Destination+" "+d.State] = at
		}
		r.result.Destinations = append(r.result.Destinations, Destination{d.Destination, d.State, at})
	}
}

func (r *run) settled() bool {
	return !slices.ContainsFunc(r.result.Destinations, func(d Destination) bool { return d.State == pillarbox.StatePending || d.State == "held" })
}

// end says whether all is well.
func (r *run) end(ctx context.Context, last error) {
	var late, wrong []string
	stored := 0
	for _, d := range r.result.Destinations {
		switch d.State {
		case pillarbox.StateStored:
			stored++
		case "skipped":
		case pillarbox.StatePending, "held":
			late = append(late, d.Destination)
		default:
			wrong = append(wrong, fmt.Sprintf("%s: %s", d.Destination, d.State))
		}
	}
	switch {
	case last != nil && !errors.Is(last, context.DeadlineExceeded):
		r.result.Reason = "what became of it is not known: " + last.Error()
	case len(wrong) > 0:
		r.result.Reason = "it was not stored: " + strings.Join(wrong, ", ")
	case len(late) > 0:
		r.result.Reason = fmt.Sprintf("it is not stored yet after %s: %s", r.Timeout, strings.Join(late, ", "))
	case len(r.result.Destinations) == 0:
		r.result.Reason = "what became of it is not known: nobody has answered in time"
	case stored == 0:
		r.result.Reason = "every destination skips it: nothing was tried behind the queue"
	default:
		r.result.OK = true
	}
}
