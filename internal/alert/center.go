package alert

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// Defaults and limits of a Center.
const (
	DefaultEvery        = 15 * time.Second // between two looks at the conditions
	DefaultGroupWait    = 30 * time.Second // from the first alert of a message until it is sent
	DefaultResolveAfter = 2 * time.Minute  // for which a condition must not hold until its alert is over
	DefaultRepeatHigh   = time.Hour        // between two messages about what goes on
	DefaultRepeatLow    = 24 * time.Hour
	DefaultBeat         = time.Minute // between two requests to the heartbeat's URL

	// SettleLooks is for how many looks after a start nothing is over because its condition does not
	// hold: a server that has just begun has not met yet what is wrong.
	SettleLooks = 4

	SendTimeout = 30 * time.Second // of one message
	RetryFirst  = 10 * time.Second // after a message that was not taken; it doubles
	RetryMax    = 10 * time.Minute
	saveWait    = 2 * time.Second // for the disk, before a message is sent without it
	saveEvery   = time.Minute     // of what would cost a restart little
)

// Sender takes messages somewhere. Its methods may be called concurrently.
type Sender interface {
	// Send returns once the message was taken. Errors hold no secret.
	Send(ctx context.Context, m *Message) error
	// Single reports whether a message may have one item only.
	Single() bool
	Close() error
}

// Receiver is who is told.
type Receiver struct {
	Name       string
	Kind       string // for metrics
	Severities []Severity
	Sender     Sender
}

// Options of a Center. What is zero has the default that is named, if there is one.
type Options struct {
	FS        vfs.FS                   // for the state; nil: it does not outlive the process
	Metrics   func() ([]Series, error) // required; called once a look
	History   History                  // nil: what is usual is not known
	Rules     []*Rule
	Receivers []Receiver

	Node      string // what this server is called in messages
	Dashboard string // its address; empty for none

	Every                   time.Duration
	GroupWait, ResolveAfter time.Duration // negative: none
	RepeatHigh, RepeatLow   time.Duration
	Quiet                   Quiet

	Beat      func(ctx context.Context) error // says somewhere that this server lives; nil for nobody
	BeatEvery time.Duration

	Now    func() time.Time
	Meter  *telemetry.Alerts // nil: nothing is counted
	Logger *slog.Logger      // nil: discard
}

func (o Options) withDefaults() Options {
	o.Every = cmp.Or(o.Every, DefaultEvery)
	o.GroupWait = max(0, cmp.Or(o.GroupWait, DefaultGroupWait))
	o.ResolveAfter = max(0, cmp.Or(o.ResolveAfter, DefaultResolveAfter))
	o.RepeatHigh = cmp.Or(o.RepeatHigh, DefaultRepeatHigh)
	o.RepeatLow = cmp.Or(o.RepeatLow, DefaultRepeatLow)
	o.BeatEvery = cmp.Or(o.BeatEvery, DefaultBeat)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Center looks at the conditions, and tells the receivers. Its methods may be called concurrently.
type Center struct {
	opts      Options
	receivers []*receiver
	saves     chan chan struct{} // each asks for the state to be written, and is closed when it is
	began     time.Time

	mu     sync.Mutex
	usual  usual           // what the history has said last; guarded by mu
	state  *state          // guarded by mu, and all that it points to
	looked time.Time       // the last look that has succeeded; guarded by mu
	said   map[string]bool // rules of which it was said that they can't be told; guarded by mu
	full   bool            // it was said that there are too many alerts; guarded by mu
}

// receiver is one with how it fares, which the lock of the Center guards.
type receiver struct {
	Receiver
	nudge   chan struct{}
	wait    time.Duration // after the next failure
	next    time.Time     // nothing is sent before
	lastErr string        // empty once a message was taken
	failing time.Time     // since when messages are not taken
	sent    time.Time     // the last one that was
}

// New reads the state. What is wrong with it is in the log, and keeps nobody from being told.
func New(opts Options) *Center {
	opts = opts.withDefaults()
	c := &Center{opts: opts, saves: make(chan chan struct{}), said: map[string]bool{},
		began: opts.Now()}
	c.state = newState(c.began)
	if opts.FS != nil {
		var err error
		if c.state, err = readState(opts.FS, c.began); err != nil {
			opts.Meter.Failed(telemetry.AlertState)
			opts.Logger.Error("what alerts were fired and told before is not known: those that fire are told again", telemetry.KeyErr, err)
		}
	}
	for _, r := range opts.Receivers {
		c.receivers = append(c.receivers, &receiver{Receiver: r, nudge: make(chan struct{}, 1),
			wait: RetryFirst})
	}
	c.release()
	for _, r := range opts.Rules {
		opts.Meter.Firing(r.Name, string(r.Severity), 0)
	}
	return c
}

// release takes back what is owed to receivers that are there no more, or that want it no more.
func (c *Center) release() {
	for _, a := range c.state.Alerts {
		for name := range a.Owed {
			at := slices.IndexFunc(c.opts.Receivers, func(r Receiver) bool { return r.Name == name })
			if at < 0 || !c.opts.Receivers[at].wants(a.Severity) {
				delete(a.Owed, name)
			}
		}
	}
	c.state.drop()
}

// Run looks and tells until ctx ends, and writes the state once more then. It returns nil.
func (c *Center) Run(ctx context.Context) error {
	var others, saver sync.WaitGroup
	stopped := make(chan struct{})
	saver.Go(func() { c.save(stopped) })
	for _, r := range c.receivers {
		others.Go(func() { c.tell(ctx, r) })
	}
	if c.opts.Beat != nil {
		others.Go(func() { c.beat(ctx) })
	}
	if c.opts.History != nil {
		others.Go(func() { c.recallEvery(ctx) })
	}
	ticker := time.NewTicker(c.opts.Every)
	defer ticker.Stop()
	var saved time.Time
	dirty := false
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-ticker.C:
		}
		dirty = c.look() || dirty
		if at := c.opts.Now(); (dirty || passed(saved, saveEvery, at)) && c.ask() {
			dirty, saved = false, at
		}
		for _, r := range c.receivers {
			select {
			case r.nudge <- struct{}{}:
			default: // it has one already
			}
		}
	}
	others.Wait()
	close(stopped)
	saver.Wait()
	return nil
}

