package crashmodel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

const (
	queueDir   = "queue"
	lettersDir = "dead-letters"

	maxDestinations = 2

	lives        = 3  // of a world
	stepsPerLife = 10 // in the middle
	maxGroup     = 6  // events of one append
	maxLease     = 12 // events of one delivery
	keyTable     = 8  // idempotency keys that are in memory before they are written
)

// epoch is when every world begins.
var epoch = pillarbox.Timestamp(1_750_000_000_000_000)

// service is what a process has open.
type service struct {
	keys    *atrest.Keys // nil in a world in which nothing was ever sealed
	log     *seglog.Log
	letters *files.Letters // nil in a world whose letters are elsewhere, and safe
}

// sealing is whether a life seals what it writes.
type sealing int

const (
	never sealing = iota // and so did no life before it
	off                  // what earlier lives have sealed can be read
	on
)

// rotation is for how long a data key seals, on the clock of a world.
const rotation = 15 * time.Second

// master wraps all data keys.
var master = func() atrest.KeyEncryption {
	key, err := atrest.NewSecretKey("crash model", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		panic(err)
	}
	return key
}()

func (s sealing) open(fsys vfs.FS, now func() time.Time) (*atrest.Keys, error) {
	opts := atrest.Options{Now: now, Rotation: rotation}
	switch s {
	case never:
		return nil, nil
	case off:
		opts.OldKeys = []atrest.KeyEncryption{master}
	case on:
		opts.Key = master
	}
	return atrest.Open(context.Background(), fsys, opts)
}

// open recovers what is on the disk. now is the service's clock. At most maxRetrying events wait
// for another attempt.
func open(fsys vfs.FS, withLetters bool, maxRetrying int, seal sealing, now func() time.Time) (*service, error) {
	s := &service{}
	var err error
	if s.keys, err = seal.open(fsys, now); err != nil {
		return nil, fmt.Errorf("open the data keys: %w", err)
	}
	if withLetters {
		if s.letters, err = files.Open(fsys, lettersDir, files.Options{Unmaintained: true, AtRest: s.keys}); err != nil {
			return nil, fmt.Errorf("open the dead letters: %w", err)
		}
	}
	s.log, err = seglog.Open(fsys, queueDir, seglog.Options{
		SegmentBytes: seglog.MinSegmentBytes, KeepBytes: -1, MinFreeBytes: 1, StateBytes: 2 << 10, ManualMaintenance: true, Now: now,
		MaxRetrying: maxRetrying, KeyTable: keyTable, AtRest: s.keys,
	})
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return s, nil
}

// begin makes the destinations, before there is an event: a later one would not get what was there
// before.
func (s *service) begin(destinations []string, rules []pillarbox.Rule) error {
	for i, destination := range destinations {
		if err := s.log.Oblige(context.Background(), destination, rules[i]); err != nil {
			return fmt.Errorf("begin destination %s: %w", destination, err)
		}
	}
	return nil
}

func (s *service) close() error {
	err := s.log.Close()
	if s.letters != nil {
		err = errors.Join(err, s.letters.Close())
	}
	return err
}

// lease returns up to n deliveries that are there, without waiting for more.
func (s *service) lease(destination string, n int) ([]pillarbox.Delivery, error) {
	deliveries, err := s.log.Lease(noWait, destination, pillarbox.LeaseLimits{MaxEvents: n})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	return deliveries, err
}

// noWait has ended before it begins: a Lease with it hands out what is there.
var noWait = func() context.Context {
	ctx, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	cancel()
	return ctx
}()

// world is one history. Everything in it follows from its seed, except for the salts in the files.
type world struct {
	seed      uint64
	letters   bool // it has its dead letters on the same disk
	seals     func(life int) sealing
	life      int
	few       bool             // so few events may wait for another attempt that most are given back
	rules     []pillarbox.Rule // of the destinations, today
	rng       *rand.Rand
	disk      *faultfs.FS
	clock     pillarbox.Timestamp
	service   *service
	reference *reference
}

// newWorld makes the world of a seed. Every third has two destinations, every fourth its letters on
// the disk. In every seventh all is sealed, and in another seventh encryption comes and goes. Every
// second of the second destinations gets only what a person gives it.
func newWorld(seed uint64) *world {
	destinations := []string{"events", "archive"}
	if seed%3 != 0 {
		destinations = destinations[:1]
	}
	second := pillarbox.Rule{Sources: []string{"app"}}
	if seed%2 == 0 {
		second = pillarbox.Rule{Sources: []string{"another"}}
	}
	seals := func(int) sealing { return never }
	switch seed % 7 {
	case 0:
		seals = func(int) sealing { return on }
	case 1:
		seals = func(life int) sealing { return off + sealing(life%2) }
	}
	return &world{
		seals: seals,
		seed:  seed, letters: seed%4 == 0, few: seed%5 == 0, rules: []pillarbox.Rule{everything,
			second}, rng: rand.New(rand.NewPCG(seed, 0)), disk: faultfs.New(
			faultfs.Options{}), clock: epoch,
		reference: newWitness(destinations),
	}
}

