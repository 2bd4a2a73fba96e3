package adminapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
	"unicode/utf8"

	"pillarbox/internal/held"
	"pillarbox/internal/protocol"
)

// heldRoutes are for events that no destination takes any more.
var heldRoutes = []apiRoute{
	{
		method: http.MethodGet, path: HeldPath, answers: []int{200, 400, 404,
			503}, handle: (*Handler).listHeld,
		params: []string{"destination", "source", "id", "since", "until", "limit", "cursor"},
	},
	{
		method: http.MethodGet, path: HeldPath + "/groups", answers: []int{200, 400, 404,
			503}, handle: (*Handler).heldGroups,
		params: []string{"destination", "source", "id", "since", "until"},
	},
	{method: http.MethodPost, path: HeldPath + "/route", scope: ScopeAdmin, act: "held.route", params: none, answers: heldAnswers,
		body:   true,
		handle: act(actRoute)},
	{method: http.MethodPost, path: HeldPath + "/dead-letter", scope: ScopeAdmin, act: "held.dead_letter", params: none, answers: heldAnswers,
		body:   true,
		handle: act(actDeadLetter)},
	{method: http.MethodPost, path: HeldPath + "/forget", scope: ScopeAdmin, act: "held.forget", params: none, answers: heldAnswers,
		body:   true,
		handle: act(actForget)},
	{method: http.MethodGet, path: "/api/v1/obligations", params: none, answers: []int{200, 400, 503},
		handle: (*Handler).obligations},
}

const HeldPath = "/api/v1/held"

var heldAnswers = []int{200, 400, 404, 408, 413, 415, 503, 507}

// Held acts on held events. Errors: ErrNotFound for a destination that is not known, ErrInvalid
// where the queue holds no events back because it is shared with others.
type Held interface {
	HeldGroups(ctx context.Context, filter held.Filter) ([]held.Group, error)
	HeldEvents(ctx context.Context, filter held.Filter, after *held.Place, limit int) ([]held.Item,
		*held.Place, error)
	// RouteHeld refuses a destination that is not configured.
	RouteHeld(ctx context.Context, filter held.Filter, to string, dryRun bool) (held.Result, error)
	DeadLetterHeld(ctx context.Context, filter held.Filter, dryRun bool) (held.Result, error)
	ForgetHeld(ctx context.Context, filter held.Filter, dryRun bool) (held.Result, error)
	// Obligations counts what is pending, by what it was meant for. It reads all that is pending.
	Obligations(ctx context.Context) ([]held.Pending, error)
}

// HeldPage is a page of held events.
type HeldPage struct {
	Held       []held.Item `json:"held"`
	NextCursor string      `json:"next_cursor"` // empty on the last page
}

// HeldGroups counts held events by destination and source.
type HeldGroups struct {
	Groups []held.Group `json:"groups"`
}

// ObligationList counts what is pending, by what it was meant for.
type ObligationList struct {
	Pending []held.Pending `json:"pending"`
}

// HeldRequest says what to do to which held events. One of the filters or All must be there:
// nothing acts on everything by accident. Since and Until are times of acceptance, RFC 3339 or ago.
type HeldRequest struct {
	Destination string   `json:"destination,omitempty"`
	Source      string   `json:"source,omitempty"`
	Since       string   `json:"since,omitempty"`
	Until       string   `json:"until,omitempty"`
	RequestIDs  []string `json:"request_ids,omitempty"`
	All         bool     `json:"all,omitempty"`
	To          string   `json:"to,omitempty"` // the destination to route to
	DryRun      bool     `json:"dry_run,omitempty"`
}

func (r *HeldRequest) filter(now time.Time) (held.Filter, error) {
	since, until, err := parseSpan(r.Since, r.Until, now)
	filter := held.Filter{Destination: r.Destination, Source: r.Source, Since: since, Until: until,
		RequestIDs: r.RequestIDs}
	named := r.Destination != "" || r.Source != "" || r.Since != "" || r.Until != "" ||
		len(r.RequestIDs) > 0
	switch {
	case err != nil:
		return filter, err
	case !named && !r.All:
		return filter, protocol.Invalid("name what to act on: destination, source, since, until or request_ids; or all")
	case named && r.All:
		return filter, protocol.Invalid("all goes with no filter")
	}
	return filter, checkIDs(r.RequestIDs)
}

