package destination

import (
	"sync"

	"pillarbox"
)

// Filter decides by an expression. An error says why it can't tell of an event.
type Filter interface {
	Takes(event *pillarbox.Event) (bool, error)
}

// CompileFilter makes a filter of an expression. Errors: ErrInvalid.
type CompileFilter func(expression string) (Filter, error)

// filters are those of a table, of today and of the rules that held before, compiled once.
type filters struct {
	compile CompileFilter
	known   sync.Map // *compiled by expression
}

type compiled struct {
	filter Filter
	err    error
}

func (f *filters) get(expression string) *compiled {
	if known, ok := f.known.Load(expression); ok {
		return known.(*compiled)
	}
	made := &compiled{err: errNoFilters}
	if f.compile != nil {
		made.filter, made.err = f.compile(expression)
	}
	known, _ := f.known.LoadOrStore(expression, made)
	return known.(*compiled)
}

var errNoFilters = pillarbox.Invalid("there is nobody here who can evaluate a filter")

// takes reports whether the rule takes the event, by its source and by its filter. What a filter
// fails on it takes, and failed says why: an event is never lost by that.
func (f *filters) takes(rule *pillarbox.Rule, event *pillarbox.Event) (source, taken bool, failed error) {
	switch {
	case !rule.Takes(event):
		return false, false, nil
	case rule.Where == "":
		return true, true, nil
	}
	made := f.get(rule.Where)
	if made.err != nil {
		return true, true, made.err
	}
	taken, failed = made.filter.Takes(event)
	return true, taken || failed != nil, failed
}
