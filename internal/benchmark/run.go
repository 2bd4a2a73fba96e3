package benchmark

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"pillarbox/internal/load"
)

const (
	warmUpLongest = time.Second
	warmUpClients = 64
	repeatedAfter = 50 * time.Millisecond // how long the first of repeated requests has the server for itself
	// drainBound is how long a backlog may take to be delivered before the next scenario of the same
	// contender.
	drainBound = 2 * time.Minute
)

// Plan is a whole run. Dir, Contenders and Groups are needed.
type Plan struct {
	Dir        string // each turn has a fresh directory in it
	Contenders []Contender
	Groups     []Group
	Progress   io.Writer // what is going on, for people; nil is silent
}

// Measurement is one scenario of one contender in one round.
type Measurement struct {
	Contender string   `json:"contender"`
	Scenario  Scenario `json:"scenario"`
	Round     int      `json:"round"`
	Figures
	Problem string `json:"problem,omitempty"`
}

// Figures are what is measured. Latencies are in milliseconds.
type Figures struct {
	PerSecond float64 `json:"events_per_second"`
	CPU       float64 `json:"cpu_us_per_event"` // of the server; 0 where the system does not tell
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
	LagP99    float64 `json:"lag_p99_ms,omitempty"` // of the generator, at a fixed rate
	Resident  float64 `json:"resident_bytes"`
	Peak      float64 `json:"peak_bytes"`
	Pending   float64 `json:"pending"`            // at the end, where events are delivered
	Growth    float64 `json:"pending_per_second"` // in the second half of the run
	Failed    float64 `json:"failed"`             // requests
}

// Run measures everything of a plan. Peers that can't be started are marked as missing in what it
// returns, and the run goes on without them. With an error comes what was measured before it.
func Run(ctx context.Context, p Plan) ([]Contender, []Measurement, error) {
	r := &runner{Plan: p}
	if r.Progress == nil {
		r.Progress = io.Discard
	}
	for _, group := range p.Groups {
		for round := range group.Rounds {
			if err := r.round(ctx, group, round); err != nil {
				return r.Contenders, r.measurements, err
			}
		}
	}
	return r.Contenders, r.measurements, nil
}

type runner struct {
	Plan
	measurements []Measurement
}

// round gives every contender its turn, forwards and backwards in alternation.
func (r *runner) round(ctx context.Context, group Group, round int) error {
	for i := range r.Contenders {
		if round%2 == 1 {
			i = len(r.Contenders) - 1 - i
		}
		c := &r.Contenders[i]
		if c.Missing != "" || group.OwnOnly && c.Peer || !takesAny(group, *c) {
			continue
		}
		err := r.turn(ctx, group, *c, round)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && !c.Peer:
			return fmt.Errorf("%s: %w", c.Name, err)
		case err != nil:
			c.Missing = err.Error()
			fmt.Fprintf(r.Progress, "%s is left out: %v\n", c.Name, err)
		}
	}
	return nil
}

func takesAny(group Group, c Contender) bool {
	for _, s := range group.Scenarios {
		if s.takes(c) {
			return true
		}
	}
	return false
}