// everything is the rule of a destination that takes both sources.
var everything = pillarbox.Rule{Sources: []string{"app", "old"}}

func (w *world) now() time.Time { return w.clock.Time() }

// maxRetrying is the limit of a world with few, and 0 for the default.
func (w *world) maxRetrying() int {
	if w.few {
		return 2
	}
	return 0
}

// run lives the whole history. Its errors are violations too: nothing fails on a disk that works.
func (w *world) run() error {
	for ; w.life < lives; w.life++ {
		var err error
		if w.service, err = open(w.disk, w.letters, w.maxRetrying(), w.seals(w.life), w.now); err != nil {
			return err
		}
		if err := w.service.begin(w.reference.destinations, w.rules); err != nil {
			return err
		}
		for range stepsPerLife + w.rng.IntN(stepsPerLife) {
			w.clock += pillarbox.Timestamp(1 + w.rng.IntN(2_000_000))
			if err := w.step(); err != nil {
				return err
			}
		}
		if w.rng.IntN(3) == 0 {
			w.kill()
			continue
		}
		if err := w.service.close(); err != nil {
			return err
		}
	}
	return nil
}

// kill ends the process and lets the machine live: what was written and not synced can be read, and
// may still be lost.
func (w *world) kill() {
	after := w.disk.Kill()
	w.disk.After(nil)
	_ = w.service.close() // of the process that is gone, on a disk that nobody looks at any more
	w.disk = after
	w.reference.observe(w.disk)
}

func (w *world) step() error {
	switch chance := w.rng.IntN(12); {
	case chance >= 10:
		return w.reconfigure()
	case chance < 4:
		return w.append(1 + w.rng.IntN(maxGroup))
	case chance < 8:
		err := w.deliver(w.rng.IntN(len(w.reference.destinations)), 1+w.rng.IntN(maxLease))
		if err == nil && w.rng.IntN(3) == 0 { // what was settled is trimmed before anything else is synced
			err = w.maintain()
		}
		return err
	case chance < 9:
		return w.maintain()
	default:
		return w.resolve(w.rng.IntN(len(w.reference.destinations)))
	}
}

func (w *world) maintain() error {
	if w.service.keys.Seals() {
		w.service.keys.RotateIfDue(context.Background())
	}
	w.service.log.Maintain()
	if w.letters {
		return w.service.letters.Maintain()
	}
	return nil
}

// append sends one group. It is acknowledged only if Append says so.
func (w *world) append(n int) error {
	promises := make([]*promise, n)
	events := make([]*pillarbox.Event, n)
	for i := range promises {
		promises[i] = w.reference.send(w.event())
		events[i] = promises[i].event
		for to, way := range promises[i].ways {
			way.stored = !takes(&w.rules[to], events[i]) // not meant for the destination: nothing is promised
		}
	}
	if err := w.service.log.Append(context.Background(), events); err != nil {
		return fmt.Errorf("append: %w", err)
	}
	for _, p := range promises {
		p.acked = true
	}
	return nil
}

// event draws an event. Most are small, so that a frame holds many sectors now and then and not
// always.
func (w *world) event() *pillarbox.Event {
	size := w.rng.IntN(80)
	if w.rng.IntN(8) == 0 {
		size = w.rng.IntN(2000)
	}
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(w.rng.Uint32())
	}
	number := w.reference.next()
	source := "app"
	if w.rng.IntN(3) == 0 {
		source = "old"
	}
	event := &pillarbox.Event{
		Timestamp: epoch + pillarbox.Timestamp(number), RequestID: fmt.Sprintf(
			"%08x-0000-7000-8000-%012x", w.seed&0xffffffff, number),
		Source: source, Method: "POST", Path: "/app", ContentType: "text/plain", Body: body,
		Header: pillarbox.Header{{Name: "Content-Type", Value: "text/plain"}},
	}
	if number%3 != 0 {
		binary.BigEndian.PutUint64(event.Idempotency.Key[:], uint64(number)*0x9e3779b97f4a7c15)
		event.Idempotency.Fingerprint = uint64(number)
	}
	if number%4 == 1 {
		event.Facts = &pillarbox.Facts{Caller: "shop", CEID: fmt.Sprint(number),
			Attributes: pillarbox.Attributes{{Name: "tenant", Value: fmt.Sprint(number)}}}
	}
	return event
}

