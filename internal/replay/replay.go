// Package replay puts dead letters back to the destination that refused them.
//
// It promises that an event keeps its timestamp and request id, so that replaying twice stores
// once; that a letter is marked as resolved only after its destination has stored the event, and
// that it is kept; that a letter which is refused again stays open, with the new attempt; that a
// replay stops when too many fail; and that a destination which is down keeps its own letters open
// and holds up no other. A replay goes straight to the destination and not through the queue: its
// results are known at once, a backlog does not hold it up, and it works while the queue is full.
// Where others deliver from the queue as well, it can go through the queue instead, for who can't
// reach the destination.
//
// A replay waits while live delivery lags. One that was cut off by the end of the process goes on where
// it was: a letter that was refused again is not tried twice for that.
//
// It knows no engine and no HTTP. It does not retry by itself: a letter gets one try per replay.
package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"pillarbox"
)

// Defaults and limits of a Request.
const (
	DefaultMaxFailed = 10
	DefaultSample    = 5
	MaxAttemptsKept  = 100 // in a letter that is replayed in vain again and again; the oldest go first

	canaryEvents = 1       // first batch: if that fails, little was tried
	batchEvents  = 1000    // later batches at most
	batchBytes   = 4 << 20 // of their bodies
)

// Request says what to replay and how carefully.
type Request struct {
	Filter    pillarbox.DeadLetterFilter // only open letters are replayed, whatever it says
	DryRun    bool                       // count and sample, and touch nothing
	Rate      float64                    // letters per second; 0 for no limit
	MaxFailed int                        // stop after so many were refused again; 0 is DefaultMaxFailed, negative for no limit
	Limit     int                        // letters at most; 0 for no limit

	ThroughQueue bool // put events back into the queue instead of writing them to their destination
}

// The states of a replay.
const (
	StateRunning   = "running"
	StateDone      = "done"      // everything that matched was tried
	StateStopped   = "stopped"   // too many failed, or a destination is down, whose other letters were not tried
	StateCancelled = "cancelled" // by a person or by the stop of the server
)

// Progress is how far a replay is.
type Progress struct {
	ID         string              `json:"id,omitempty"`
	State      string              `json:"state"`
	DryRun     bool                `json:"dry_run"`
	Matched    int                 `json:"matched"`  // letters that the filter selected so far
	Replayed   int                 `json:"replayed"` // stored now
	Failed     int                 `json:"failed"`   // refused again, still open
	Unreadable int                 `json:"unreadable"`
	Reason     string              `json:"reason,omitempty"` // why it stopped
	StartedAt  pillarbox.Timestamp `json:"started_at"`
	EndedAt    pillarbox.Timestamp `json:"ended_at,omitempty"`
	Sample     []Sample            `json:"sample,omitempty"` // of a dry run

	Waiting string  `json:"waiting,omitempty"` // why nothing is replayed just now
	Cursor  *Cursor `json:"cursor,omitempty"`  // the last letter that was dealt with
}

// Cursor is a pillarbox.DeadLetterPosition, to be kept.
type Cursor struct {
	DeadAt      pillarbox.Timestamp `json:"dead_at"`
	Timestamp   pillarbox.Timestamp `json:"timestamp"`
	RequestID   string              `json:"request_id"`
	Destination string              `json:"destination"`
}

func cursorOf(letter *pillarbox.DeadLetter) *Cursor {
	return &Cursor{DeadAt: letter.DeadAt, Timestamp: letter.Event.Timestamp, RequestID: letter.Event.RequestID,
		Destination: letter.Destination}
}

func (c *Cursor) position() pillarbox.DeadLetterPosition {
	if c == nil {
		return pillarbox.DeadLetterPosition{}
	}
	return pillarbox.DeadLetterPosition{DeadAt: c.DeadAt, Key: pillarbox.Key{Timestamp: c.Timestamp, RequestID: c.RequestID},
		Destination: c.Destination}
}

// Sample is one letter that would be replayed.
type Sample struct {
	RequestID   string              `json:"request_id"`
	Timestamp   pillarbox.Timestamp `json:"timestamp"`
	Destination string              `json:"destination"`
	Source      string              `json:"source"`
	Reason      string              `json:"reason"`
	DeadAt      pillarbox.Timestamp `json:"dead_at"`
}

