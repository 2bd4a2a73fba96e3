package seglog

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"pillarbox"
)

// destinations is the delivery states, one for each destination: see consumer.
//
// Locks: creating, which comes before all others, is held while a destination is made, while events
// are routed or redelivered, and while segments are removed; core.mu guards the map.
type destinations struct {
	*core
	segments *segmentSet
	damage   *damageLog
	backlog  *backlog
	scanner  *scanner
	ages     *ages

	creating  sync.Mutex
	consumers map[string]*consumer
}

// load opens every destination that has left a state.
func (d *destinations) load() error {
	entries, err := d.fsys.ReadDir(d.dir)
	if err != nil {
		return fmt.Errorf("list %s: %w", d.dir, unavailable(err))
	}
	for _, entry := range entries {
		name, rest, found := strings.Cut(entry.Name, ".")
		if !found || d.consumers[name] != nil || (rest != "0.state" && rest != "1.state") {
			continue
		}
		c, err := d.open(name, 0)
		if err != nil {
			return err
		}
		d.consumers[name] = c
	}
	return nil
}

// get returns the destination's consumer, and makes it on first use.
func (d *destinations) get(name string) (*consumer, error) {
	if c, err := d.known(name); c != nil || err != nil {
		return c, err
	}
	if err := checkDestination(name); err != nil {
		return nil, err
	}
	d.creating.Lock()
	defer d.creating.Unlock()
	if c, err := d.known(name); c != nil || err != nil {
		return c, err
	}
	return d.create(name)
}

// getToChange is get for what changes a delivery state.
func (d *destinations) getToChange(name string) (*consumer, error) {
	if d.opts.ReadOnly {
		return nil, fmt.Errorf("change a delivery state in %s: opened for reading only: %w", d.dir,
			pillarbox.ErrClosed)
	}
	return d.get(name)
}

func (d *destinations) known(name string) (*consumer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, fmt.Errorf("queue %s: %w", d.dir, pillarbox.ErrClosed)
	}
	return d.consumers[name], nil
}

func (d *destinations) create(name string) (*consumer, error) {
	firstSeq, next := d.segments.bounds()
	joins := len(d.all()) > 0
	if joins {
		firstSeq = next
	}
	made, err := d.open(name, firstSeq)
	if err != nil {
		return nil, kinded(err)
	}
	if joins {
		made.joined = firstSeq
	}
	if !d.opts.ReadOnly {
		if err := made.journal.roll(made.state); err != nil {
			return nil, errors.Join(fmt.Errorf("begin destination %s: %w", name, err), made.close())
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.consumers[name] = made
	return made, nil
}

// open reads the state of a destination, or makes one that has settled everything before firstSeq.
func (d *destinations) open(name string, firstSeq uint64) (*consumer, error) {
	journal, loaded, damage, err := openJournal(d.fsys, d.opts.AtRest, d.dir, name, d.opts.StateBytes)
	if err != nil {
		return nil, err
	}
	d.damage.report(damage)
	fresh := loaded == nil
	if fresh {
		loaded = &state{
			position: position{start: firstSeq, cursor: firstSeq}, retry: map[uint64]*retryEntry{},
			began: pillarbox.TimestampOf(d.opts.Now()),
		}
		loaded.count(pillarbox.OutcomeSkipped, pillarbox.SkippedBefore, firstSeq-1)
	}
	c := &consumer{
		core: d.core, segments: d.segments, damage: d.damage, scanner: d.scanner, ages: d.ages,
		name: name, journal: journal, state: loaded,
		retries: retrySet{items: map[uint64]*item{}},
		resumed: resumedSet{items: map[uint64]*item{}},
	}
	err = c.load()
	if err == nil && !d.opts.ReadOnly && !fresh {
		err = journal.renew(loaded)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// checkDestination refuses names that can't be part of a file name.
func checkDestination(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789_-"
	if name == "" || len(name) > 63 || strings.Trim(name, letters) != "" ||
		strings.ContainsAny(name[:1], "_-") {
		return pillarbox.Invalid(
			"destination name %q: want up to 63 of a-z, 0-9, _ and -, beginning with a letter or digit",
			name)
	}
	return nil
}

func (d *destinations) all() []*consumer {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*consumer, 0, len(d.consumers))
	for _, c := range d.consumers {
		all = append(all, c)
	}
	return all
}

// sync makes the delivery states durable.
func (d *destinations) sync() error {
	var errs []error
	for _, c := range d.all() {
		errs = append(errs, c.sync())
	}
	return errors.Join(errs...)
}

// noteAhead makes known to the next life what is settled in front of the cursors.
func (d *destinations) noteAhead() error {
	var errs []error
	for _, c := range d.all() {
		errs = append(errs, c.noteAhead())
	}
	return errors.Join(errs...)
}

// measureBacklog tells the backlog how far every destination is.
func (d *destinations) measureBacklog() { d.backlog.measure(d.all()) }

// oldestUnsettled is the oldest event that some destination has not settled.
func (d *destinations) oldestUnsettled() uint64 {
	oldest := uint64(1<<64 - 1)
	for _, c := range d.all() {
		oldest = min(oldest, c.needs.Load())
		c.mu.Lock()
		for seq := range c.state.retry {
			oldest = min(oldest, seq)
		}
		c.mu.Unlock()
	}
	return oldest
}
