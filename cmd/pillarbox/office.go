package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"pillarbox"
	"pillarbox/internal/batch"
	"pillarbox/internal/clock"
	"pillarbox/internal/config"
	"pillarbox/internal/deliver"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/held"
	"pillarbox/internal/ingest"
	"pillarbox/internal/ledger"
	"pillarbox/internal/replay"
	"pillarbox/internal/retry"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/prom"
	"pillarbox/internal/vfs"
)

// office is everything that works on one data directory, wired together and not yet running.
type office struct {
	config   *config.Config
	logger   *slog.Logger
	lines    *telemetry.Lines // where the logger writes to; nil in a command
	registry *prometheus.Registry
	metrics  *telemetry.Metrics
	started  time.Time

	disk     *vfs.Disk
	clock    *clock.Clock
	stamping atomic.Pointer[ingest.Acceptor] // the acceptor, for the clock
	lock     *vfs.Lock
	letters  pillarbox.DeadLetters
	queue    pillarbox.Queue
	sinks    map[string]pillarbox.Sink
	guards   map[string]*deliver.Guard // of the sinks, for whoever writes
	answers  lastAnswers               // of what may hang
	watch    *deliver.Watch
	history  *deliver.History
	loops    map[string]*deliver.Loop
	acceptor *ingest.Acceptor
	books    *ledger.Books
	replayer *replay.Replayer
	jobs     *replay.Jobs
	held     *held.Events             // nil where the queue is shared with others, and holds nothing back
	rules    map[string]deliver.Rules // of every destination, those that only the queue knows included
}

// openOffice opens the data directory and everything in it. readOnly is for commands that look while no
// server runs: the queue is then not written to.
func openOffice(ctx context.Context, cfg *config.Config, logger *slog.Logger, readOnly bool) (*office, error) {
	o := &office{config: cfg, logger: logger, started: time.Now(), sinks: map[string]pillarbox.Sink{}, guards: map[string]*deliver.Guard{}, watch: deliver.NewWatch(), history: deliver.NewHistory()}
	o.registry = prometheus.NewRegistry()
	o.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	o.metrics = telemetry.NewMetrics(prom.Keep(o.registry))
	o.metrics.SetBuild(version())
	if err := o.open(ctx, readOnly); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	o.wire()
	return o, nil
}

func (o *office) open(ctx context.Context, readOnly bool) error {
	var err error
	if o.local() {
		if err = o.openDirectory(readOnly); err != nil {
			return err
		}
	}
	o.openClock(readOnly)
	place := catalog.Place{Data: o.disk, ReadOnly: readOnly, BodiesURL: o.config.Bodies.URL, Logger: o.logger}
	if o.letters, err = catalog.OpenDeadLetters(place, o.config.DeadLetters.URL); err != nil {
		return err
	}
	limits := catalog.QueueOptions{
		MaxBytes: int64(o.config.Queue.MaxBytes), MinFreeBytes: int64(o.config.Queue.MinFree),
		KeepBytes:    keepBytes(o.config.Queue.KeepBytes),
		SegmentBytes: int64(o.config.Queue.SegmentBytes), Meter: o.metrics.Seglog(), MaxAge: o.config.Queue.MaxAge.Std(),
		Elapsed: o.clock.Elapsed, MaxRetryWait: o.longestBackoff(), CommitTimeout: o.config.Queue.CommitTimeout.Std(),
	}
	if o.queue, err = catalog.OpenQueue(place, o.config.Queue.URL, limits); err != nil {
		return err
	}
	if err := o.check(ctx, o.queue); err != nil {
		return err
	}
	if err := catalog.CheckSinks(sinkURLs(o.config)); err != nil {
		return err
	}
	for _, name := range o.destinations() {
		if o.sinks[name], err = catalog.OpenSink(ctx, place, name, o.config.Destinations[name].URL); err != nil {
			return err
		}
		if err := o.check(ctx, o.sinks[name]); err != nil {
			return err
		}
		if err := o.meetStore(ctx, name, readOnly); err != nil {
			return err
		}
		// The destination exists for the queue from here on: it gets everything that is accepted later.
		if _, err := o.account(name); err != nil {
			return err
		}
		o.guards[name] = deliver.NewGuard(name, o.sinks[name], o.logger)
	}
	return o.oblige(ctx, readOnly)
}

