package backfill

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"pillarbox"
)

const (
	// disorder is how much earlier than an event that was accepted before it an event may be: servers have
	// several cores, and clocks are set.
	disorder = time.Hour

	// maxNear bounds what is remembered of the oldest events of the queue: their ids.
	maxNear = 1_000_000

	firstPage = 50 // events; later ones have as many as batchBytes of their bodies hold
)

// Refused is an event that its destination refused, and the attempt.
type Refused struct {
	Event   *pillarbox.Event
	Attempt pillarbox.Attempt
}

// horizon tells what the queue has forgotten of the time before a destination.
type horizon struct {
	before pillarbox.Timestamp // of what is older nothing is there
	near   pillarbox.Timestamp // of what is older only the kept ones are there, and nobody knows of later ones
	kept   map[string]bool
}

func (h *horizon) forgotten(event *pillarbox.Event) bool {
	return event.Timestamp < h.before || event.Timestamp < h.near && !h.kept[event.RequestID]
}

// errNear ends a scan of the oldest events.
var errNear = errors.New("the oldest events are known")

// horizon looks at the oldest events of the queue. Where all that came before the destination is
// forgotten, the moment at which the queue learned of it parts what it has got from what it has not.
func (r *run) horizon(ctx context.Context) (*horizon, error) {
	start, began := r.opts.Queue.Began(r.request.Destination)
	h := &horizon{before: pillarbox.Timestamp(math.MaxInt64), near: pillarbox.Timestamp(math.MaxInt64), kept: map[string]bool{}}
	err := r.opts.Queue.ScanKept(ctx, func(d *pillarbox.Delivery) error {
		at := d.Event.Timestamp
		if d.Handle.Seq >= start.Seq && len(h.kept) == 0 || len(h.kept) >= maxNear ||
			len(h.kept) > 0 && at > h.before+pillarbox.Timestamp(disorder/time.Microsecond) {
			h.near = at
			return errNear
		}
		h.before, h.kept[d.Event.RequestID] = min(h.before, at), true
		return nil
	})
	if err != nil && !errors.Is(err, errNear) {
		return nil, err
	}
	if len(h.kept) > 0 {
		return h, nil
	}
	if began == 0 {
		if began = r.request.Until; began == r.progress.StartedAt {
			return nil, pillarbox.Invalid("since when %s gets events is not known, and the queue has nothing of the time before it; say with until which events it has not got",
				r.request.Destination)
		}
	}
	return &horizon{before: min(began, r.request.Until)}, nil
}

// copying copies events out of another store.
type copying struct {
	*run
	from    pillarbox.EventStore
	into    pillarbox.EventStore // nil where the destination can't be asked
	horizon *horizon
	record  pillarbox.CopyRecord
	counted pillarbox.CopyKey // what is not behind it may be counted already; only where the destination can't be asked
	pending map[string]bool   // what the record says may be stored already and is not counted
	buried  map[string]bool   // of these, what became a dead letter before it was counted
	limit   int
}

func (r *run) newCopying(ctx context.Context) (*copying, error) {
	c := &copying{run: r, from: r.opts.Store(r.request.FromStore), into: r.opts.Store(r.request.Destination),
		pending: map[string]bool{}, buried: map[string]bool{}, limit: firstPage}
	if c.from == nil {
		return nil, pillarbox.Invalid("the events of %s can't be read back", r.request.FromStore)
	}
	var err error
	if c.horizon, err = r.horizon(ctx); err != nil {
		return nil, err
	}
	c.record = r.opts.Queue.Copied(r.request.Destination)
	for _, id := range c.record.Batch {
		c.pending[id] = true
	}
	if job := r.progress.StartedAt.String(); c.record.Job != job {
		c.record = pillarbox.CopyRecord{Job: job, Batch: c.record.Batch, Reached: c.record.Reached}
	}
	if c.into == nil {
		c.counted = c.record.Reached
	}
	return c, nil
}

// copy gives the destination what the queue has forgotten and another store has: page after page,
// beside the live delivery. What is about to be written is on the record before it is, so that an
// event is counted once however often it is written.
func (r *run) copy(ctx context.Context) error {
	c, err := r.newCopying(ctx)
	if err != nil {
		return err
	}
	c.show()
	for {
		if err := r.wait(ctx, r.lag); err != nil {
			return err
		}
		page, chosen, err := c.read(ctx)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := c.give(ctx, chosen, pillarbox.CopyKey(page[len(page)-1].Key())); err != nil {
			return err
		}
	}
}