// Deliver writes events to a destination once and returns one error for each, nil for the stored
// ones. down is set where the destination is down, and is then the error of the events that were
// not tried. A refusal may carry its attempt as a *RefusedError.
type Deliver func(ctx context.Context, destination string,
	events []*pillarbox.Event) (errs []error, down error)

// Replayer replays. It is safe for concurrent use; two replays of the same letters store each event
// once.
type Replayer struct {
	letters pillarbox.DeadLetters
	deliver Deliver
	queue   pillarbox.Queue // that takes letters back; nil where none does
	now     func() time.Time
	lag     func(destination string) string
	turn    chan struct{} // holds a token while a letter is looked at and changed, so that nobody undoes the other
}

// Options of a Replayer. Letters and Deliver are required.
type Options struct {
	Letters pillarbox.DeadLetters
	Deliver Deliver
	// Queue is where replays can go through, if it requeues (see its Traits); nil for none. "Replayed"
	// means put back then, and what becomes of the events is the affair of who delivers.
	Queue pillarbox.Queue
	Now   func() time.Time // default time.Now
	// Lag says in words why a replay to the destination has to wait, because live delivery lags; "" is
	// that it has not. Default: never.
	Lag func(destination string) string
}

// New makes a Replayer.
func New(options Options) *Replayer {
	if options.Now == nil {
		options.Now = time.Now
	}
	r := &Replayer{letters: options.Letters, deliver: options.Deliver, now: options.Now, lag: options.Lag,
		turn: make(chan struct{}, 1)}
	if options.Queue != nil && options.Queue.Traits().Requeues {
		r.queue = options.Queue
	}
	return r
}

// requeue puts letters back into the queue, and tells an outage of the queue from refusals. What it
// returns is that of Deliver.
func (r *Replayer) requeue(ctx context.Context,
	letters []*pillarbox.DeadLetter) (errs []error, down error) {
	errs = make([]error, len(letters))
	err := r.queue.Requeue(ctx, letters)
	var partial *pillarbox.BatchError
	switch {
	case err == nil:
	case errors.As(err, &partial):
		for _, item := range partial.Items {
			if errs[item.Index] = item.Err; errors.Is(item.Err, pillarbox.ErrUnavailable) {
				if down == nil {
					down = item.Err
				}
				errs[item.Index] = down // one error for all that were not tried
			}
		}
	default:
		return slices.Repeat([]error{err}, len(letters)), err
	}
	return errs, down
}

// Run replays and calls report with the progress after each batch, and at the end with the final
// one, which it also returns. The error is one of the dead letters or ctx's own; what was replayed
// before stays replayed.
func (r *Replayer) Run(ctx context.Context, request Request,
	report func(Progress)) (Progress, error) {
	return r.Continue(ctx, request, Progress{State: StateRunning, DryRun: request.DryRun,
		StartedAt: pillarbox.TimestampOf(r.now())}, report)
}

// Continue goes on with a replay from a progress that it reported when it had not ended.
func (r *Replayer) Continue(ctx context.Context, request Request, last Progress,
	report func(Progress)) (Progress, error) {
	if err := r.check(request); err != nil {
		return Progress{}, err
	}
	run := &run{Replayer: r, request: request, report: report, progress: last}
	run.progress.Waiting = ""
	if request.Rate > 0 {
		run.limiter = rate.NewLimiter(rate.Limit(request.Rate), max(1, int(request.Rate)))
	}
	run.request.Filter.Resolved = false
	if last.Cursor != nil {
		run.request.Filter.After = last.Cursor.position()
	}
	err := run.walk(ctx)
	switch {
	case err == nil && len(run.down) > 0:
		run.progress.State = StateStopped
	case err == nil:
		run.progress.State = StateDone
	case errors.Is(err, errStop):
		run.progress.State = StateStopped
		err = nil
	case errors.Is(err, context.Canceled):
		run.progress.State = StateCancelled
	default:
		run.progress.State, run.progress.Reason = StateStopped, err.Error()
	}
	run.progress.Waiting = ""
	run.progress.EndedAt = pillarbox.TimestampOf(r.now())
	run.tell()
	return run.progress, err
}