// deliver leases some events, stores most of them, and has others refused, given back, rejected and
// dead-lettered, in no order.
func (w *world) deliver(to, n int) error {
	destination := w.reference.destinations[to]
	deliveries, err := w.service.lease(destination, n)
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	if err := w.putDeadLetters(to, deliveries); err != nil {
		return err
	}
	outcomes := make([]pillarbox.Outcome, 0, len(deliveries))
	var promised []func()
	for _, delivery := range deliveries {
		outcome, settled, err := w.attempt(delivery, to)
		if err != nil {
			return err
		}
		outcomes, promised = append(outcomes, outcome), append(promised, settled)
	}
	w.rng.Shuffle(len(outcomes), func(i, j int) {
		outcomes[i], outcomes[j] = outcomes[j],
			outcomes[i]
	})
	if len(outcomes) == 0 {
		return nil
	}
	if err := w.service.log.Settle(context.Background(), destination, outcomes); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	for _, settled := range promised {
		settled()
	}
	return nil
}

// attempt draws the outcome of one delivery. settled notes what is promised once Settle has
// returned.
func (w *world) attempt(delivery pillarbox.Delivery,
	to int) (outcome pillarbox.Outcome, settled func(), err error) {
	p := w.reference.promises[delivery.Event.RequestID]
	if p == nil {
		return outcome, nil, fmt.Errorf("event %s was leased and never sent", delivery.Event.RequestID)
	}
	way := p.ways[to]
	outcome = pillarbox.Outcome{Handle: delivery.Handle, Kind: pillarbox.OutcomeStored}
	refused := &pillarbox.Attempt{At: w.clock, Class: pillarbox.ClassRefused, Error: "no"}
	tried := func() {
		if !w.few { // else there may have been no room to remember it
			way.tried = max(way.tried, len(delivery.Attempts)+1)
		}
	}
	switch chance := w.rng.IntN(10); {
	case delivery.Rejection != nil:
		outcome.Kind = pillarbox.OutcomeDead
		return outcome, func() { way.dead = true }, nil
	case !delivery.Routed && delivery.Rule != nil && !delivery.Rule.Takes(delivery.Event):
		outcome.Kind, outcome.Skip = pillarbox.OutcomeSkipped, pillarbox.SkippedSource
	case !delivery.Routed && delivery.Rule != nil && !takes(delivery.Rule, delivery.Event):
		outcome.Kind, outcome.Skip = pillarbox.OutcomeSkipped, pillarbox.SkippedFilter
	case !delivery.Routed && !takes(&w.rules[to], delivery.Event):
		outcome.Kind = pillarbox.OutcomeHeld
	case chance < 2:
		outcome.Kind, outcome.Attempt = pillarbox.OutcomeRetry, refused
		return outcome, tried, nil
	case chance == 2:
		outcome.Kind = pillarbox.OutcomeReleased
	case chance == 3:
		outcome.Kind, outcome.Attempt = pillarbox.OutcomeRejected, refused
		outcome.Rejection = &pillarbox.Rejection{Reason: "no", DeadAt: w.clock}
		return outcome, tried, nil
	default:
		way.stored = true // in a destination that is durable when it answers
	}
	return outcome, func() {}, nil
}

// putDeadLetters puts the letters of all that are rejected, as one group.
func (w *world) putDeadLetters(to int, deliveries []pillarbox.Delivery) error {
	var letters []*pillarbox.DeadLetter
	var ways []*way
	for _, delivery := range deliveries {
		p := w.reference.promises[delivery.Event.RequestID]
		if delivery.Rejection == nil || p == nil {
			continue
		}
		letters = append(letters, &pillarbox.DeadLetter{
			Version: pillarbox.DeadLetterVersion, Destination: w.reference.destinations[to], Reason: delivery.Rejection.Reason,
			DeadAt: delivery.Rejection.DeadAt, Attempts: delivery.Attempts, Event: delivery.Event, Replay: "replay",
		})
		ways = append(ways, p.ways[to])
	}
	if w.letters && len(letters) > 0 {
		for _, way := range ways {
			way.letter = letterMaybe
		}
		if err := w.service.letters.PutMany(context.Background(), letters); err != nil {
			return fmt.Errorf("put dead letters: %w", err)
		}
	}
	for _, way := range ways {
		way.letter = letterOpen
	}
	return nil
}

// resolve ends some open letters as one group, if there are any.
func (w *world) resolve(to int) error {
	if !w.letters {
		return nil
	}
	var keys []pillarbox.DeadLetterKey
	var ways []*way
	for range 1 + w.rng.IntN(3) {
		p := w.reference.openLetter(w.rng, to)
		if p == nil {
			break
		}
		p.ways[to].letter = letterEither // and no more drawn
		keys = append(keys, pillarbox.DeadLetterKey{Destination: w.reference.destinations[to],
			Key: p.event.Key()})
		ways = append(ways, p.ways[to])
	}
	if len(keys) == 0 {
		return nil
	}
	if err := w.service.letters.ResolveMany(context.Background(), keys,
		pillarbox.Resolution{At: w.clock, How: pillarbox.ResolvedReplayed}); err != nil {
		return fmt.Errorf("resolve dead letters: %w", err)
	}
	for _, way := range ways {
		way.letter = letterResolved
	}
	return nil
}