// read reads a page and chooses of it, and waits while a store does not answer.
func (c *copying) read(ctx context.Context) (page, chosen []*pillarbox.Event, err error) {
	for pause := firstPoll; ; pause = min(2*pause, longestPoll) {
		if page, err = c.page(ctx, c.record.After.Key()); err == nil {
			chosen, err = c.choose(ctx, page)
		}
		if ctx.Err() != nil || !errors.Is(err, pillarbox.ErrUnavailable) {
			return page, chosen, errors.Join(ctx.Err(), err)
		}
		if err := c.rest(ctx, pause, err.Error()); err != nil {
			return nil, nil, err
		}
	}
}

// lookIntoStore is the dry run of copy.
func (r *run) lookIntoStore(ctx context.Context) error {
	c, err := r.newCopying(ctx)
	if err != nil {
		return err
	}
	for after := (pillarbox.Key{}); ; {
		page, err := c.page(ctx, after)
		if err != nil || len(page) == 0 {
			return err
		}
		chosen, err := c.choose(ctx, page)
		if err != nil {
			return err
		}
		for _, event := range chosen {
			r.match(event)
		}
		after = page[len(page)-1].Key()
	}
}

// page reads the next events. Those that can't be read are counted.
func (c *copying) page(ctx context.Context, after pillarbox.Key) ([]*pillarbox.Event, error) {
	if c.limiter != nil {
		c.limit = min(c.limit, c.limiter.Burst())
	}
	events, err := c.from.List(ctx, pillarbox.EventFilter{Source: c.request.Source, Since: c.request.Since,
		Until: min(c.request.Until, max(c.horizon.before, c.horizon.near)), After: after, Limit: c.limit})
	var unreadable *pillarbox.UnreadableError
	if errors.As(err, &unreadable) {
		c.progress.Unreadable += uint64(unreadable.Count)
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("read events of %s: %w", c.request.FromStore, err)
	}
	bytes := 1
	for _, event := range events {
		bytes += len(event.Body)
	}
	c.limit = max(1, min(batchEvents, batchBytes/bytes*len(events)))
	return events, nil
}

// choose returns those of the events that the destination takes, that are forgotten, and that it
// neither has nor has refused.
func (c *copying) choose(ctx context.Context, page []*pillarbox.Event) ([]*pillarbox.Event, error) {
	var keys []pillarbox.Key
	chosen := slices.DeleteFunc(slices.Clone(page), func(event *pillarbox.Event) bool {
		if !c.horizon.forgotten(event) || !c.opts.Takes(c.request.Destination, event) {
			return true
		}
		keys = append(keys, event.Key())
		return false
	})
	if c.into != nil && len(keys) > 0 {
		missing, err := c.into.Missing(ctx, keys)
		if err != nil {
			return nil, fmt.Errorf("ask %s what it has: %w", c.request.Destination, err)
		}
		chosen = slices.DeleteFunc(chosen, func(event *pillarbox.Event) bool {
			return !slices.Contains(missing, event.Key()) && !c.pending[event.RequestID]
		})
	}
	return c.leaveDead(ctx, chosen)
}

// leaveDead leaves out what has a dead letter: replays are for that. A letter that this copy has made and
// not counted is counted, and its event is not written again: it would be stored beside an open letter.
func (c *copying) leaveDead(ctx context.Context, chosen []*pillarbox.Event) ([]*pillarbox.Event, error) {
	if c.opts.Dead == nil {
		return chosen, nil
	}
	var left []*pillarbox.Event
	for _, event := range chosen {
		dead, err := c.opts.Dead(ctx, c.request.Destination, event.RequestID)
		if err != nil {
			return nil, fmt.Errorf("look for the dead letter of %s: %w", event.RequestID, err)
		}
		if c.buried[event.RequestID] = dead && c.pending[event.RequestID]; !dead || c.pending[event.RequestID] {
			left = append(left, event)
		}
	}
	return left, nil
}