// Close closes the senders.
func (c *Center) Close() error {
	var errs []error
	for _, r := range c.receivers {
		errs = append(errs, r.Sender.Close())
	}
	return errors.Join(errs...)
}

// ask asks for the state to be written, without waiting for it, and reports whether anybody is free
// to do so.
func (c *Center) ask() bool {
	select {
	case c.saves <- make(chan struct{}):
		return true
	default:
		return false
	}
}

// keep has the state written, and waits for that, but no longer than a disk may take that lives.
func (c *Center) keep(ctx context.Context) {
	timer := time.NewTimer(saveWait)
	defer timer.Stop()
	done := make(chan struct{})
	select {
	case c.saves <- done:
	case <-timer.C:
		return
	case <-ctx.Done():
		return
	}
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// save writes the state whenever somebody asks, until the Center has stopped, and then once more.
func (c *Center) save(stopped <-chan struct{}) {
	for {
		select {
		case done := <-c.saves:
			c.write()
			close(done)
		case <-stopped:
			c.write()
			return
		}
	}
}

func (c *Center) write() {
	if c.opts.FS == nil {
		return
	}
	c.mu.Lock()
	content, err := json.Marshal(c.state)
	c.mu.Unlock()
	if err == nil {
		err = write(c.opts.FS, content)
	}
	if err != nil { // the next one has it all
		c.opts.Meter.Failed(telemetry.AlertState)
		c.opts.Logger.Warn("the state of the alerts was not written: after a restart, some are told twice", telemetry.KeyErr, err)
	}
}

// look evaluates all rules, and reports whether an alert has begun or ended.
func (c *Center) look() (changed bool) {
	series, err := c.opts.Metrics()
	at := c.opts.Now()
	if err != nil { // nothing is known, so that nothing changes
		c.opts.Meter.Failed(telemetry.AlertValues)
		c.opts.Logger.Warn("the conditions of alerts were not looked at", telemetry.KeyErr, err)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := newLook(series, c.state.Past, c.usual, at)
	c.looked = at
	holding := map[string]bool{}
	for _, kind := range Kinds() {
		for _, of := range l.subjects(kind) {
			known := l.known(of)
			for _, r := range c.opts.Rules {
				if r.Each == kind && c.holds(r, of, r.facts(known), holding) {
					changed = c.begin(r, of, r.facts(known), at) || changed
				}
			}
		}
	}
	changed = c.end(holding, at) || changed
	c.state.drop()
	c.count()
	return changed
}

// recallEvery asks the history what is usual, now and then. It is on the disk, and nothing else
// waits for that.
func (c *Center) recallEvery(ctx context.Context) {
	ticker := time.NewTicker(usualEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		c.recall(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

func (c *Center) recall(ctx context.Context) {
	u, err := usualAt(ctx, c.opts.History, c.opts.Now())
	if err != nil && ctx.Err() == nil {
		c.opts.Meter.Failed(telemetry.AlertValues)
		c.opts.Logger.Warn("alerts don't know what is usual at this hour", telemetry.KeyErr, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.usual = u
}

// holds notes that a condition holds. One that can't be told is as it was, and that is said once.
func (c *Center) holds(r *Rule, of Subject, facts map[string]any, holding map[string]bool) bool {
	key := keyOfAlert(r.Name, of)
	holds, err := r.holds(facts)
	if err != nil {
		holding[key] = true
		c.opts.Meter.Failed(telemetry.AlertRule)
		if !c.said[r.Name] {
			c.said[r.Name] = true
			c.opts.Logger.Warn("the condition of an alert can't be told; this is said once",
				telemetry.KeyAlert, r.Name, telemetry.KeyErr, err)
		}
		return false
	}
	if holds {
		holding[key] = true
	}
	return holds
}

// begin notes that a condition holds, and reports whether its alert begins to fire by that.
func (c *Center) begin(r *Rule, of Subject, facts map[string]any, at time.Time) bool {
	key := keyOfAlert(r.Name, of)
	a := c.state.find(key)
	if a != nil && a.fires() {
		a.Clear = time.Time{}
		a.tell(r, c.opts.Node, facts)
		return false
	}
	since := c.await(key, r, of, facts, at)
	if at.Sub(since) < r.For {
		return false
	}
	if a == nil {
		if len(c.state.Alerts) >= MaxAlerts {
			c.tooMany()
			return false
		}
		a = &alert{Key: key, Rule: r.Name, Subject: of, Owed: map[string]*owed{}}
		c.state.Alerts = append(c.state.Alerts, a)
	}
	delete(c.state.Pending, key)
	a.Since, a.Fired, a.Clear, a.Ended = since, at, time.Time{}, time.Time{}
	a.tell(r, c.opts.Node, facts)
	c.opts.Logger.Warn("an alert fires", telemetry.KeyAlert, a.Key, telemetry.KeySeverity,
		string(a.Severity), telemetry.KeyReason, a.Summary)
	return true
}

// await notes a condition that holds, and returns since when.
func (c *Center) await(key string, r *Rule, of Subject, facts map[string]any,
	at time.Time) time.Time {
	p, there := c.state.Pending[key]
	if !there || p.Since.After(at) { // or the clock was set back
		p.Since = at
	}
	value := ""
	if number, known := r.valueOf(facts); known {
		value = say(number, r.Unit)
	}
	p.Rule, p.Subject, p.Summary = r.Name, of, r.summary(of, c.opts.Node, value)
	if there || len(c.state.Pending) < MaxPending {
		c.state.Pending[key] = p
	}
	return p.Since
}

func (c *Center) tooMany() {
	c.opts.Meter.Failed(telemetry.AlertRule)
	if !c.full {
		c.full = true
		c.opts.Logger.Error("more alerts fire than are kept; the others are told once some are over",
			telemetry.KeyItems, MaxAlerts)
	}
}

// tell sets what messages say of the alert.
func (a *alert) tell(r *Rule, node string, facts map[string]any) {
	a.Value = ""
	if number, known := r.valueOf(facts); known {
		a.Value = say(number, r.Unit)
	}
	a.Severity, a.Runbook, a.Summary = r.Severity, r.Runbook, r.summary(a.Subject, node, a.Value)
}

// summary is what the rule says of a thing.
func (r *Rule) summary(of Subject, node, value string) string {
	return strings.NewReplacer("{value}", cmp.Or(value, "?"), "{node}", node, "{"+string(of.Kind)+"}",
		of.Name).Replace(r.Summary)
}

// settle is how long a start takes.
func (c *Center) settle() time.Duration { return SettleLooks * c.opts.Every }

// end notes which conditions don't hold, and reports whether an alert is over by that.
func (c *Center) end(holding map[string]bool, at time.Time) (changed bool) {
	if since := at.Sub(c.began); since >= 0 && since < c.settle() {
		return false
	}
	for key := range c.state.Pending {
		if !holding[key] {
			delete(c.state.Pending, key)
		}
	}
	for _, a := range c.state.Alerts {
		if holding[a.Key] || !a.fires() {
			continue
		}
		if a.Clear.IsZero() || a.Clear.After(at) {
			a.Clear = at
		}
		if at.Sub(a.Clear) >= c.opts.ResolveAfter {
			a.Ended, changed, c.full = at, true, false
			c.opts.Logger.Info("an alert is over", telemetry.KeyAlert, a.Key, telemetry.KeyAfter,
				at.Sub(a.Since))
		}
	}
	return changed
}

// count sets the metrics.
func (c *Center) count() {
	firing := map[string]int{}
	for _, a := range c.state.Alerts {
		if a.fires() {
			firing[a.Rule]++
		}
	}
	for _, r := range c.opts.Rules {
		c.opts.Meter.Firing(r.Name, string(r.Severity), firing[r.Name])
	}
}

// wants reports whether the receiver is told of a severity.
func (r *Receiver) wants(severity Severity) bool { return slices.Contains(r.Severities, severity) }
