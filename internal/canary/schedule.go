package canary

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/deliver"
	"pillarbox/internal/telemetry"
)

// Defaults and limits of a Schedule.
const (
	DefaultEvery = time.Minute
	// MaxWaiting is how many canaries may be on their way to one destination. While there are so
	// many, none is sent. The interval grows with their number, so that a destination which is down
	// for days does not keep the others from being tried.
	MaxWaiting = 100

	maxRemembered = 1000 // canaries of which is known what became of them
)

// ScheduleOptions are those of a Schedule. Post and Destinations are required.
type ScheduleOptions struct {
	Every   time.Duration // 0 is DefaultEvery
	Timeout time.Duration // until it is to be back from everywhere; 0 is DefaultTimeout
	// Post sends one canary through the public door. Errors: a *Refused where it was answered, and
	// not accepted.
	Post func(ctx context.Context) (pillarbox.Receipt, error)
	// Destinations are those that are configured now, each with whether it is sent a canary: the
	// others are not waited for.
	Destinations func() []To
	// Shared says that others deliver from the queue too: what is not heard of one may be known to
	// them.
	Shared  bool
	Now     func() time.Time // for dates; default time.Now
	Logger  *slog.Logger     // default: discard
	Metrics *telemetry.Canary
}

// To is a destination, and whether it is sent a canary.
type To struct {
	Name string
	Sent bool
}

// Refused is the answer of a door that does not take a canary.
type Refused struct{ Answer string }

func (r *Refused) Error() string { return r.Answer }

// Schedule sends a canary again and again, and hears from the loops what became of it. Its methods
// may be called concurrently, and on nil, which sends none.
type Schedule struct {
	opts    ScheduleOptions
	changed chan struct{} // holds a token when something was settled

	mu sync.Mutex
	// results are by request id and destination, of the last ones; order has the keys.
	results map[string]map[string]deliver.CanaryResult
	order   []string
	waiting map[string]map[string]bool // by destination: request ids on their way to it
	lost    map[string]int             // by destination: in a row
	refused int                        // in a row
	last    adminapi.CanaryStatus
}

// NewSchedule prepares one. It does nothing before Run.
func NewSchedule(opts ScheduleOptions) *Schedule {
	if opts.Every <= 0 {
		opts.Every = DefaultEvery
	}
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Schedule{
		opts:    opts,
		changed: make(chan struct{}, 1),
		results: map[string]map[string]deliver.CanaryResult{},
		waiting: map[string]map[string]bool{},
		lost:    map[string]int{},
		last: adminapi.CanaryStatus{OK: true, Text: "no canary has been sent yet",
			EverySeconds: opts.Every.Seconds(), Destinations: []adminapi.CanaryDestination{}},
	}
}

// Run sends canaries until ctx ends.
func (s *Schedule) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		began := time.Now() // of a clock that no one sets
		if most, at := s.most(); most < MaxWaiting {
			s.one(ctx)
		} else {
			s.hold(most, at)
		}
		s.rest(ctx, began)
	}
	return nil
}

