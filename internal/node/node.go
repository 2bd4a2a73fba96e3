// Package node is one pillarbox, assembled: engines that are open already become accepting,
// delivering, replaying, the ledger and everything that a person can see and do.
//
// The server, the commands that work on a data directory at rest, the simulation and the tests of
// I/O errors build a Node by the same constructor, each with its engines, its clock and its chance:
// what is proven of a Node holds for what users run.
//
// It promises that whatever was opened is closed, in the reverse order and within a deadline,
// however far Open came; that each destination's loop writes to that destination's sink; that a
// reload changes all that may change, or nothing; and that a drain settles the batch at hand. It
// opens no engine, reads no configuration, and ends no process.
package node

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/admission"
	"pillarbox/internal/apikey"
	"pillarbox/internal/atrest"
	"pillarbox/internal/backfill"
	"pillarbox/internal/background"
	"pillarbox/internal/canary"
	"pillarbox/internal/causes"
	"pillarbox/internal/certificate"
	"pillarbox/internal/clock"
	"pillarbox/internal/deliver"
	"pillarbox/internal/destination"
	"pillarbox/internal/filter"
	"pillarbox/internal/held"
	"pillarbox/internal/ingest"
	"pillarbox/internal/ledger"
	"pillarbox/internal/purge"
	"pillarbox/internal/quarantine"
	"pillarbox/internal/ratelimit"
	"pillarbox/internal/replay"
	"pillarbox/internal/run"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/trail"
	"pillarbox/internal/vfs"
)

// The roles of a node.
const (
	RoleAccept  = adminapi.RoleAccept
	RoleDeliver = adminapi.RoleDeliver
	RoleAdmin   = adminapi.RoleAdmin
)

// Roles lists all of them.
func Roles() []string { return adminapi.Roles() }

// Disk tells of calls to the disk of the data directory that do not return. It is vfs.Disk.
type Disk interface {
	// Hanging returns which call has not returned for longer than it may, and for how long; "" where
	// there is none.
	Hanging() (what string, since time.Duration)
	// Usage tells how much room there is.
	Usage() (vfs.Usage, error)
	Close() error
}

// Lock is held on the data directory. It is vfs.Lock.
type Lock interface {
	Check() error
	Close() error
}

// Engines are what a Node works with, open. The Node closes them, what is nil is left out: Disk,
// Lock, APIKeys and Trail where nothing is kept on this machine.
type Engines struct {
	Queue       pillarbox.Queue
	DeadLetters pillarbox.DeadLetters
	Sinks       map[string]pillarbox.Sink // by destination
	Clock       *clock.Clock
	Disk        Disk
	Lock        Lock
	APIKeys     *apikey.Store // nil where nothing is kept on this machine
	Keys        KeyStore      // of idempotency keys, where the queue keeps none; nil for none
	Trail       *trail.Trail  // of administration; nil where nothing is kept on this machine

	AtRest *atrest.Keys // seals what is written on this machine; nil: nothing does

	Jobs *background.Keeper // keeps what a person has started over the process; nil where nothing is kept on this machine

	Quarantine *quarantine.Store // of requests whose signature fails; nil where nothing is kept on this machine
}

// KeyStore is a store of idempotency keys beside a queue that keeps none.
type KeyStore interface {
	pillarbox.Keys
	SetWindow(window time.Duration)
	Check(ctx context.Context) error
	Close() error
}

// Settings are the part of Options that Reload may change.
type Settings struct {
	Sources       []source.Settings
	Destinations  []destination.Settings // a reload may add some, and let one take more; see Reload
	MaxQueueBytes int64                  // 0: the queue's default
	// KeepQueueBytes is the history of what is delivered. 0: the queue's default; negative: none.
	KeepQueueBytes int64

	Rate      ratelimit.Rate // of all sources together
	KeyWindow time.Duration  // for which idempotency keys are remembered at most; 0: the default
	MaxKeys   int64          // how many are; 0: the default

	Quarantine quarantine.Limits // zero: the defaults
}

// Options of a Node. Engines and Settings are required; what else is zero has a default.
type Options struct {
	Engines
	Settings

	MaxInFlightBytes int64                      // of bodies in memory, of all fronts together; default DefaultMaxInFlightBytes
	DrainTimeout     time.Duration              // of each stage of a stop; default run.DefaultDrainTimeout
	ReadOnly         bool                       // for looking: nothing is written to the queue
	Roles            []string                   // shown in Status; none where only commands look
	Version          string                     // shown in Status
	Data             string                     // the data directory as it is shown; empty where nothing is on this machine
	QueueURL         string                     // as it is shown
	Certificates     func() []certificate.State // of the listeners; nil for none
	Canary           CanaryOptions              // of the one that the node sends itself
	Lines            []*telemetry.Lines         // where Logger and the access log write to, to count what is dropped

	Now     func() time.Time // measures durations well though the clock is set; default time.Now
	Chance  func() float64   // in [0, 1), for jitter; default rand.Float64
	Logger  *slog.Logger     // default: discard
	Metrics *telemetry.Metrics
	Traces  *telemetry.Traces // default: nothing is recorded
}