func (r *Replayer) check(request Request) error {
	if request.ThroughQueue && r.queue == nil {
		return pillarbox.Invalid("through the queue: it counts what it takes in, and an event that is put back would count twice; replay straight to the destination")
	}
	return nil
}

// errStop ends a replay that has its reason in the progress.
var errStop = errors.New("replay stopped")

type run struct {
	*Replayer
	request  Request
	report   func(Progress)
	limiter  *rate.Limiter
	progress Progress
	batches  int
	clean    int             // letters that were replayed since the last one that was refused
	down     map[string]bool // destinations that are down
}

func (r *run) tell() {
	if r.report != nil {
		r.report(r.progress)
	}
}

// walk gathers letters of one destination into batches, in the order of the list.
func (r *run) walk(ctx context.Context) error {
	if r.request.DryRun {
		return r.look(ctx)
	}
	var batch []*pillarbox.DeadLetter
	bytes := 0
	flush := func() error {
		letters := batch
		batch, bytes = nil, 0
		if len(letters) == 0 {
			return nil
		}
		return r.replay(ctx, letters)
	}
	var last error
	for letter, err := range r.letters.List(ctx, r.request.Filter) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if last = err; err != nil {
			r.progress.Unreadable++
			continue
		}
		if len(batch) > 0 && (len(batch) >= r.batchSize() || bytes+len(letter.Event.Body) > batchBytes ||
			batch[0].Destination != letter.Destination) {
			if err := flush(); err != nil {
				return err
			}
		}
		r.progress.Matched++
		if !r.down[letter.Destination] {
			batch, bytes = append(batch, letter), bytes+len(letter.Event.Body)
		}
		if r.request.Limit > 0 && r.progress.Matched >= r.request.Limit {
			break
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	return r.cutOff(last)
}

// cutOff is why a list has ended early, if its last item says that it has: an index that can't be read
// is no unreadable letter, and not all of them were seen.
func (r *run) cutOff(last error) error {
	if !errors.Is(last, pillarbox.ErrUnavailable) && !errors.Is(last, pillarbox.ErrClosed) {
		return nil
	}
	r.progress.Unreadable--
	return fmt.Errorf("the list of dead letters has ended early, start the replay again for the rest: %w", last)
}

// look counts and samples without opening a letter.
func (r *run) look(ctx context.Context) error {
	var last error
	for summary, err := range r.letters.Summaries(ctx, r.request.Filter) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if last = err; err != nil {
			r.progress.Unreadable++
			continue
		}
		r.match(summary)
		if r.request.Limit > 0 && r.progress.Matched >= r.request.Limit {
			break
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.cutOff(last)
}

// batchSize grows from the canary, to no more than may still be refused, or than were replayed in a
// row before: as long as all goes well, batches double, and after a refusal they are small again.
// With a limit on the rate, a batch is never more than a second's worth.
func (r *run) batchSize() int {
	size := batchEvents
	if limit := r.maxFailed(); limit >= 0 {
		size = min(size, max(limit-r.progress.Failed, r.clean))
	}
	if r.batches == 0 {
		size = canaryEvents
	}
	if r.limiter != nil {
		size = min(size, r.limiter.Burst())
	}
	return size
}

func (r *run) match(letter pillarbox.DeadLetterSummary) {
	r.progress.Matched++
	if len(r.progress.Sample) < DefaultSample {
		r.progress.Sample = append(r.progress.Sample, Sample{
			RequestID: letter.Key.RequestID, Timestamp: letter.Key.Timestamp, Destination: letter.Destination,
			Source: letter.Source, Reason: letter.Reason, DeadAt: letter.DeadAt,
		})
	}
}

// replay writes one batch and settles its letters.
func (r *run) replay(ctx context.Context, letters []*pillarbox.DeadLetter) error {
	r.batches++
	if err := r.wait(ctx, letters[0].Destination); err != nil {
		return err
	}
	if r.limiter != nil {
		if err := r.limiter.WaitN(ctx, len(letters)); err != nil {
			return errors.Join(context.Canceled, err)
		}
	}
	errs, down := r.pass(ctx, letters)
	// What the destination has stored is recorded even if the caller has left.
	if err := r.settle(context.WithoutCancel(ctx), letters, errs, down); err != nil {
		return err
	}
	r.progress.Cursor = cursorOf(letters[len(letters)-1])
	r.tell()
	if down != nil {
		r.skip(letters[0].Destination, down)
	}
	switch limit := r.maxFailed(); {
	case ctx.Err() != nil:
		return ctx.Err()
	case limit >= 0 && r.progress.Failed >= limit:
		r.progress.Reason = fmt.Sprintf("%d letters were refused again (the limit is %d); look at \"pillarbox dead list\" before going on", r.progress.Failed, limit)
		return errStop
	}
	return nil
}

// The waits until it is looked whether live delivery still lags: each time twice as long.
const (
	firstLagPoll   = time.Second / 8
	longestLagPoll = 8 * time.Second
)

// wait lets live delivery go first.
func (r *run) wait(ctx context.Context, destination string) error {
	for again := firstLagPoll; r.lag != nil; again = min(2*again, longestLagPoll) {
		why := r.lag(destination)
		if why != r.progress.Waiting {
			r.progress.Waiting = why
			r.tell()
		}
		if why == "" {
			break
		}
		timer := time.NewTimer(again)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
	return nil
}

// skip leaves the other letters of a destination alone. Those of others are still tried.
func (r *run) skip(destination string, why error) {
	if r.down == nil {
		r.down = map[string]bool{}
	}
	r.down[destination] = true
	what := "destination " + destination + " can't take events now"
	if r.request.ThroughQueue {
		what = "the queue can't take letters of " + destination + " now"
	}
	reason := fmt.Sprintf("%s, the other ones stay open: %v", what, why)
	if r.progress.Reason != "" {
		reason = r.progress.Reason + "; " + reason
	}
	r.progress.Reason = reason
}

// pass hands the events of one destination on.
func (r *run) pass(ctx context.Context,
	letters []*pillarbox.DeadLetter) (errs []error, down error) {
	if r.request.ThroughQueue {
		return r.requeue(ctx, letters)
	}
	events := make([]*pillarbox.Event, len(letters))
	for i, letter := range letters {
		events[i] = letter.Event
	}
	return r.deliver(ctx, letters[0].Destination, events)
}

func (r *run) maxFailed() int {
	if r.request.MaxFailed == 0 {
		return DefaultMaxFailed
	}
	return r.request.MaxFailed
}

// settle records what became of the letters of one batch: all that were stored with one call.
func (r *run) settle(ctx context.Context, letters []*pillarbox.DeadLetter, errs []error,
	down error) error {
	var stored []*pillarbox.DeadLetter
	for i, letter := range letters {
		switch {
		case errs[i] == nil:
			stored = append(stored, letter)
		case down != nil && errors.Is(errs[i], down): // not tried, or with an unknown outcome: nothing to record
		default:
			r.progress.Failed++
		}
	}
	if r.clean += len(stored); len(stored) < len(letters) {
		r.clean = 0
	}
	r.progress.Replayed += len(stored)
	if err := r.resolve(ctx, stored); err != nil {
		return err
	}
	for i, letter := range letters {
		if errs[i] == nil || down != nil && errors.Is(errs[i], down) {
			continue
		}
		if err := r.reopen(ctx, letter, errs[i]); err != nil {
			return err
		}
	}
	return nil
}

// resolve marks the letters as replayed. One that was put back and has died again meanwhile is
// another letter of the same event, and stays open.
func (r *run) resolve(ctx context.Context, letters []*pillarbox.DeadLetter) error {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	keys := make([]pillarbox.DeadLetterKey, 0, len(letters))
	for _, letter := range letters {
		if r.request.ThroughQueue {
			now, err := r.letters.Get(ctx, letter.Destination, letter.Event.RequestID)
			if err == nil && now.DeadAt != letter.DeadAt {
				continue
			}
		}
		keys = append(keys, pillarbox.DeadLetterKey{Destination: letter.Destination,
			Key: letter.Event.Key()})
	}
	if len(keys) == 0 {
		return nil
	}
	resolution := pillarbox.Resolution{At: pillarbox.TimestampOf(r.now()),
		How: pillarbox.ResolvedReplayed}
	if err := r.letters.ResolveMany(ctx, keys, resolution); err != nil {
		return fmt.Errorf("mark letters as replayed: %w", err)
	}
	return nil
}

// reopen records that the event was refused again, unless somebody has resolved its letter
// meanwhile: that stays.
func (r *run) reopen(ctx context.Context, letter *pillarbox.DeadLetter, refusal error) error {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	id := letter.Event.RequestID
	switch now, err := r.letters.Get(ctx, letter.Destination, id); {
	case err != nil && !errors.Is(err, pillarbox.ErrNotFound):
		return fmt.Errorf("record the failed replay of %s: %w", id, err)
	case err == nil && now.Resolved != nil:
		return nil
	}
	again := *letter
	again.DeathReason = letter.ReasonOfDeath()
	again.Attempts = append(append([]pillarbox.Attempt(nil), letter.Attempts...),
		pillarbox.AttemptOf(refusal, pillarbox.TimestampOf(r.now())))
	if extra := len(again.Attempts) - MaxAttemptsKept; extra > 0 {
		again.Attempts = again.Attempts[extra:]
	}
	again.Reason = "refused again at replay: " + again.Attempts[len(again.Attempts)-1].Error
	if err := pillarbox.PutDeadLetter(ctx, r.letters, &again); err != nil {
		return fmt.Errorf("record the failed replay of %s: %w", id, err)
	}
	return nil
}

// DiscardMany gives up the open letters that the filter selects, and returns how many those were. A dry
// run counts them. The filter must select by something: ErrInvalid. What is given up before an error
// stays so.
func (r *Replayer) DiscardMany(ctx context.Context, filter pillarbox.DeadLetterFilter, dryRun bool) (discarded int, err error) {
	if filter.IsZero() {
		return 0, pillarbox.Invalid("nothing says which dead letters; name a destination, a source, times, an error, a cause or request ids")
	}
	filter.Resolved, filter.Missing = false, false
	for ctx.Err() == nil {
		var keys []pillarbox.DeadLetterKey
		for summary, err := range r.letters.Summaries(ctx, filter) {
			switch {
			case errors.Is(err, pillarbox.ErrUnavailable), errors.Is(err, pillarbox.ErrClosed):
				return discarded, err
			case err != nil:
				continue // what can't be read is listed as that, and stays
			}
			if dryRun {
				discarded++
				continue
			}
			keys = append(keys, pillarbox.DeadLetterKey{Destination: summary.Destination, Key: summary.Key})
			filter.After = pillarbox.DeadLetterPosition{DeadAt: summary.DeadAt, Key: summary.Key, Destination: summary.Destination}
			if len(keys) >= batchEvents {
				break
			}
		}
		if len(keys) == 0 {
			break
		}
		if err := r.discardAll(ctx, keys); err != nil {
			return discarded, err
		}
		discarded += len(keys)
	}
	return discarded, ctx.Err()
}

func (r *Replayer) discardAll(ctx context.Context, keys []pillarbox.DeadLetterKey) error {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	return r.letters.ResolveMany(context.WithoutCancel(ctx), keys, pillarbox.Resolution{At: pillarbox.TimestampOf(r.now()),
		How: pillarbox.ResolvedDiscarded})
}

// Discard gives up an open letter for good. It is kept, marked as discarded. A letter that is
// resolved already is ErrConflict.
func (r *Replayer) Discard(ctx context.Context, destination, requestID string) error {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	letter, err := r.letters.Get(ctx, destination, requestID)
	if err != nil {
		return err
	}
	if letter.Resolved != nil {
		return fmt.Errorf("dead letter %s was %s already: %w", requestID, letter.Resolved.How,
			pillarbox.ErrConflict)
	}
	resolution := pillarbox.Resolution{At: pillarbox.TimestampOf(r.now()),
		How: pillarbox.ResolvedDiscarded}
	return pillarbox.ResolveDeadLetter(ctx, r.letters,
		pillarbox.DeadLetterKey{Destination: letter.Destination, Key: letter.Event.Key()}, resolution)
}
