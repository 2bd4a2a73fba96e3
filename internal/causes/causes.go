// Package causes counts what failed by its cause: dead letters, and events that are being retried.
//
// It promises that every open dead letter that a filter selects, and every event that waits for another
// attempt, is counted in one group: that of its destination and of what pillarbox.Cause makes of its
// error. There are at most MaxGroups; what has no room is counted as others. Looking changes nothing.
// A count is as of one walk: what comes and goes meanwhile is counted or not.
//
// It knows no engine and no HTTP.
package causes

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"pillarbox"
)

// MaxGroups is how many groups there are at most, those with the most events first.
const MaxGroups = 200

// maxCounted bounds how many causes are counted at a time.
const maxCounted = 10_000

// Group is what has failed in one way.
type Group struct {
	Destination string              `json:"destination"`
	Cause       string              `json:"cause"`
	Count       uint64              `json:"count"`
	First       pillarbox.Timestamp `json:"first"`          // when the first of them died, or was tried last
	Last        pillarbox.Timestamp `json:"last"`           // and the last
	Sample      string              `json:"sample"`         // request id of the last
	Error       string              `json:"error"`          // of the sample, as it was
	Source      string              `json:"source"`         // of the sample
	Attempts    int                 `json:"attempts"`       // the most of one event; 0 for dead letters
	Next        pillarbox.Timestamp `json:"next,omitempty"` // when the first of those that are retried is tried again
}

// Groups are groups, the largest first, and how many events are in none of them.
type Groups struct {
	Groups     []Group             `json:"groups"`
	Others     uint64              `json:"others"`     // in groups that have no room
	Unreadable uint64              `json:"unreadable"` // whose letters can't be read
	AsOf       pillarbox.Timestamp `json:"as_of,omitempty"`
	Counting   bool                `json:"counting,omitempty"` // a count is under way: these are not complete, or not of now
}

type key struct{ destination, cause string }

// counter gathers groups.
type counter struct {
	groups map[key]*Group
	others uint64
	causes map[string]string // of texts that were met
}

func newCounter() *counter { return &counter{groups: map[key]*Group{}, causes: map[string]string{}} }

// cause remembers the causes of some texts: most events of a group say the same.
func (c *counter) cause(text string) string {
	cause, known := c.causes[text]
	if !known {
		if len(c.causes) >= maxCounted {
			clear(c.causes)
		}
		cause = pillarbox.Cause(text)
		c.causes[text] = cause
	}
	return cause
}

// add counts one event.
func (c *counter) add(one *Group) {
	at := key{one.Destination, c.cause(one.Error)}
	g := c.groups[at]
	if g == nil {
		if len(c.groups) >= maxCounted {
			c.others++
			return
		}
		one.Cause, one.Count, one.First = at.cause, 1, one.Last
		c.groups[at] = one
		return
	}
	g.Count++
	g.First, g.Attempts = min(g.First, one.Last), max(g.Attempts, one.Attempts)
	if one.Next != 0 && (g.Next == 0 || one.Next < g.Next) {
		g.Next = one.Next
	}
	if one.Last >= g.Last {
		g.Last, g.Sample, g.Error, g.Source = one.Last, one.Sample, one.Error, one.Source
	}
}

func (c *counter) result() *Groups {
	result := &Groups{Groups: []Group{}, Others: c.others}
	for _, g := range c.groups {
		result.Groups = append(result.Groups, *g)
	}
	slices.SortFunc(result.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(b.Last, a.Last), cmp.Compare(a.Destination, b.Destination), cmp.Compare(a.Cause, b.Cause))
	})
	for len(result.Groups) > MaxGroups {
		last := len(result.Groups) - 1
		result.Others += result.Groups[last].Count
		result.Groups = result.Groups[:last]
	}
	return result
}

// Dead groups the open dead letters that the filter selects, without opening them where the engine knows
// enough of them.
func Dead(ctx context.Context, letters interface {
	Summaries(ctx context.Context, filter pillarbox.DeadLetterFilter) iter.Seq2[pillarbox.DeadLetterSummary, error]
}, filter pillarbox.DeadLetterFilter) (*Groups, error) {
	filter.Resolved, filter.Missing = false, false
	c, unreadable := newCounter(), uint64(0)
	for summary, err := range letters.Summaries(ctx, filter) {
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, pillarbox.ErrUnavailable), errors.Is(err, pillarbox.ErrClosed):
			return nil, err
		case err != nil:
			unreadable++
			continue
		}
		c.add(ofSummary(&summary))
	}
	result := c.result()
	result.Unreadable = unreadable
	return result, ctx.Err()
}

func ofSummary(s *pillarbox.DeadLetterSummary) *Group {
	return &Group{Destination: s.Destination, Error: s.Reason, Last: s.DeadAt, Sample: s.Key.RequestID, Source: s.Source}
}

// Pending is the part of a queue that knows what waits.
type Pending interface {
	ScanPending(ctx context.Context, destination string, visit func(*pillarbox.Delivery) error) error
}

// errRest ends a walk that has seen all that is retried.
var errRest = errors.New("the rest was not tried yet")

// Retrying groups the events of the destinations that wait for another attempt. It does not read what was
// not tried yet.
func Retrying(ctx context.Context, queue Pending, destinations []string) (*Groups, error) {
	c := newCounter()
	for _, destination := range destinations {
		err := queue.ScanPending(ctx, destination, func(d *pillarbox.Delivery) error {
			switch {
			case d.Event.IsCanary(): // no user's event, and it may wait among those that were tried
				return nil
			case len(d.Attempts) == 0 && d.Rejection == nil:
				return errRest
			}
			c.add(retrying(destination, d))
			return nil
		})
		if err != nil && !errors.Is(err, errRest) {
			return nil, err
		}
	}
	return c.result(), nil
}

func retrying(destination string, d *pillarbox.Delivery) *Group {
	g := &Group{Destination: destination, Sample: d.Event.RequestID, Source: d.Event.Source, Attempts: len(d.Attempts), Next: d.NotBefore}
	if d.Rejection != nil {
		g.Error, g.Last = d.Rejection.Reason, d.Rejection.DeadAt
	}
	if n := len(d.Attempts); n > 0 {
		g.Error, g.Last = d.Attempts[n-1].Error, d.Attempts[n-1].At
	}
	return g
}