// meetStore sees whether a destination's store is the one that it was.
func (o *office) meetStore(ctx context.Context, name string, readOnly bool) error {
	if readOnly {
		return nil
	}
	record, changed, err := deliver.MeetStore(ctx, o.queue, name, o.sinks[name], pillarbox.TimestampOf(o.clock.Now()))
	if changed {
		o.logger.Error("the store of a destination was replaced; \"pillarbox audit\" says what is missing, and \"pillarbox audit --redeliver\" brings back what the queue still has",
			telemetry.KeyDestination, name, telemetry.KeyErr, record.Changed)
	}
	return err
}

// oblige tells the queue what each destination is meant to get from now on: what its rule says, and nothing where it is not
// configured any more.
func (o *office) oblige(ctx context.Context, readOnly bool) error {
	o.rules = map[string]deliver.Rules{}
	for _, name := range o.destinations() {
		o.rules[name] = tuningOf(o.config, o.config.Destinations[name]).Rules
	}
	if !o.queue.Traits().Obliges {
		return nil
	}
	for name, rules := range o.rules {
		rules.Elsewhere = o.elsewhere(o.queue, name)
		o.rules[name] = rules
	}
	for _, name := range o.unconfigured() {
		o.rules[name] = deliver.Unconfigured(deliver.Rules{})
	}
	for name, rules := range o.rules {
		if readOnly || rules.Rule == nil {
			continue
		}
		if err := o.queue.Oblige(ctx, name, *rules.Rule); err != nil {
			return err
		}
	}
	return nil
}

// elsewhere makes the rule by which another destination was meant to get an event, and still takes it.
func (o *office) elsewhere(queue pillarbox.Obligations, but string) func(pillarbox.Handle, *pillarbox.Event) bool {
	return func(handle pillarbox.Handle, event *pillarbox.Event) bool {
		return slices.ContainsFunc(o.destinations(), func(name string) bool {
			today, then := o.rules[name].Rule, queue.RuleAt(name, handle)
			return name != but && (today == nil || today.Takes(event)) && (then == nil || then.Takes(event))
		})
	}
}

// review looks at what is pending and no destination takes any more because the configuration has changed, and says so.
func (o *office) review(ctx context.Context) error {
	if !o.queue.Traits().Obliges {
		return nil
	}
	for name, rules := range o.rules {
		if err := o.queue.Review(ctx, name, rules.Holds); err != nil && ctx.Err() == nil {
			o.logger.Warn("what is pending could not be reviewed; it is looked at when it is delivered", telemetry.KeyDestination, name, telemetry.KeyErr, err)
		}
	}
	o.sayHeld(ctx)
	return nil
}

// sayHeld logs once what is held, when the count stands still: the deliveries hold events as well.
func (o *office) sayHeld(ctx context.Context) {
	const interval, rounds = 500 * time.Millisecond, 20
	total, of := o.heldNow()
	for range rounds {
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
		before := total
		if total, of = o.heldNow(); total == before {
			break
		}
	}
	if total > 0 {
		o.logger.Warn("events are held: they are pending, and no destination takes them any more; \"pillarbox held list\" shows them, and held route, dead-letter or forget decides about them",
			telemetry.KeyEvents, total, telemetry.KeyDestination, strings.Join(of, ", "))
	}
}

// heldNow counts what is held, altogether and by destination.
func (o *office) heldNow() (total uint64, of []string) {
	for _, name := range slices.Sorted(maps.Keys(o.rules)) {
		if account, err := o.queue.Account(name); err == nil && account.Held > 0 {
			total, of = total+account.Held, append(of, fmt.Sprintf("%s %d", name, account.Held))
		}
	}
	return total, of
}

// clockFile is where the clock keeps what a later life needs.
const clockFile = "clock.json"

// openClock begins to tell the time. Commands that only look leave no note.
func (o *office) openClock(readOnly bool) {
	var fsys vfs.FS
	if o.disk != nil && !readOnly {
		fsys = o.disk
	}
	o.clock = clock.Open(fsys, clockFile, clock.Options{Logger: o.logger, Spawn: func(save func()) { go save() }, OnStep: func(step clock.Step) {
		o.metrics.ClockStep()
		if acceptor := o.stamping.Load(); acceptor != nil && step.By < 0 {
			acceptor.ClockSetBack()
		}
	}})
}

// keepBytes is what the log takes for no history at all.
func keepBytes(keep config.ByteSize) int64 {
	if keep == 0 {
		return -1
	}
	return int64(keep)
}

