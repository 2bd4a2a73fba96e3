// Package destination compiles a way out: what it takes, and the rules by which it is delivered to.
//
// A Destination is a value that never changes; a reload makes a new Table. Whoever has to know
// whether an event is for a destination asks it: delivering, the ledger and its audit, whoever
// waits for an event to be stored. So what a destination takes is decided in one place. It knows no
// queue and no sink.
package destination

import (
	"cmp"
	"fmt"
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
	From         From            // what it gets of what was accepted before it began
	RefuseFailed bool            // what the filter fails on becomes a dead letter; else it is delivered
	Shape        Shape           // what is changed of what is delivered
	Retry        retry.Policy
	MaxAge       time.Duration // since the event began to wait; older events become dead letters; 0 for no limit
	Batch        batch.Limits
	Probe        retry.Breaker // its waits
	WriteTimeout time.Duration // of one write, after which its outcome is unknown; negative leaves it to the caller's context
	Canary       Canary        // what becomes of the events of the canary
}

// Canary says what a destination does with the events of the canary. The zero value is the default.
// What the destination takes, its filter and its shape don't matter for them.
type Canary struct {
	Policy  CanaryPolicy
	Timeout time.Duration // after which one is late, and is not written any more; 0 is DefaultCanaryTimeout
}

// CanaryPolicy says whether a destination gets events of the canary.
type CanaryPolicy int

// The policies.
const (
	CanaryThereAndBack CanaryPolicy = iota // where it can be read back and removed from, and nowhere else
	CanaryNever
	CanarySend // also where it stays; it is for whoever gets it to know it by pillarbox.CanaryHeader
)

// SendsCanary reports whether a destination whose sink can do that is sent events of the canary.
func (d *Destination) SendsCanary(traits pillarbox.SinkTraits) bool {
	returns := traits.Readable && traits.Removes
	return d.Canary.Policy == CanarySend || d.Canary.Policy == CanaryThereAndBack && returns
}

// DefaultCanaryTimeout is how long an event of the canary may take.
const DefaultCanaryTimeout = 30 * time.Second

// From says what a new destination gets of what the queue still has of the time before it.
type From struct {
	Before bool                // something; else what is accepted from now on
	Since  pillarbox.Timestamp // inclusive; 0 for all
	Store  string              // the destination whose store has what the queue has forgotten; empty for none
}

// Destination is a compiled destination. All methods may be called concurrently.
type Destination struct {
	Settings

	filters   *filters
	remembers bool    // the queue knows the rules of the past
	shape     *shaper // nil where nothing is changed

	// elsewhere reports whether another destination was meant to get the event when it was
	// accepted, and still takes it. nil: none was.
	elsewhere func(handle pillarbox.Handle, event *pillarbox.Event) bool
}

// New compiles a destination that stands alone and has no filter.
func New(settings Settings) *Destination {
	settings.Retry = settings.Retry.WithDefaults()
	settings.Batch = settings.Batch.WithDefaults()
	settings.Canary.Timeout = cmp.Or(settings.Canary.Timeout, DefaultCanaryTimeout)
	settings.WriteTimeout = cmp.Or(settings.WriteTimeout, DefaultWriteTimeout)
	return &Destination{Settings: settings, filters: &filters{}, shape: newShaper(&settings.Shape)}
}

// Unconfigured makes what stands for a destination that is not configured any more: it takes
// nothing, so what was meant for it is held, what was not is skipped, and what has a rejection
// becomes a dead letter. So the queue goes on without it. That of a Table knows what the filters of
// the past had to say; this one takes them to have let everything through.
func Unconfigured(name string) *Destination {
	return New(Settings{Name: name, Rule: &pillarbox.Rule{Sources: []string{}}})
}

// Takes reports whether the destination takes the event today: what its filter fails on, it takes.
// One of the canary is no user's event, and nobody's.
func (d *Destination) Takes(event *pillarbox.Event) bool {
	return !event.IsCanary() && (d.Rule == nil || d.Meant(d.Rule, event))
}

// Fills reports whether the destination takes what it is given beside live traffic: as Takes, but
// what its filter fails on only where that is delivered.
func (d *Destination) Fills(event *pillarbox.Event) bool {
	if d.Rule == nil || event.IsCanary() {
		return !event.IsCanary()
	}
	_, taken, failed := d.filters.takes(d.Rule, event)
	return taken && (failed == nil || !d.RefuseFailed)
}