// give writes events to the destination, and records that the copy goes on behind a key.
func (c *copying) give(ctx context.Context, events []*pillarbox.Event, last pillarbox.CopyKey) error {
	var refused []Refused
	if len(events) > 0 {
		err := c.begin(ctx, events)
		if err != nil {
			return err
		}
		if refused, err = c.write(ctx, c.unburied(events)); err != nil {
			return err
		}
	}
	if len(refused) > 0 {
		if err := c.opts.Bury(context.WithoutCancel(ctx), c.request.Destination, refused); err != nil {
			return fmt.Errorf("write dead letters: %w", err)
		}
	}
	for _, event := range events {
		if c.buried[event.RequestID] {
			refused = append(refused, Refused{Event: event})
		}
	}
	clear(c.buried)
	stored, dead := c.tally(events, refused)
	c.record.After = last
	if last.Key().Compare(c.record.Reached.Key()) > 0 {
		c.record.Reached = last
	}
	c.record.Stored += uint64(len(events) - len(refused))
	c.record.Dead += uint64(len(refused))
	c.record.Uncounted += uint64(len(events)) - stored - dead
	counted, err := c.save(ctx, stored, dead)
	if err != nil {
		return err
	}
	c.record.Uncounted += stored + dead - counted // the next change makes it durable
	c.show()
	c.tell()
	return ctx.Err()
}

// show has the progress say what the record does, which knows it also where the progress was not kept.
func (c *copying) show() {
	c.progress.Copied, c.progress.Dead, c.progress.Uncounted = c.record.Stored, c.record.Dead, c.record.Uncounted
	c.progress.Matched = c.progress.Taken + c.progress.Copied + c.progress.Dead
}

// unburied are the events that have no letter of this copy.
func (c *copying) unburied(events []*pillarbox.Event) []*pillarbox.Event {
	return slices.DeleteFunc(slices.Clone(events), func(event *pillarbox.Event) bool { return c.buried[event.RequestID] })
}

// tally says how many of the events are to be counted, and that they are not pending.
func (c *copying) tally(events []*pillarbox.Event, refused []Refused) (stored, dead uint64) {
	isRefused := map[string]bool{}
	for _, r := range refused {
		isRefused[r.Event.RequestID] = true
	}
	for _, event := range events {
		delete(c.pending, event.RequestID)
		switch {
		case event.Key().Compare(c.counted.Key()) <= 0: // an earlier copy has counted it
		case isRefused[event.RequestID]:
			dead++
		default:
			stored++
		}
	}
	return stored, dead
}

// begin records what is about to be written.
func (c *copying) begin(ctx context.Context, events []*pillarbox.Event) error {
	if c.limiter != nil {
		if err := c.limiter.WaitN(ctx, min(len(events), c.limiter.Burst())); err != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
	for _, event := range events {
		c.pending[event.RequestID] = true
	}
	_, err := c.save(ctx, 0, 0)
	return err
}

func (c *copying) save(ctx context.Context, stored, dead uint64) (counted uint64, err error) {
	c.record.Batch = nil
	for id := range c.pending {
		c.record.Batch = append(c.record.Batch, id)
	}
	slices.Sort(c.record.Batch)
	return c.opts.Queue.SetCopied(context.WithoutCancel(ctx), c.request.Destination, c.record, stored, dead)
}

// write writes events until each is stored or refused: an outage is waited for.
func (c *copying) write(ctx context.Context, events []*pillarbox.Event) (refused []Refused, err error) {
	if len(events) == 0 {
		return nil, nil
	}
	for pause := firstPoll; ; pause = min(2*pause, longestPoll) {
		errs, down := c.opts.Deliver(ctx, c.request.Destination, events)
		var again []*pillarbox.Event
		var untried error
		for i, event := range events {
			var attempt *pillarbox.RefusedError
			switch {
			case errs[i] == nil:
			case errors.As(errs[i], &attempt):
				refused = append(refused, Refused{event, attempt.Attempt})
			default:
				again, untried = append(again, event), errs[i]
			}
		}
		if len(again) == 0 {
			return refused, nil
		}
		if events = again; down == nil {
			down = untried
		}
		if err := c.rest(ctx, pause, fmt.Sprintf("the destination takes nothing: %v", down)); err != nil {
			return nil, err
		}
	}
}
