package adminapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/protocol"
	"pillarbox/internal/search"
)

const (
	TypeEventStream = "text/event-stream"

	// followWriteTimeout is how long a reader may take to read one piece before it counts as gone.
	followWriteTimeout = 30 * time.Second
	// followRemembered is about how many keys are remembered, so that an event which was read from the
	// store is not told again when the follower reports it.
	followRemembered = 10_000
)

// The names of the server-sent events.
const (
	StreamEvent  = "event"
	StreamLagged = "lagged" // the reader was too slow; it goes on from the last id
	StreamFailed = "failed" // the destination can't be read; data is the problem
)

// stream is one reader that follows events.
type stream struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	filter   pillarbox.EventFilter
	match    *search.Match
	high     pillarbox.Key // the highest key so far: where the reader goes on when it comes back
	recent   map[pillarbox.Key]bool
	previous map[pillarbox.Key]bool
}

// follow tells first what is stored behind the cursor, or since a time, and then what gets stored.
// An event that was held up on its way is stored behind younger ones: it is told live, and not to a
// reader who comes back with the cursor of a younger one.
func (a *Handler) follow(w http.ResponseWriter, r *apiRequest, destination string,
	filter pillarbox.EventFilter) error {
	defer a.leave()
	if a.followers.Add(1) > int64(a.opts.MaxFollowers) {
		return fmt.Errorf("%d streams of events are open, which is the limit (admin.max_followers); end one of them: %w", a.opts.MaxFollowers, pillarbox.ErrFull)
	}
	// First the follower, then the store: what is stored in between is seen twice and not missed.
	following, err := a.node.Follow(r.Context(), destination)
	if err != nil {
		return err
	}
	defer following.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &stream{w: w, control: http.NewResponseController(w), filter: filter, match: search.Compile(filter.Content),
		high:   filter.After,
		recent: map[pillarbox.Key]bool{}}
	backlog := filter.After != (pillarbox.Key{}) || filter.Since != 0
	var first EventPage
	if backlog {
		// The first page is read before the answer begins, so that an error is still an answer of its
		// own.
		if first, err = s.page(ctx, a, destination, filter.After); err != nil {
			return err
		}
	}
	protocol.LiftTimeouts(w)
	defer protocol.LiftTimeouts(w) // the deadline of the last piece is not for the next request
	w.Header().Set("Content-Type", TypeEventStream)
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	if err := s.run(ctx, a, destination, first, following); err != nil && ctx.Err() == nil &&
		!errors.Is(err, errGone) {
		s.fail(err)
	}
	return nil
}

// page reads what is stored behind a key. A stream needs no time range: where a page would, it goes on.
func (s *stream) page(ctx context.Context, a *Handler, destination string, after pillarbox.Key) (EventPage, error) {
	var passed EventPage // its names of what is no event
	for {
		page, err := a.page(ctx, destination, s.pageAfter(after))
		passed.name(page.Unreadable)
		page.Unreadable = passed.Unreadable
		var ended *pillarbox.ScanLimitError
		if !errors.As(err, &ended) {
			return page, err
		}
		after = ended.Last
		select {
		case <-a.stop:
			return page, nil
		case <-ctx.Done():
			return page, ctx.Err()
		default:
		}
	}
}

func (s *stream) pageAfter(key pillarbox.Key) pillarbox.EventFilter {
	filter := s.filter
	filter.After, filter.Limit = key, pillarbox.DefaultListLimit
	return filter
}

// errGone says that the reader reads no more.
var errGone = errors.New("the reader is gone")

func (s *stream) run(ctx context.Context, a *Handler, destination string, page EventPage,
	following Following) error {
	if err := s.write(": following\n\n"); err != nil {
		return err
	}
	for {
		for _, item := range page.Unreadable {
			if err := s.write(": passed over: " + strings.ToValidUTF8(item, "") + "\n\n"); err != nil {
				return err
			}
		}
		for _, event := range page.Events {
			if err := s.tell(event); err != nil {
				return err
			}
		}
		if page.NextCursor == "" {
			return s.live(ctx, a, following)
		}
		after, err := ParseEventCursor(page.NextCursor)
		if err != nil {
			return err
		}
		if page, err = s.page(ctx, a, destination, after); err != nil {
			return err
		}
		select {
		case <-a.stop:
			return nil
		default:
		}
	}
}

func (s *stream) live(ctx context.Context, a *Handler, following Following) error {
	heartbeat := time.NewTicker(a.opts.Heartbeat)
	defer heartbeat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.stop:
			return nil
		case <-heartbeat.C:
			if err := s.write(": still here\n\n"); err != nil {
				return err
			}
		case events, open := <-following.Batches:
			if !open {
				return s.write("event: " + StreamLagged + "\ndata: {}\n\n")
			}
			batch := a.texts.of(events)
			for i, event := range events {
				if !s.wants(event) {
					continue
				}
				text, err := batch.text(i)
				if err == nil {
					err = s.tellText(event, text)
				}
				if err != nil {
					return err
				}
			}
		}
	}
}

// wants is the filter for what comes from the follower.
func (s *stream) wants(event *pillarbox.Event) bool {
	switch key := event.Key(); {
	case s.filter.Source != "" && event.Source != s.filter.Source,
		s.filter.RequestID != "" && event.RequestID != s.filter.RequestID,
		event.Timestamp < s.filter.Since,
		!s.filter.Facts.Of(event),
		s.recent[key], s.previous[key]:
		return false
	}
	return s.match.Takes(event)
}

// tell writes one event. Its id is the highest key so far and not its own, which may be lower.
func (s *stream) tell(event *pillarbox.Event) error {
	text, err := event.MarshalJSON()
	if err != nil {
		return err
	}
	return s.tellText(event, text)
}

func (s *stream) tellText(event *pillarbox.Event, text []byte) error {
	key := event.Key()
	if cmp.Or(cmp.Compare(key.Timestamp, s.high.Timestamp),
		cmp.Compare(key.RequestID, s.high.RequestID)) > 0 {
		s.high = key
	}
	if s.recent[key] = true; len(s.recent) >= followRemembered {
		s.recent, s.previous = map[pillarbox.Key]bool{}, s.recent
	}
	return s.write(fmt.Sprintf("event: %s\nid: %s\ndata: %s\n\n", StreamEvent, EventCursor(s.high),
		text))
}

// fail ends a stream that has begun with the reason.
func (s *stream) fail(err error) {
	problem := protocol.ProblemOf(err)
	problem.Detail = err.Error()
	_ = s.write(fmt.Sprintf("event: %s\ndata: %s\n\n", StreamFailed, problem.Encode())) // it ends in any case
}

func (s *stream) write(text string) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(followWriteTimeout)) // not possible in process
	if _, err := s.w.Write([]byte(text)); err != nil {
		return errors.Join(errGone, err)
	}
	if err := s.control.Flush(); err != nil {
		return errors.Join(errGone, err)
	}
	return nil
}