// turn starts a contender in a fresh directory, warms it up, and runs the scenarios of a group. An
// error is one of the start or of the stop: what fails in a scenario is part of its measurement.
func (r *runner) turn(ctx context.Context, group Group, c Contender, round int) (err error) {
	// A server that runs as another user must be able to go through.
	dir, err := os.MkdirTemp(r.Dir, "turn-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	running, err := c.Start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.Stop()) }()
	warm := Scenario{Connections: warmUpClients, Body: group.Scenarios[0].Body} // whatever the contender takes
	if _, err := Send(ctx, running, warm, min(group.Duration/4, warmUpLongest)); err != nil {
		return err
	}
	for _, scenario := range group.Scenarios {
		if !scenario.takes(c) {
			continue
		}
		m := Measurement{Contender: c.Name, Scenario: scenario, Round: round + 1}
		if err := r.measure(ctx, running, group.Duration, &m); err != nil {
			m.Problem = err.Error()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fmt.Fprintf(r.Progress, "round %d of %d  %-32s %-42s %10s events/s%s\n", m.Round, group.Rounds,
			c.Name, scenario, Grouped(m.PerSecond), problemText(m.Problem))
		r.measurements = append(r.measurements, m)
	}
	return nil
}

func problemText(problem string) string {
	if problem == "" {
		return ""
	}
	return "  PROBLEM: " + problem
}

// Send runs the load of a scenario.
func Send(ctx context.Context, running *Running, s Scenario,
	duration time.Duration) (*load.Result, error) {
	return send(ctx, running, s, duration, running.Keys[0])
}

// send runs it for a sender who has an API key.
func send(ctx context.Context, running *Running, s Scenario, duration time.Duration,
	key string) (*load.Result, error) {
	request := load.Request{Path: running.Path, Host: running.Address, Body: s.body(),
		Header: http.Header{"Content-Type": {"application/json"}}}
	if s.Items > 0 {
		request.Path += "/batch"
		request.Header.Set("Content-Type", "application/x-ndjson")
	}
	if err := s.Door.open(&request, key); err != nil {
		return nil, err
	}
	encoded, err := request.Encode()
	if err != nil {
		return nil, err
	}
	return load.Run(ctx, load.Options{Address: running.Address, Request: encoded,
		Connections: s.Connections, Rate: s.Rate, Duration: duration, TLS: running.TLS,
		Serials: s.Door.serials()})
}

// measure runs one scenario between two looks at the accounts of the system and of the contender.
func (r *runner) measure(ctx context.Context, running *Running, duration time.Duration,
	m *Measurement) error {
	if err := drained(ctx, running); err != nil {
		return err
	}
	if m.Scenario.Door == SameKey { // the first of the repeated ones
		first := m.Scenario
		first.Connections = 1
		if _, err := Send(ctx, running, first, repeatedAfter); err != nil {
			return err
		}
	}
	calm, err := m.Scenario.Door.beginFlood(ctx, running)
	if err != nil {
		return err
	}
	err = r.between(ctx, running, duration, m)
	return errors.Join(err, calm())
}

// between is measure, in a flood or without one.
func (r *runner) between(ctx context.Context, running *Running, duration time.Duration,
	m *Measurement) error {
	accepted, err := count(running.Accepted)
	if err != nil {
		return err
	}
	before, err := UsageOf(running.PID)
	if err != nil {
		return err
	}
	half := lookLater(running, duration/2)
	others := m.Scenario.crowd(ctx, running, duration)
	result, err := Send(ctx, running, m.Scenario, duration)
	besides, crowding := others()
	err = errors.Join(err, crowding)
	pending, failure := count(running.Pending)
	atHalf := half()
	if err := errors.Join(err, failure); err != nil {
		return err
	}
	after, err := UsageOf(running.PID)
	if err != nil {
		return err
	}
	m.fill(result, before, after)
	m.Pending = float64(pending)
	m.Growth = (float64(pending) - float64(atHalf)) / (duration.Seconds() / 2)
	return m.check(running, result, accepted+besides)
}

// beginFlood begins the flood of the door. What it returns ends it, and says whether it was one.
func (d Door) beginFlood(ctx context.Context, running *Running) (end func() error, err error) {
	wanted := d.flood()
	if wanted == (Flood{}) {
		return func() error { return nil }, nil
	}
	flooding, err := wanted.Begin(ctx, running.Address)
	if err != nil {
		return nil, err
	}
	return func() error {
		made, err := flooding.Stop()
		if made < leastFlood*float64(wanted.Handshakes) {
			err = errors.Join(err, fmt.Errorf("%.0f handshakes began in a second, and %d were wanted", made, wanted.Handshakes))
		}
		return err
	}, nil
}

// leastFlood is the part of a flood that must have come.
const leastFlood = 0.8

// crowd begins to send for the other key, at full speed, where the scenario is about that. What it
// returns waits for the end, and tells how many of its events were accepted; most are over its rate.
func (s Scenario) crowd(ctx context.Context, running *Running, duration time.Duration) func() (uint64, error) {
	if s.Door != Crowded {
		return func() (uint64, error) { return 0, nil }
	}
	s.Connections, s.Rate = crowd, 0
	var result *load.Result
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		result, err = send(ctx, running, s, duration, running.Keys[1])
	}()
	return func() (uint64, error) {
		<-ended
		if err != nil {
			return 0, err
		}
		return result.Statuses[2], nil
	}
}

// lookLater looks at the backlog once, later, and returns what tells what was seen: nothing, where
// the look failed or its time had not come. The look at the end tells if something is wrong.
func lookLater(running *Running, later time.Duration) (seen func() uint64) {
	result := make(chan uint64, 1) // nobody may ask
	timer := time.AfterFunc(later, func() {
		pending, _ := count(running.Pending)
		result <- pending
	})
	return func() uint64 {
		if timer.Stop() {
			return 0
		}
		return <-result
	}
}

func count(of func() (uint64, error)) (uint64, error) {
	if of == nil {
		return 0, nil
	}
	return of()
}

func (m *Measurement) fill(result *load.Result, before, after Usage) {
	events := float64(m.Scenario.events())
	m.PerSecond = result.PerSecond() * events
	if result.Answers > 0 {
		m.CPU = float64((after.CPU - before.CPU).Nanoseconds()) / 1000 / (float64(result.Answers) * events)
	}
	m.P50, m.P99, m.Max = milliseconds(result.Latency.Quantile(0.5)), milliseconds(
		result.Latency.Quantile(0.99)), milliseconds(result.Latency.Max())
	m.LagP99 = milliseconds(result.Lag.Quantile(0.99))
	m.Resident, m.Peak = float64(after.Resident), float64(after.Peak)
	m.Failed = float64(result.Failed())
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// check compares the answers with what the contender has in its account.
func (m *Measurement) check(running *Running, result *load.Result, before uint64) error {
	if failed := result.Failed(); failed > 0 {
		return fmt.Errorf("%d requests failed: %d connections broke (%v), %d unanswered, %d unsent, statuses %v",
			failed, result.Errors, result.FirstError, result.Unanswered, result.Unsent, result.Statuses)
	}
	if running.Accepted == nil {
		return nil
	}
	after, err := running.Accepted()
	if err != nil {
		return err
	}
	want := uint64(0)
	if m.Scenario.Door.stores() {
		want = result.Answers * m.Scenario.events()
	}
	if after-before != want {
		return fmt.Errorf("%d events were acknowledged, and the ledger has %d", want, after-before)
	}
	return nil
}

// drained waits until what was accepted before is delivered, so that each scenario pays for its own
// events.
func drained(ctx context.Context, running *Running) error {
	ctx, cancel := context.WithTimeout(ctx, drainBound)
	defer cancel()
	for {
		pending, err := count(running.Pending)
		if err != nil || pending == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d events are still not delivered: %w", pending, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