// The acts on held events.
type heldAct int

const (
	actRoute heldAct = iota
	actDeadLetter
	actForget
)

func act(what heldAct) func(a *Handler, w http.ResponseWriter, r *apiRequest) error {
	return func(a *Handler, w http.ResponseWriter, r *apiRequest) error {
		var asked HeldRequest
		if err := readRequest(w, r.Request, &asked, "a request about held events", ""); err != nil {
			return err
		}
		filter, err := asked.filter(a.opts.Now())
		if err != nil {
			return err
		}
		if (asked.To != "") != (what == actRoute) {
			return protocol.Invalid("to names the destination to route to, and nothing else")
		}
		protocol.LiftTimeouts(w)                  // there may be many
		ctx := context.WithoutCancel(r.Context()) // what was begun is finished, whether or not the client stays
		result, err := a.actOnHeld(ctx, what, filter, &asked)
		if err != nil {
			return err
		}
		protocol.WriteJSON(w, http.StatusOK, result)
		return nil
	}
}

func (a *Handler) actOnHeld(ctx context.Context, what heldAct, filter held.Filter,
	asked *HeldRequest) (held.Result, error) {
	switch what {
	case actRoute:
		return a.node.RouteHeld(ctx, filter, asked.To, asked.DryRun)
	case actDeadLetter:
		return a.node.DeadLetterHeld(ctx, filter, asked.DryRun)
	}
	return a.node.ForgetHeld(ctx, filter, asked.DryRun)
}

// heldFilter reads the filter of a query.
func heldFilter(q query) held.Filter {
	filter := held.Filter{Destination: q.text("destination"), Source: q.text("source")}
	if id := q.text("id"); id != "" {
		filter.RequestIDs = []string{id}
	}
	filter.Since, filter.Until = q.span()
	return filter
}

func (a *Handler) listHeld(w http.ResponseWriter, r *apiRequest) error {
	filter, limit := heldFilter(r.query), r.query.limit()
	after, err := parseHeldPlace(r.query.text("cursor"))
	if err != nil {
		r.query.refuse(err)
	}
	if err := r.query.err(); err != nil {
		return err
	}
	protocol.LiftTimeouts(w)
	items, next, err := a.node.HeldEvents(r.Context(), filter, after, limit)
	if err != nil {
		return err
	}
	page := HeldPage{Held: filled(items)}
	for i := range page.Held {
		page.Held[i].Attempts = filled(page.Held[i].Attempts)
	}
	if next != nil {
		page.NextCursor = heldCursor(*next)
	}
	protocol.WriteJSON(w, http.StatusOK, page)
	return nil
}

func (a *Handler) heldGroups(w http.ResponseWriter, r *apiRequest) error {
	filter := heldFilter(r.query)
	if err := r.query.err(); err != nil {
		return err
	}
	protocol.LiftTimeouts(w) // it reads all that is held
	groups, err := a.node.HeldGroups(r.Context(), filter)
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, HeldGroups{Groups: filled(groups)})
	return nil
}

func (a *Handler) obligations(w http.ResponseWriter, r *apiRequest) error {
	protocol.LiftTimeouts(w) // it reads all that is pending
	pending, err := a.node.Obligations(r.Context())
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, ObligationList{Pending: filled(pending)})
	return nil
}

func heldCursor(place held.Place) string {
	text, err := json.Marshal(place)
	if err != nil {
		panic("pillarbox: bug: a cursor can't be encoded: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// parseHeldPlace returns nil for no cursor.
func parseHeldPlace(cursor string) (*held.Place, error) {
	if cursor == "" {
		return nil, nil
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	var place held.Place
	if err != nil || len(cursor) > maxCursor || !utf8.Valid(text) ||
		json.Unmarshal(text, &place) != nil {
		return nil, errCursor(cursor)
	}
	return &place, nil
}