// longestBackoff is the longest wait between two attempts of any destination.
func (o *office) longestBackoff() (longest time.Duration) {
	for _, destination := range o.config.Destinations {
		longest = max(longest, destination.Backoff.Max.Std())
	}
	return longest
}

func sinkURLs(cfg *config.Config) map[string]string {
	urls := map[string]string{}
	for name, destination := range cfg.Destinations {
		urls[name] = destination.URL
	}
	return urls
}

// local reports whether anything is kept below the data directory.
func (o *office) local() bool {
	for _, destination := range o.config.Destinations {
		if catalog.Local(destination.URL) {
			return true
		}
	}
	return catalog.Local(o.config.Queue.URL) || catalog.Local(o.config.DeadLetters.URL)
}

// checkTime bounds the look at what an engine works with.
const checkTime = 10 * time.Second

// check asks an engine that can tell whether it can serve. One that can't be reached now may be reached later: that is
// an outage, and no reason not to start.
func (o *office) check(ctx context.Context, engine interface{ Check(context.Context) error }) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	err := engine.Check(ctx)
	if errors.Is(err, pillarbox.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		o.logger.Warn("an engine can't be reached", telemetry.KeyErr, err)
		return nil
	}
	return err
}

// openDirectory opens and locks the data directory.
func (o *office) openDirectory(readOnly bool) error {
	dir := o.config.Data
	if readOnly {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no data directory %s, and no server answers; choose one with --data or --server: %w", dir, pillarbox.ErrNotFound)
		}
	}
	disk, err := vfs.OpenDisk(dir)
	if err != nil {
		return fmt.Errorf("data directory %s can't be used; make it writable for this user, or choose another with --data: %w", dir, err)
	}
	o.disk = disk
	disk.Watch(o.config.Queue.CommitTimeout.Std(), func(what string, since time.Duration) {
		o.logger.Error("the disk does not answer", "call", what, "after", since.Round(time.Millisecond))
	}, func(what string, took time.Duration) {
		o.logger.Warn("the disk has answered", "call", what, "took", took.Round(time.Millisecond))
	})
	if err := vfs.MkdirAll(disk, catalog.QueueDir); err != nil && !readOnly && catalog.Local(o.config.Queue.URL) {
		return fmt.Errorf("data directory %s can't be used; make it writable for this user, or choose another with --data: %w", dir, err)
	}
	o.lock, err = disk.Lock(catalog.LockFile, catalog.QueueDir)
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("data directory %s is in use by another pillarbox; reach it with --server and the address of its admin API, stop it, or choose another directory with --data: %w", dir, pillarbox.ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("data directory %s can't be used; make it writable for this user, or choose another with --data: %w", dir, err)
	}
	return nil
}

// destinations lists the names of the configured destinations, sorted.
func (o *office) destinations() []string { return slices.Sorted(maps.Keys(o.config.Destinations)) }

// wire connects the verbs to what was opened.
func (o *office) wire() {
	o.acceptor = ingest.New(o.queue, ingest.Options{Sources: ingestSources(o.config), Metrics: o.metrics, Now: o.clock.Now})
	o.stamping.Store(o.acceptor)
	o.loops = map[string]*deliver.Loop{}
	var entries []ledger.Destination
	for _, name := range o.destinations() {
		destination := o.config.Destinations[name]
		tuning := tuningOf(o.config, destination)
		o.loops[name] = deliver.NewLoop(deliver.Options{
			Destination: name, Queue: o.queue, Sink: o.guards[name], Letters: o.letters, Rules: o.rules[name],
			Batch: tuning.Batch, WriteTimeout: destination.WriteTimeout.Std(), Watch: o.watch, History: o.history,
			Probe:  retry.Breaker{ProbeInitial: destination.Probe.Initial.Std(), ProbeMax: destination.Probe.Max.Std()},
			Logger: o.logger, Metrics: o.metrics.Deliver(name), Date: o.clock.Now,
		})
		entries = append(entries, ledger.Destination{Name: name, Rule: o.rules[name].Rule, Sink: o.sinks[name]})
	}
	for _, name := range o.unconfigured() {
		o.loops[name] = deliver.NewLoop(deliver.Options{
			Destination: name, Queue: o.queue, Letters: o.letters, Rules: o.rules[name], Logger: o.logger, Date: o.clock.Now,
			Metrics: o.metrics.Deliver(name),
		})
	}
	if o.queue.Traits().Obliges {
		o.held = held.New(o.queue, o.letters, func() []string { return o.queue.Stats().Destinations }, o.clock.Now)
	}
	o.books = ledger.New(o.queue, o.letters, entries, o.history)
	o.replayer = replay.New(replay.Options{Letters: o.letters, Deliver: o.deliverOnce, Queue: o.queue, Now: o.clock.Now})
	o.jobs = replay.NewJobs(o.replayer)
	o.metrics.Watch(o.state)
}