// Meant reports whether an event is for the destination by a rule of its past or present. What a
// filter fails on is.
func (d *Destination) Meant(rule *pillarbox.Rule, event *pillarbox.Event) bool {
	_, taken, _ := d.filters.takes(rule, event)
	return taken
}

// What an event is meant for is fixed when it is accepted; the configuration of today decides what
// is done about it. A rule takes an event by its source and by its filter:
//
//	meant for the destination then | taken today | another has it, then and today | what becomes of it
//	no                             | -           | -                               | skipped: its source was not taken, or the filter did not take it
//	yes, or by a person's word     | yes         | -                               | delivered
//	yes                            | no          | yes                             | skipped: elsewhere
//	yes                            | no          | no                              | held
//	not known                      | no          | yes                             | skipped: its source was not taken
//	not known                      | no          | no                              | held
//
// Where the queue remembers no rules, the filter of today is the one that counts. An event of the
// canary is skipped by a rule of its own, whatever the others say.

// Decision is what the rules say of a delivery.
type Decision struct {
	Hold   bool   // no destination takes it any more although this one was meant to
	Skip   string // the rule by which it is not for the destination, one of the Skipped constants
	Refuse bool   // it becomes a dead letter because of Failed
	Failed error  // the filter can't tell
}

// Decide says what is done about a delivery. The zero value is: it is delivered.
func (d *Destination) Decide(delivery *pillarbox.Delivery) (decided Decision) {
	if delivery.Event.IsCanary() {
		return Decision{Skip: pillarbox.SkippedCanary}
	}
	if delivery.Routed || d.Rule == nil {
		return decided
	}
	source, taken, failed := d.filters.takes(d.Rule, delivery.Event)
	meantSource, meant := true, true
	switch then := delivery.Rule; {
	case then == nil && !d.remembers && source:
		meant = taken
	case then == nil:
	case then.Where == d.Rule.Where && then.Takes(delivery.Event) && source:
		meant = taken
	default:
		meantSource, meant, _ = d.filters.takes(then, delivery.Event)
	}
	switch {
	case !meantSource:
		return Decision{Skip: pillarbox.SkippedSource}
	case !meant:
		return Decision{Skip: pillarbox.SkippedFilter}
	case taken:
		return Decision{Failed: failed, Refuse: failed != nil && d.RefuseFailed}
	case !d.takenElsewhere(delivery):
		return Decision{Hold: true}
	case delivery.Rule == nil:
		return Decision{Skip: pillarbox.SkippedSource}
	}
	return Decision{Skip: pillarbox.SkippedElsewhere}
}

// Holds reports whether no destination takes the event any more although this one was meant to.
func (d *Destination) Holds(delivery *pillarbox.Delivery) bool { return d.Decide(delivery).Hold }

func (d *Destination) takenElsewhere(delivery *pillarbox.Delivery) bool {
	return d.elsewhere != nil && d.elsewhere(delivery.Handle, delivery.Event)
}

// Table is all the destinations of a configuration. It never changes.
type Table struct {
	all     []*Destination // sorted by name
	filters *filters
}

// RuleAt returns the rule that held for a destination when an event was accepted, and nil where
// that is not known. It is that of pillarbox.Obligations.
type RuleAt func(destination string, handle pillarbox.Handle) *pillarbox.Rule

// Compile makes a table of destinations with different names. ruleAt is nil for a queue that does
// not remember rules; compile is for the filters of all rules, of today and of the past, and may be
// nil where there are none. Errors: ErrInvalid.
func Compile(settings []Settings, ruleAt RuleAt, compile CompileFilter) (*Table, error) {
	t := &Table{filters: &filters{compile: compile}}
	for _, s := range settings {
		if s.Name == "" {
			return nil, pillarbox.Invalid("a destination has no name")
		}
		if t.Get(s.Name) != nil {
			return nil, pillarbox.Invalid("two destinations are called %s", s.Name)
		}
		d := New(s)
		d.filters = t.filters
		if s.Rule != nil && s.Rule.Where != "" {
			if err := t.filters.get(s.Rule.Where).err; err != nil {
				return nil, fmt.Errorf("destinations.%s.where: %w", s.Name, err)
			}
		}
		if ruleAt != nil {
			d.remembers, d.elsewhere = true, t.elsewhere(s.Name, ruleAt)
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
			return then == nil || d.Meant(then, event)
		})
	}
}

// Unconfigured makes what stands for a destination that is not in the table any more.
func (t *Table) Unconfigured(name string) *Destination {
	d := Unconfigured(name)
	d.filters, d.remembers = t.filters, true
	return d
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