// rest waits until the next canary. That is sooner when those that wait somewhere are settled.
func (s *Schedule) rest(ctx context.Context, began time.Time) {
	for {
		interval := s.interval()
		s.opts.Metrics.Interval(interval)
		timer := time.NewTimer(max(0, interval-time.Since(began)))
		select {
		case <-timer.C:
			return
		case <-s.changed:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// interval is the time between two canaries: the longer, the more of them wait somewhere.
func (s *Schedule) interval() time.Duration {
	most, _ := s.most()
	return s.opts.Every * time.Duration(max(1, most))
}

// most is the largest number of canaries on their way to a destination, and to which. What waits for one
// that is not configured any more keeps nobody up.
func (s *Schedule) most() (most int, destination string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, to := range s.opts.Destinations() {
		if n := len(s.waiting[to.Name]); n > most {
			most, destination = n, to.Name
		}
	}
	return most, destination
}

// hold says that none is sent.
func (s *Schedule) hold(most int, at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.last
	held.OK = false
	held.Text = fmt.Sprintf("no canary is sent: %d of them wait for the destination %s", most, at)
	s.finishLocked(held)
}

// Settled is told by a loop what became of canaries, whoever has sent them.
func (s *Schedule) Settled(destination string, results []deliver.CanaryResult) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, result := range results {
		back := result.State == deliver.CanaryReturned || result.State == deliver.CanarySent
		if result.State != deliver.CanaryNotSent {
			s.opts.Metrics.Settled(destination, string(result.State), back, result.Took,
				s.opts.Now())
		}
		if back {
			s.lost[destination] = 0
		}
		delete(s.waiting[destination], result.RequestID)
		s.rememberLocked(destination, result)
		if result.State != deliver.CanaryNotSent {
			s.standLocked(destination)
		}
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *Schedule) rememberLocked(destination string, result deliver.CanaryResult) {
	if s.results[result.RequestID] == nil {
		s.results[result.RequestID] = map[string]deliver.CanaryResult{}
		if s.order = append(s.order, result.RequestID); len(s.order) > maxRemembered {
			delete(s.results, s.order[0])
			s.order = s.order[1:]
		}
	}
	s.results[result.RequestID][destination] = result
}

func (s *Schedule) standLocked(destination string) {
	s.opts.Metrics.Standing(destination, uint64(len(s.waiting[destination])), s.lost[destination])
}

// Waiting is how many canaries of this server are on their way to a destination.
func (s *Schedule) Waiting(destination string) uint64 {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.waiting[destination]))
}

// Status is what became of the last one; nil where none is sent.
func (s *Schedule) Status() *adminapi.CanaryStatus {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.last
	last.Destinations = slices.Clone(last.Destinations)
	for i := range last.Destinations {
		last.Destinations[i].Waiting = uint64(len(s.waiting[last.Destinations[i].Destination]))
	}
	return &last
}

// one sends a canary, and waits until it is back.
func (s *Schedule) one(ctx context.Context) {
	sent, began := s.opts.Now(), time.Now()
	within, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	receipt, err := s.opts.Post(within)
	took := time.Since(began)
	if ctx.Err() != nil {
		return // the server stops: it says nothing about the door
	}
	if err != nil {
		s.notAccepted(sent, took, err)
		return
	}
	s.accepted(receipt.RequestID, took)
	for {
		select {
		case <-s.changed:
			if !s.isOver(receipt.RequestID) {
				continue
			}
		case <-within.Done():
		}
		break
	}
	if ctx.Err() == nil {
		s.over(receipt.RequestID, sent, took)
	}
}

func (s *Schedule) notAccepted(sent time.Time, took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	result, what := telemetry.CanaryUnanswered, "was not answered"
	if _, refused := err.(*Refused); refused {
		result, what = telemetry.CanaryRefused, "was not accepted"
	}
	s.refused++
	s.opts.Metrics.Run(result, took, s.refused)
	s.finishLocked(adminapi.CanaryStatus{SentAt: pillarbox.TimestampOf(sent),
		Text: fmt.Sprintf("the canary of %s %s: %v", clock(sent), what, err)})
}

// accepted begins to wait for one. What was settled before the receipt was here is known by then.
func (s *Schedule) accepted(id string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = 0
	s.opts.Metrics.Run(telemetry.CanaryAccepted, took, 0)
	for _, to := range s.opts.Destinations() {
		if _, settled := s.results[id][to.Name]; !settled {
			if s.waiting[to.Name] == nil {
				s.waiting[to.Name] = map[string]bool{}
			}
			s.waiting[to.Name][id] = true
		}
	}
	select { // all of it may be settled already
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *Schedule) isOver(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(
		s.opts.Destinations(),
		func(to To) bool { return to.Sent && s.waiting[to.Name][id] },
	)
}

// The states of a canary that has no result.
const (
	stateWaiting = "waiting" // it is not settled yet
	stateUnknown = "unknown" // another server may have delivered it, and knows
)

// over takes down where the canary stands.
func (s *Schedule) over(id string, sent time.Time, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := adminapi.CanaryStatus{
		OK:              true,
		SentAt:          pillarbox.TimestampOf(sent),
		AcceptedSeconds: took.Seconds(),
		Destinations:    []adminapi.CanaryDestination{},
	}
	for _, to := range s.opts.Destinations() {
		name := to.Name
		at := adminapi.CanaryDestination{Destination: name, State: stateWaiting}
		switch result, settled := s.results[id][name]; {
		case settled:
			at.State, at.Reason = string(result.State), result.Reason
			at.Seconds = max(0, result.Took.Seconds())
		case !to.Sent:
			at.State = string(deliver.CanaryNotSent)
		case s.opts.Shared:
			at.State, at.Reason = stateUnknown, "another server that shares the queue may know"
		default:
			at.Reason = fmt.Sprintf("it is not there and back after %s (canary.timeout)",
				s.opts.Timeout)
		}
		if s.opts.Shared { // others may have settled it, and tell nobody
			delete(s.waiting[name], id)
		}
		if isLost(at.State) {
			s.lost[name]++
			status.OK = false
		}
		if at.State != string(deliver.CanaryNotSent) {
			s.standLocked(name)
		}
		status.Destinations = append(status.Destinations, at)
	}
	status.Text = textOf(&status, sent)
	s.finishLocked(status)
}

func isLost(state string) bool {
	switch deliver.CanaryState(state) {
	case deliver.CanaryLost, deliver.CanaryLate, deliver.CanaryLeft, stateWaiting:
		return true
	}
	return false
}

// finishLocked keeps the status, and logs where it begins to be wrong, and where that ends.
func (s *Schedule) finishLocked(status adminapi.CanaryStatus) {
	was := s.last.OK
	status.EverySeconds = s.opts.Every.Seconds()
	if status.Destinations == nil {
		status.Destinations = []adminapi.CanaryDestination{}
	}
	s.last = status
	switch {
	case was && !status.OK:
		s.opts.Logger.Warn("the canary is not well", telemetry.KeyReason, status.Text)
	case !was && status.OK:
		s.opts.Logger.Info("the canary is well again", telemetry.KeyReason, status.Text)
	}
}

func clock(at time.Time) string { return at.UTC().Format("15:04:05Z") }

// textOf says in a sentence what became of a canary that was accepted.
func textOf(status *adminapi.CanaryStatus, sent time.Time) string {
	parts := []string{fmt.Sprintf("the canary of %s was accepted in %s", clock(sent),
		seconds(status.AcceptedSeconds))}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	for _, d := range status.Destinations {
		switch d.State {
		case string(deliver.CanaryReturned):
			add("back from %s in %s", d.Destination, seconds(d.Seconds))
		case string(deliver.CanarySent):
			add("taken by %s in %s", d.Destination, seconds(d.Seconds))
		case string(deliver.CanaryNotSent):
			add("not sent to %s", d.Destination)
		case stateUnknown:
			add("not known of %s", d.Destination)
		default:
			add("%s at %s (%s)", d.State, d.Destination, d.Reason)
		}
	}
	return strings.Join(parts, ", ")
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Microsecond).String()
}