// DefaultMaxInFlightBytes is the memory for bodies.
const DefaultMaxInFlightBytes = 256 << 20

// Node is one pillarbox. All methods may be called concurrently.
type Node struct {
	opts    Options
	logger  *slog.Logger
	started time.Time

	queue   pillarbox.Queue
	keys    pillarbox.Keys // of idempotency; nil where none are kept
	letters pillarbox.DeadLetters
	clock   *clock.Clock
	sources *source.Sources
	wired   atomic.Pointer[wiring]
	memory  *admission.Memory // of bodies, of all fronts together

	canary    *canary.Schedule  // nil where none is sent
	canaryKey *source.CanaryKey // the same

	canaryDoor atomic.Pointer[canary.Door] // set before the canary runs

	ingest   *ingest.Ingest
	watch    *deliver.Watch
	history  *deliver.History
	ledger   *ledger.Ledger
	replayer *replay.Replayer
	jobs     *replay.Jobs
	claims   background.Claims // of replays and back-fills: one of them works on a destination
	filling  *backfill.Jobs
	purges   *purge.Jobs
	causes   *causes.Cache
	held     *held.Events // nil where the queue obliges nobody

	answers  lastAnswers // of what may hang
	ready    atomic.Bool
	stopping context.Context // ended by Drain, for what Start began
	stop     context.CancelFunc

	mu         sync.Mutex
	group      chan struct{}    // closed when what Start began has ended; nil before. Guarded by mu
	deliveries *run.Stage       // where loops run; nil where none do. Guarded by mu
	added      []pillarbox.Sink // by Reload, to be closed. Guarded by mu

	reloading sync.Mutex // held by Reload, so that the tables are those of one call
	reviewing sync.Mutex // held by a review

	closing sync.Once
	closed  error // what Close returned
}

