package adminapi

import (
	"context"
	"net/http"
	"strconv"

	"pillarbox"
	"pillarbox/internal/causes"
	"pillarbox/internal/protocol"
)

// causeRoutes show what failed by its cause, and give it up.
var causeRoutes = []apiRoute{
	{method: http.MethodGet, path: GroupsPath, answers: []int{200, 400, 503}, handle: (*Handler).deadGroups,
		params: []string{"destination", "source", "since", "until", "error"}},
	{method: http.MethodGet, path: RetryingPath, answers: []int{200, 400, 404, 503}, handle: (*Handler).retryingGroups,
		params: []string{"destination"}},
	{method: http.MethodPost, path: DiscardPath, scope: ScopeAdmin, act: "dead_letter.discard_many", params: none, body: true,
		answers: []int{200, 400, 408, 413, 415, 503, 507}, handle: (*Handler).discardMany},
}

// The paths of what failed.
const (
	GroupsPath   = "/api/v1/dead-letters/groups"
	RetryingPath = "/api/v1/retrying/groups"
	DiscardPath  = "/api/v1/dead-letters/discard"
)

// Causes groups what failed.
type Causes interface {
	// DeadGroups is causes.Dead, with the dead letters of the node.
	DeadGroups(ctx context.Context, filter pillarbox.DeadLetterFilter) (*causes.Groups, error)
	// RetryingGroups is causes.Retrying, of one destination or of all where it is empty. Errors:
	// ErrNotFound for a destination that is not configured.
	RetryingGroups(ctx context.Context, destination string) (*causes.Groups, error)
	// DiscardMany is that of replay.Replayer.
	DiscardMany(ctx context.Context, filter pillarbox.DeadLetterFilter, dryRun bool) (int, error)
}

// DiscardRequest says which dead letters to give up. One of the others than DryRun must be there. Since
// and Until are times of death.
type DiscardRequest struct {
	Destination string   `json:"destination,omitempty"`
	Source      string   `json:"source,omitempty"`
	Since       string   `json:"since,omitempty"`
	Until       string   `json:"until,omitempty"`
	Error       string   `json:"error,omitempty"`
	Cause       string   `json:"cause,omitempty"`
	RequestIDs  []string `json:"request_ids,omitempty"`
	DryRun      bool     `json:"dry_run,omitempty"`
}

// Discarded is how many dead letters were given up, or would be.
type Discarded struct {
	DryRun    bool `json:"dry_run"`
	Discarded int  `json:"discarded"`
}

func (a *Handler) deadGroups(w http.ResponseWriter, r *apiRequest) error {
	q := r.query
	filter := pillarbox.DeadLetterFilter{Destination: q.text("destination"), Source: q.text("source"), Error: q.text("error")}
	filter.Since, filter.Until = q.span()
	if err := q.err(); err != nil {
		return err
	}
	groups, err := a.node.DeadGroups(r.Context(), filter)
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, groups)
	return nil
}

func (a *Handler) retryingGroups(w http.ResponseWriter, r *apiRequest) error {
	destination := r.query.text("destination")
	if err := r.query.err(); err != nil {
		return err
	}
	groups, err := a.node.RetryingGroups(r.Context(), destination)
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, groups)
	return nil
}

func (a *Handler) discardMany(w http.ResponseWriter, r *apiRequest) error {
	var asked DiscardRequest
	if err := readRequest(w, r.Request, &asked, "a request to discard dead letters", ""); err != nil {
		return err
	}
	if err := checkIDs(asked.RequestIDs); err != nil {
		return err
	}
	filter := pillarbox.DeadLetterFilter{Destination: asked.Destination, Source: asked.Source, Error: asked.Error,
		Cause: asked.Cause, RequestIDs: asked.RequestIDs}
	var err error
	if filter.Since, filter.Until, err = parseSpan(asked.Since, asked.Until, a.opts.Now()); err != nil {
		return err
	}
	protocol.LiftTimeouts(w) // it reads all that match
	discarded, err := a.node.DiscardMany(r.Context(), filter, asked.DryRun)
	if err != nil {
		return err
	}
	if !asked.DryRun {
		r.made = strconv.Itoa(discarded) + " dead letters"
	}
	protocol.WriteJSON(w, http.StatusOK, Discarded{DryRun: asked.DryRun, Discarded: discarded})
	return nil
}
