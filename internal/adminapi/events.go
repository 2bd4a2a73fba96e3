package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"pillarbox"
	"pillarbox/internal/ledger"
	"pillarbox/internal/protocol"
)

// eventRoutes read what is stored.
var eventRoutes = []apiRoute{
	{
		method: http.MethodGet, path: "/api/v1/events", answers: []int{200, 400, 404,
			503}, handle: (*Handler).events,
		params: slices.Concat([]string{"destination", "source", "since", "until", "id", "limit", "cursor", "order",
			"follow", attributePrefix + "NAME"}, factParams, contentParams),
	},
	{
		method: http.MethodGet, path: "/api/v1/events/{request_id}", answers: []int{200, 400, 404,
			503}, handle: (*Handler).story,
		params: none,
	},
}

// status is the node's, with the two fields that the handler knows.
func (a *Handler) status(ctx context.Context) (Status, error) {
	status, err := a.node.Status(ctx)
	if err != nil {
		return Status{}, err
	}
	status.Ready = true
	if err := a.opts.Ready(); err != nil {
		status.Ready, status.Reason = false, err.Error()
	}
	status.Roles = filled(status.Roles)
	status.Destinations = filled(status.Destinations)
	status.Sources = filled(status.Sources)
	status.Unconfigured = filled(status.Unconfigured)
	status.Queue.Damage = filled(status.Queue.Damage)
	return status, nil
}

// filled keeps null out of the answers: a list without items is an empty list.
func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (a *Handler) events(w http.ResponseWriter, r *apiRequest) error {
	q := r.query
	destination, filter := q.text("destination"), pillarbox.EventFilter{Source: q.text("source"),
		RequestID: q.text("id"), Limit: q.limit()}
	filter.Since, filter.Until = q.span()
	filter.Facts, filter.Content, filter.MaxScan = q.facts(), q.content(), a.opts.MaxScan
	cursor, follow := q.text("cursor"), q.flag("follow")
	switch order := q.text("order"); order {
	case "", "asc":
	case "desc":
		filter.Newest = true
	default:
		q.refuse(protocol.Invalid("parameter \"order\" is %q; it may be asc (oldest first) or desc",
			order))
	}
	if follow && (filter.Newest || q.has("until") || q.has("limit")) {
		q.refuse(protocol.Invalid("parameter \"follow\" goes on for ever, oldest first; until, limit and order=desc are not possible with it"))
	}
	if last := r.Header.Get("Last-Event-ID"); follow && last != "" {
		cursor = last // a client that comes back knows better than its first address
	}
	var err error
	if filter.After, err = ParseEventCursor(cursor); err != nil {
		q.refuse(err)
	}
	if err := q.err(); err != nil {
		return err
	}
	if follow {
		return a.follow(w, r, destination, filter)
	}
	page, err := a.page(r.Context(), destination, filter)
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, page)
	return nil
}

// The bounds of a page in memory. A page ends early when the bodies on it are large.
const (
	maxPageBytes = 8 << 20
	firstRead    = 16 // events that are read before their size is known
)

// page reads up to filter.Limit events, a few at a time so that large ones don't fill the memory. Where
// filter.MaxScan ends it, it has what was found, and its cursor goes on from there; where nothing was
// found, the error is a *pillarbox.ScanLimitError.
func (a *Handler) page(ctx context.Context, destination string,
	filter pillarbox.EventFilter) (EventPage, error) {
	page := EventPage{Events: []*pillarbox.Event{}, Unreadable: []string{}}
	wanted, size, read := filter.Limit, 0, firstRead
	for len(page.Events) < wanted && size < maxPageBytes {
		filter.Limit = min(read, wanted-len(page.Events))
		events, unreadable, err := a.readable(ctx, destination, filter)
		var ended *pillarbox.ScanLimitError
		if err != nil && !errors.As(err, &ended) {
			return EventPage{}, err
		}
		page.name(unreadable)
		page.Events = append(page.Events, events...)
		if ended != nil {
			return page.endedBy(ended)
		}
		if len(events) < filter.Limit {
			return page, nil
		}
		for _, event := range events {
			size += eventBytes(event)
		}
		filter.After = events[len(events)-1].Key()
		read = max(1, (maxPageBytes-size)/(size/len(page.Events)+1))
	}
	filter.Limit = 1
	more, unreadable, err := a.readable(ctx, destination, filter)
	var ended *pillarbox.ScanLimitError
	switch {
	case errors.As(err, &ended):
		return page.endedBy(ended)
	case err != nil:
		return EventPage{}, err
	case len(more) > 0:
		page.NextCursor = EventCursor(filter.After)
	default: // else they are met again on the next page
		page.name(unreadable)
	}
	return page, nil
}

// endedBy is the page where as many events were looked at as may be.
func (p *EventPage) endedBy(ended *pillarbox.ScanLimitError) (EventPage, error) {
	if len(p.Events) == 0 {
		return *p, ended
	}
	p.NextCursor = EventCursor(ended.Last)
	return *p, nil
}

// readable reads what can be read, and returns the names of what can't. A *pillarbox.ScanLimitError
// comes beside them.
func (a *Handler) readable(ctx context.Context, destination string,
	filter pillarbox.EventFilter) (events []*pillarbox.Event, unreadable []string, err error) {
	events, err = a.node.Events(ctx, destination, filter)
	var others *pillarbox.UnreadableError
	if !errors.As(err, &others) {
		return events, nil, err
	}
	var ended *pillarbox.ScanLimitError
	if errors.As(err, &ended) {
		return events, others.Items, ended
	}
	return events, others.Items, nil
}

// name adds names of what can't be read, as far as a page takes them.
func (p *EventPage) name(unreadable []string) {
	p.Unreadable = append(p.Unreadable,
		unreadable[:min(len(unreadable), maxUnreadable-len(p.Unreadable))]...)
}

// eventBytes is about what an event takes in an answer.
func eventBytes(event *pillarbox.Event) int {
	const names = 256
	size := names + len(event.Body) + len(event.Query) + len(event.Path)
	for _, field := range event.Header {
		size += len(field.Name) + len(field.Value)
	}
	return size
}

func (a *Handler) story(w http.ResponseWriter, r *apiRequest) error {
	story, err := a.node.Trace(r.Context(), r.PathValue("request_id"))
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, (*Trace)(story))
	return nil
}

// storyTail is what a story has more than its event.
type storyTail struct {
	State      string            `json:"state"`
	Deliveries []ledger.Delivery `json:"deliveries"`
}

// MarshalJSON writes the event with state and deliveries behind its own names.
func (s *Trace) MarshalJSON() ([]byte, error) {
	event, err := s.Event.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var tail bytes.Buffer
	encoder := json.NewEncoder(&tail)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(storyTail{State: s.State, Deliveries: filled(s.Deliveries)}); err != nil {
		return nil, err
	}
	event[len(event)-1] = ',' // one object out of two
	return append(event, tail.Bytes()[1:]...), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Trace) UnmarshalJSON(text []byte) error {
	var tail storyTail
	if err := json.Unmarshal(text, &tail); err != nil {
		return err
	}
	s.Event, s.State, s.Deliveries = new(pillarbox.Event), tail.State, tail.Deliveries
	if err := s.Event.UnmarshalJSON(text); err != nil {
		return err
	}
	s.Event.Others = s.Event.Others.Without("state", "deliveries")
	return nil
}