func ingestSources(cfg *config.Config) map[string]ingest.Source {
	sources := map[string]ingest.Source{}
	for name, source := range cfg.Sources {
		sources[name] = ingest.Source{
			MaxBody: int64(source.MaxBody),
			Headers: ingest.HeaderPolicy{Allow: source.Headers.Allow, Deny: source.Headers.Deny},
		}
	}
	return sources
}

func tuningOf(cfg *config.Config, destination config.Destination) deliver.Tuning {
	rule := &pillarbox.Rule{Sources: slices.Sorted(slices.Values(destination.Sources))}
	if !catalog.Local(cfg.Queue.URL) {
		// A shared queue feeds one destination, and others fill it too, with sources that this file need not know. To
		// skip an event there would delete the only one.
		rule = nil
	}
	return deliver.Tuning{
		Rules: deliver.Rules{
			Rule: rule, MaxAge: cfg.Queue.MaxAge.Std(),
			Retry: retry.Policy{
				Initial: destination.Backoff.Initial.Std(), Max: destination.Backoff.Max.Std(), MaxAttempts: destination.MaxAttempts,
			},
		},
		Batch: batch.Limits{
			MaxEvents: destination.Batch.MaxEvents, MaxBytes: int64(destination.Batch.MaxBytes), MaxAge: destination.Batch.MaxAge.Std(),
		},
	}
}

// deliverOnce is how replays reach a destination.
func (o *office) deliverOnce(ctx context.Context, destination string, events []*pillarbox.Event) ([]error, error) {
	sink, configured := o.guards[destination]
	if !configured {
		err := fmt.Errorf("destination %s is not configured: %w", destination, pillarbox.ErrUnavailable)
		return slices.Repeat([]error{err}, len(events)), err
	}
	return deliver.Once(ctx, sink, events, o.clock.Now(), o.config.Destinations[destination].WriteTimeout.Std())
}

// state is what the metrics of the queue are made of.
func (o *office) state() telemetry.State {
	stats := o.queue.Stats()
	state := telemetry.State{
		QueueBytes: stats.Bytes, QueueMaxBytes: stats.MaxBytes, AcceptedEvents: stats.Accepted, Accepting: stats.Problem == "",
		QueueHanging: stats.Hanging, DiskHanging: o.diskHanging(),
	}
	if o.lines != nil {
		state.DroppedLines = o.lines.Dropped()
	}
	entries, err := o.ledger(context.Background())
	if err != nil {
		o.logger.Warn("read the ledger for the metrics", telemetry.KeyErr, err)
		for name, guard := range o.guards {
			state.Destinations = append(state.Destinations, telemetry.DestinationState{Name: name, Hanging: guard.Hanging(), Unknown: true})
		}
		return state
	}
	for _, entry := range entries.Destinations {
		account, err := o.account(entry.Destination)
		if err != nil {
			continue // closed meanwhile
		}
		destination := telemetry.DestinationState{
			Hanging: o.guards[entry.Destination].Hanging(),
			Name:    entry.Destination, PendingEvents: entry.Pending, RetryingEvents: account.Retrying, HeldEvents: account.Held,
			DeadLetters: -1, MissingLetters: -1, Balanced: entry.Balanced,
		}
		if account.OldestPending != 0 {
			destination.OldestEventAge = max(0, o.clock.Now().Sub(account.OldestPending.Time()))
		}
		if count, err := o.countLetters(context.Background(), entry.Destination); err == nil {
			destination.DeadLetters, destination.MissingLetters = int64(count.Open), int64(count.Missing)
		}
		state.Destinations = append(state.Destinations, destination)
	}
	return state
}

// unconfigured lists destinations that the queue knows and the configuration does not: their events wait.
func (o *office) unconfigured() []string {
	var names []string
	for _, name := range o.queue.Stats().Destinations {
		if _, configured := o.config.Destinations[name]; !configured {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
