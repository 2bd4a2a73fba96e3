package adminclient

import (
	"cmp"
	"context"
	"errors"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
)

// Follow says what to follow, and who is told of it. Its functions are called one at a time.
type Follow struct {
	// Query selects the events. Without Cursor and Since it begins with what is stored from now on.
	// Since should be a time, and not how long ago: it is asked again. Until, Limit and Newest are
	// not possible.
	Query adminapi.EventQuery

	Event func(event *pillarbox.Event) error // gets each event once; its error ends all
	Lost  func(err error)                    // is told once each time that the server is gone; may be nil
}

// The waits before another try to reach a server that is gone: the first, and the longest. They
// double in between. A server that asks for a longer one gets it.
const (
	firstFollowWait = 100 * time.Millisecond
	maxFollowWait   = 5 * time.Second
)

// followStable is how long a stream lasts that counts as a server which is back. A server that
// stops takes streams, and ends them at once.
const followStable = 5 * time.Second

// FollowOn follows what is stored, across restarts of the server and outages of the network, until
// ctx ends, which it returns. It goes on where it was, tells no event twice, and misses none that
// was stored while the server was gone: also one that was held up and is stored behind younger
// ones, as far back as it remembers what it has told (followRemembered, followBytes). The server
// must be there when it begins. Errors: ctx's own, that of Event, and those of a server that is
// there and refuses.
func (c *Client) FollowOn(ctx context.Context, f Follow) error {
	told, query, err := c.beginFollow(ctx, f.Query)
	if err != nil {
		return err
	}
	outage := outage{tell: f.Lost}
	for {
		s := stream{began: time.Now()}
		from := told.from(query)
		lagged, err := c.followOnce(ctx, &from, func() { s.connected = true },
			func(event *pillarbox.Event, _ string) error {
				if s.news = true; told.has(event) {
					return nil
				}
				if s.failed = f.Event(event); s.failed == nil {
					told.add(event)
				}
				return s.failed
			})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case s.failed != nil:
			return s.failed
		case lagged:
			continue
		case err == nil:
			err = c.streamEnded()
		case !errors.Is(err, pillarbox.ErrUnavailable):
			return err
		}
		if !outage.goOn(ctx, &s, err) {
			return cmp.Or(ctx.Err(), err)
		}
	}
}

// stream is one connection of a follower.
type stream struct {
	began     time.Time
	connected bool  // the server has taken it
	news      bool  // it has brought an event
	failed    error // of who gets the events
}

// outage is the time in which the server is gone.
type outage struct {
	tell func(err error) // nil: nobody
	seen bool            // the server was there once
	told bool            // of this one
	wait time.Duration   // before the next try
}

// goOn waits before the next try, and is false where there is to be none, because the server was
// never there, or ctx has ended.
func (o *outage) goOn(ctx context.Context, s *stream, err error) bool {
	if o.seen = o.seen || s.connected; !o.seen {
		return false
	}
	if o.wait == 0 || s.news || s.connected && time.Since(s.began) >= followStable {
		o.told, o.wait = false, firstFollowWait
	}
	if !o.told && o.tell != nil {
		o.tell(err)
	}
	o.told = true
	timer := time.NewTimer(max(o.wait, pillarbox.RetryAfter(err)))
	defer timer.Stop()
	o.wait = min(2*o.wait, maxFollowWait)
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// beginFollow finds out where to begin. What is stored from now on is what is behind the newest
// event: with that as the cursor, nothing is missed if the server goes before it has told anything.
func (c *Client) beginFollow(ctx context.Context, q adminapi.EventQuery) (*followed,
	adminapi.EventQuery, error) {
	told := &followed{}
	if q.Cursor != "" || q.Since != "" {
		var err error
		told.floor, err = adminapi.ParseEventCursor(q.Cursor)
		return told, q, err
	}
	page, err := c.Events(ctx, adminapi.EventQuery{Destination: q.Destination, Newest: true, Limit: 1})
	if err != nil {
		return nil, q, err
	}
	if len(page.Events) == 0 {
		q.Since = pillarbox.Timestamp(1).String()
		return told, q, nil
	}
	told.floor = page.Events[0].Key()
	return told, q, nil
}

// The bounds of what a follower remembers of what it has told: events, and bytes of them. It is
// read again when the server comes back.
const (
	followRemembered = 50_000
	followBytes      = 64 << 20
)

// followed remembers what was told, so that it is told once. Events may come in another order than
// that of their keys: one that was held up is stored behind younger ones.
type followed struct {
	floor pillarbox.Key // whatever was told and is forgotten is not behind it
	seen  map[pillarbox.Key]bool
	order []remembered // oldest first
	bytes int
}

type remembered struct {
	key   pillarbox.Key
	bytes int
}

// from is the query by which all is read again that is behind the floor.
func (f *followed) from(query adminapi.EventQuery) adminapi.EventQuery {
	if f.floor != (pillarbox.Key{}) {
		query.Cursor = adminapi.EventCursor(f.floor)
	}
	return query
}

func (f *followed) has(event *pillarbox.Event) bool { return f.seen[event.Key()] }

func (f *followed) add(event *pillarbox.Event) {
	if f.seen == nil {
		f.seen = map[pillarbox.Key]bool{}
	}
	item := remembered{key: event.Key(), bytes: len(event.Body)}
	f.seen[item.key] = true
	f.order, f.bytes = append(f.order, item), f.bytes+item.bytes
	for len(f.order) > followRemembered || f.bytes > followBytes {
		oldest := f.order[0]
		f.order, f.bytes = f.order[1:], f.bytes-oldest.bytes
		delete(f.seen, oldest.key)
		if cmp.Or(cmp.Compare(oldest.key.Timestamp, f.floor.Timestamp),
			cmp.Compare(oldest.key.RequestID, f.floor.RequestID)) > 0 {
			f.floor = oldest.key
		}
	}
}