// Open connects the engines. It looks whether they can serve, and tells the queue what each
// destination is meant to get from now on. After an error the engines are closed. ctx is for Open
// only. Errors: ErrInvalid, and those of the engines.
func Open(ctx context.Context, opts Options) (*Node, error) {
	n, err := newNode(opts)
	if err == nil {
		err = n.meetEngines(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	n.connect()
	return n, nil
}

// newNode compiles the settings. It returns a Node that can be closed in any case.
func newNode(opts Options) (*Node, error) {
	n := &Node{
		opts: opts, logger: opts.Logger, started: time.Now(), queue: opts.Queue, letters: opts.DeadLetters, clock: opts.Clock,
		history: deliver.NewHistory(),
	}
	if n.logger == nil {
		n.logger = slog.New(slog.DiscardHandler)
	}
	if n.opts.Now == nil {
		n.opts.Now = time.Now
	}
	if n.opts.Chance == nil {
		n.opts.Chance = rand.Float64
	}
	if n.opts.MaxInFlightBytes <= 0 {
		n.opts.MaxInFlightBytes = DefaultMaxInFlightBytes
	}
	if n.opts.DrainTimeout <= 0 {
		n.opts.DrainTimeout = run.DefaultDrainTimeout
	}
	n.memory = admission.NewMemory(n.opts.MaxInFlightBytes)
	n.newCanary()
	n.stopping, n.stop = context.WithCancel(context.Background())
	switch {
	case n.queue == nil, n.letters == nil, n.clock == nil:
		return n, pillarbox.Invalid("a node needs a queue, dead letters and a clock")
	}
	sources, destinations, err := n.compile(opts.Settings)
	if err != nil {
		return n, err
	}
	n.sources = source.NewSources(sources)
	n.watch = deliver.NewWatch(destinations)
	wired := &wiring{table: destinations, sinks: map[string]*deliver.Guard{},
		loops: map[string]*deliver.Loop{}}
	n.wired.Store(wired)
	for _, d := range destinations.All() {
		if wired.sinks[d.Name], err = n.guard(d.Name, opts.Sinks); err != nil {
			return n, err
		}
	}
	return n, nil
}

// compile makes the tables of the settings.
func (n *Node) compile(settings Settings) (*source.Table, *destination.Table, error) {
	options := source.Options{Canary: n.canaryKey, Metrics: n.opts.Metrics, Logger: n.logger, Now: n.clock.Now, Rate: settings.Rate}
	if n.opts.Engines.Quarantine != nil {
		options.Quarantine = n.roomInQuarantine
	}
	sources, err := source.Compile(settings.Sources, options)
	if err != nil {
		return nil, nil, err
	}
	traits := n.queue.Traits()
	list := slices.Clone(settings.Destinations)
	var ruleAt destination.RuleAt
	if traits.Obliges {
		ruleAt = n.queue.RuleAt
	}
	if traits.Shared {
		// Others fill the queue too, with sources that this node need not know. To skip an event there
		// because of its source would delete the only one. What a filter says is said of all.
		for i, d := range list {
			list[i].Rule = nil
			if d.Rule != nil && d.Rule.Where != "" {
				list[i].Rule = &pillarbox.Rule{Where: d.Rule.Where}
			}
		}
	}
	destinations, err := destination.Compile(list, ruleAt, compileFilter)
	return sources, destinations, err
}

func compileFilter(expression string) (destination.Filter, error) { return filter.Compile(expression) }

// setKeyLimits tells whoever keeps idempotency keys for how long.
func (n *Node) setKeyLimits(settings *Settings) {
	n.queue.SetKeyLimits(settings.KeyWindow, settings.MaxKeys)
	if n.opts.Keys != nil {
		n.opts.Keys.SetWindow(settings.KeyWindow)
	}
}

// connect makes the verbs of what is open.
func (n *Node) connect() {
	if n.keys = n.queue.Keys(); n.keys == nil && n.opts.Keys != nil {
		n.keys = n.opts.Keys
	}
	n.setKeyLimits(&n.opts.Settings)
	options := ingest.Options{Metrics: n.opts.Metrics, Now: n.clock.Now, Keys: n.keys}
	if n.opts.Engines.Quarantine != nil {
		n.opts.Engines.Quarantine.SetLimits(n.opts.Settings.Quarantine)
		options.Quarantine = apart{n.opts.Engines.Quarantine}
	}
	n.ingest = ingest.New(n.queue, options)
	n.clock.Watch(func(step clock.Step) {
		if step.By < 0 {
			n.ingest.ClockSetBack()
		}
	})
	wired := n.wired.Load()
	for _, d := range wired.table.All() {
		wired.loops[d.Name] = n.newLoop(d, wired.sinks[d.Name])
	}
	for _, name := range n.unconfigured() {
		wired.loops[name] = n.newLoop(n.table().Unconfigured(name), nil)
	}
	if n.queue.Traits().Obliges {
		n.held = held.New(n.queue, n.letters, func() []string { return n.queue.Stats().Destinations },
			n.clock.Now)
	}
	n.ledger = ledger.New(n.queue, n.letters, n.ledgerDestinations, n.history)
	n.replayer = replay.New(replay.Options{Letters: n.letters, Deliver: n.deliverBy(replay.Kind), Queue: n.queue,
		Now: n.clock.Now, Lag: n.liveLag})
	n.jobs = replay.NewJobs(n.replayer, n.jobOptions())
	n.causes = causes.NewCache(n.letters, func() []string {
		names := append(n.table().Names(), n.unconfigured()...)
		slices.Sort(names)
		return slices.Compact(names)
	}, n.clock.Now)
	n.purges = purge.NewJobs(purge.New(purge.Options{Queue: n.queue, Sink: n.sinkToPurge,
		Now: n.clock.Now}))
	n.opts.Metrics.Watch(n.state)
}

// newLoop makes the loop of a destination. sink is nil where it is not configured any more.
func (n *Node) newLoop(to *destination.Destination, sink *deliver.Guard) *deliver.Loop {
	opts := deliver.Options{
		Destination: to, Queue: n.queue, Letters: n.letters, Watch: n.watch, History: n.history, Now: n.opts.Now, Date: n.clock.Now,
		Chance: n.opts.Chance, Logger: n.logger, Metrics: n.opts.Metrics.Deliver(to.Name), Traces: n.opts.Traces,
		Canary: n.canary.Settled,
	}
	if sink != nil {
		opts.Sink = sink
	}
	return deliver.NewLoop(opts)
}

// Acceptor makes requests durable, for a front that has its grants from Sources.
func (n *Node) Acceptor() *ingest.Ingest { return n.ingest }

// Sources are the ways in, for fronts.
func (n *Node) Sources() *source.Sources { return n.sources }

// RunReplay replays, and returns when it is done, as replay.Replayer's Run does.
func (n *Node) RunReplay(ctx context.Context, request replay.Request) (replay.Progress, error) {
	return n.replayer.Run(ctx, request, nil)
}

// unconfigured lists destinations that the queue knows and the configuration does not, sorted:
// their events wait.
func (n *Node) unconfigured() []string {
	var names []string
	for _, name := range n.queue.Stats().Destinations {
		if n.table().Get(name) == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
