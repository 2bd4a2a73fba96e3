// Package destination compiles a way out: what it takes, and the rules by which it is delivered to.
//
// A Destination is a value that never changes; a reload makes a new Table. Whoever has to know
// whether an event is for a destination asks it: delivering, the ledger and its audit, whoever
// waits for an event to be stored. So what a destination takes is decided in one place. It knows no
// queue and no sink.
package destination

import (
	"cmp"
	"slices"
	"time"

	"pillarbox"
	"pillarbox/internal/batch"
	"pillarbox/internal/retry"
)

// DefaultWriteTimeout is how long one write may take before its outcome is unknown.
const DefaultWriteTimeout = 30 * time.Second

// Settings are what a configuration says of a destination. Zero means the default.
type Settings struct {
	Name         string
	URL          string          // as it is shown: without credentials
	Rule         *pillarbox.Rule // what it takes; nil takes all
	Retry        retry.Policy
	MaxAge       time.Duration // since the event began to wait; older events become dead letters; 0 for no limit
	Batch        batch.Limits
	Probe        retry.Breaker // its waits
	WriteTimeout time.Duration // of one write, after which its outcome is unknown; negative leaves it to the caller's context
}

// Destination is a compiled destination. All methods may be called concurrently.
type Destination struct {
	Settings

	// elsewhere reports whether another destination was meant to get the event when it was accepted,
	// and still takes it. nil: none was.
	elsewhere func(handle pillarbox.Handle, event *pillarbox.Event) bool
}

// New compiles a destination that stands alone.
func New(settings Settings) *Destination {
	settings.Retry = settings.Retry.WithDefaults()
	settings.Batch = settings.Batch.WithDefaults()
	settings.WriteTimeout = cmp.Or(settings.WriteTimeout, DefaultWriteTimeout)
	return &Destination{Settings: settings}
}

// Unconfigured makes what stands for a destination that is not configured any more: it takes
// nothing, so what was meant for it is held, what was not is skipped, and what has a rejection
// becomes a dead letter. So the queue goes on without it.
func Unconfigured(name string) *Destination {
	return New(Settings{Name: name, Rule: &pillarbox.Rule{Sources: []string{}}})
}

// Takes reports whether the destination takes the event today.
func (d *Destination) Takes(event *pillarbox.Event) bool {
	return d.Rule == nil || d.Rule.Takes(event)
}

// What an event is meant for is fixed when it is accepted; the configuration of today decides what
// is done about it:
//
//	meant for the destination then | taken today | another has it, then and today | what becomes of it
//	no                             | -           | -                               | skipped: its source was not taken
//	yes, or by a person's word     | yes         | -                               | delivered
//	yes                            | no          | yes                             | skipped: elsewhere
//	yes                            | no          | no                              | held
//	not known                      | no          | yes                             | skipped: its source was not taken
//	not known                      | no          | no                              | held

// Holds reports whether no destination takes the event any more although this one was meant to.
func (d *Destination) Holds(delivery *pillarbox.Delivery) bool {
	meant := delivery.Rule == nil || delivery.Rule.Takes(delivery.Event)
	return !d.takes(delivery) && meant && !d.takenElsewhere(delivery)
}

// Skips returns the rule by which the event is not for the destination, one of the Skipped
// constants, and "" where it is.
func (d *Destination) Skips(delivery *pillarbox.Delivery) string {
	switch {
	case delivery.Routed || d.Rule == nil:
		return ""
	case delivery.Rule != nil && !delivery.Rule.Takes(delivery.Event):
		return pillarbox.SkippedSource
	case d.takes(delivery):
		return ""
	case delivery.Rule == nil:
		return pillarbox.SkippedSource
	}
	return pillarbox.SkippedElsewhere
}

func (d *Destination) takes(delivery *pillarbox.Delivery) bool {
	return delivery.Routed || d.Takes(delivery.Event)
}

func (d *Destination) takenElsewhere(delivery *pillarbox.Delivery) bool {
	return d.elsewhere != nil && d.elsewhere(delivery.Handle, delivery.Event)
}

// Table is all the destinations of a configuration. It never changes.
type Table struct {
	all []*Destination // sorted by name
}

// RuleAt returns the rule that held for a destination when an event was accepted, and nil where
// that is not known. It is that of pillarbox.Obligations.
type RuleAt func(destination string, handle pillarbox.Handle) *pillarbox.Rule

// Compile makes a table of destinations with different names. ruleAt is nil for a queue that does
// not remember rules. Errors: ErrInvalid.
func Compile(settings []Settings, ruleAt RuleAt) (*Table, error) {
	t := &Table{}
	for _, s := range settings {
		if s.Name == "" {
			return nil, pillarbox.Invalid("a destination has no name")
		}
		if t.Get(s.Name) != nil {
			return nil, pillarbox.Invalid("two destinations are called %s", s.Name)
		}
		d := New(s)
		if ruleAt != nil {
			d.elsewhere = t.elsewhere(s.Name, ruleAt)
		}
		t.all = append(t.all, d)
	}
	slices.SortFunc(t.all, func(a, b *Destination) int { return cmp.Compare(a.Name, b.Name) })
	return t, nil
}

// elsewhere makes the rule by which another destination was meant to get an event, and still takes
// it.
func (t *Table) elsewhere(but string, ruleAt RuleAt) func(pillarbox.Handle, *pillarbox.Event) bool {
	return func(handle pillarbox.Handle, event *pillarbox.Event) bool {
		return slices.ContainsFunc(t.all, func(d *Destination) bool {
			if d.Name == but || !d.Takes(event) {
				return false
			}
			then := ruleAt(d.Name, handle)
			return then == nil || then.Takes(event)
		})
	}
}

// All lists the destinations, sorted by name. The slice is the table's.
func (t *Table) All() []*Destination { return t.all }

// Names lists the names, sorted.
func (t *Table) Names() []string {
	names := make([]string, len(t.all))
	for i, d := range t.all {
		names[i] = d.Name
	}
	return names
}

// Get returns the destination of that name, or nil.
func (t *Table) Get(name string) *Destination {
	for _, d := range t.all {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// Takers lists the names of the destinations that take the event, sorted.
func (t *Table) Takers(event *pillarbox.Event) (names []string) {
	for _, d := range t.all {
		if d.Takes(event) {
			names = append(names, d.Name)
		}
	}
	return names
}
