package adminapi

import (
	"context"
	"net/http"

	"pillarbox"
	"pillarbox/internal/protocol"
	"pillarbox/internal/quarantine"
)

// QuarantinePath is where requests are whose signature fails.
const QuarantinePath = "/api/v1/quarantine"

// quarantineRoutes show them, and do what a person decides.
var quarantineRoutes = []apiRoute{
	{method: http.MethodGet, path: QuarantinePath, params: []string{"source", "limit", "cursor"},
		answers: []int{200, 400, 503}, handle: (*Handler).quarantine},
	{method: http.MethodGet, path: QuarantinePath + "/{request_id}", params: none,
		answers: []int{200, 400, 404, 503}, handle: (*Handler).quarantined},
	{method: http.MethodPost, path: QuarantinePath + "/{request_id}/release", scope: ScopeAdmin, act: "quarantine.release", params: []string{"force"},
		answers: []int{200, 400, 404, 409, 503, 507}, handle: (*Handler).release},
	{method: http.MethodPost, path: QuarantinePath + "/{request_id}/discard", scope: ScopeAdmin, act: "quarantine.discard", params: none,
		answers: []int{204, 400, 404, 409, 503}, handle: (*Handler).discardQuarantined},
}

// Quarantine is the requests whose signature fails. Errors: ErrNotFound, also where nothing is kept on
// this machine; ErrConflict where somebody else decides; ErrCorrupt, ErrUnavailable.
type Quarantine interface {
	// Quarantine is List of quarantine.Store.
	Quarantine(ctx context.Context, filter quarantine.Filter) (*quarantine.Page, error)
	Quarantined(id string) (*quarantine.Entry, error)
	// Release accepts a request if its signature proves it with the secrets of today, or by force, and
	// takes it out. The receipt is that of the event that is stored: of an earlier one, where it came
	// again. It is safe to repeat. Errors: ErrConflict, which says what a person can do; those of Append.
	Release(ctx context.Context, id string, force bool) (pillarbox.Receipt, error)
	// DiscardQuarantined deletes a request for good.
	DiscardQuarantined(id string) error
}

// QuarantineStatus is what is in quarantine.
type QuarantineStatus struct {
	Requests int   `json:"requests"`
	Bytes    int64 `json:"bytes"` // of files
}

// QuarantineEntry is a request in quarantine: the event that it would be, without secrets.
type QuarantineEntry struct {
	Reason string           `json:"reason"` // why its signature failed
	Event  *pillarbox.Event `json:"event"`
}

// QuarantinePage is a page of them, the oldest first.
type QuarantinePage struct {
	Quarantine []QuarantineEntry `json:"quarantine"`
	NextCursor string            `json:"next_cursor"` // empty on the last page
	Unreadable []string          `json:"unreadable"`  // what was met on this page and can't be read
}

// QuarantineQuery selects requests.
type QuarantineQuery struct {
	Source string
	Cursor string
	Limit  int // 0 is pillarbox.DefaultListLimit
}

func shownEntry(entry *quarantine.Entry) QuarantineEntry {
	return QuarantineEntry{Reason: entry.Reason, Event: entry.Event}
}

func (a *Handler) quarantine(w http.ResponseWriter, r *apiRequest) error {
	filter := quarantine.Filter{Source: r.query.text("source"), After: r.query.text("cursor"), Limit: r.query.limit()}
	if err := r.query.err(); err != nil {
		return err
	}
	page, err := a.node.Quarantine(r.Context(), filter)
	if err != nil {
		return err
	}
	shown := QuarantinePage{Quarantine: []QuarantineEntry{}, NextCursor: page.Next, Unreadable: page.Unreadable}
	for _, entry := range page.Entries {
		shown.Quarantine = append(shown.Quarantine, shownEntry(entry))
	}
	protocol.WriteJSON(w, http.StatusOK, shown)
	return nil
}

func (a *Handler) quarantined(w http.ResponseWriter, r *apiRequest) error {
	entry, err := a.node.Quarantined(r.PathValue("request_id"))
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, shownEntry(entry))
	return nil
}

func (a *Handler) release(w http.ResponseWriter, r *apiRequest) error {
	force := r.query.flag("force")
	if err := r.query.err(); err != nil {
		return err
	}
	// What was begun is finished, whether or not the client stays.
	receipt, err := a.node.Release(context.WithoutCancel(r.Context()), r.PathValue("request_id"), force)
	if err != nil {
		return err
	}
	if r.made = "event " + receipt.RequestID; force {
		r.made += ", by force"
	}
	protocol.WriteJSON(w, http.StatusOK, receipt)
	return nil
}

func (a *Handler) discardQuarantined(w http.ResponseWriter, r *apiRequest) error {
	if err := a.node.DiscardQuarantined(r.PathValue("request_id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
