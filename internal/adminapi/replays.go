package adminapi

import (
	"math"
	"net/http"
	"time"

	"pillarbox"
	"pillarbox/internal/protocol"
	"pillarbox/internal/replay"
)

// replayRoutes put dead letters back.
var replayRoutes = []apiRoute{
	{method: http.MethodPost, path: ReplaysPath, scope: ScopeReplay, act: "replay.start", params: none,
		answers: []int{200, 202, 400, 404, 408, 409, 413, 415, 503},
		body:    true, handle: (*Handler).startReplay},
	{method: http.MethodGet, path: ReplaysPath, params: none, answers: []int{200, 400},
		handle: (*Handler).listReplays},
	{method: http.MethodGet, path: ReplaysPath + "/{id}", params: none, answers: []int{200, 400, 404},
		handle: (*Handler).getReplay},
	{method: http.MethodDelete, path: ReplaysPath + "/{id}", scope: ScopeReplay, act: "replay.cancel", params: none,
		answers: []int{200, 400, 404, 503}, handle: (*Handler).cancelReplay},
}

const ReplaysPath = "/api/v1/replays"

// The bounds of a request for a replay.
const (
	MaxReplayBytes = 1 << 20
	MaxReplayIDs   = 10_000
)

func (a *Handler) startReplay(w http.ResponseWriter, r *apiRequest) error {
	asked, err := readReplay(w, r.Request)
	if err != nil {
		return err
	}
	request, err := asked.request(a.opts.Now())
	if err != nil {
		return err
	}
	protocol.LiftTimeouts(w) // a dry run reads all the letters
	progress, err := a.node.StartReplay(r.Context(), request)
	if err != nil {
		return err
	}
	if request.DryRun {
		protocol.WriteJSON(w, http.StatusOK, progress)
		return nil
	}
	w.Header().Set("Location", ReplaysPath+"/"+progress.ID)
	protocol.WriteJSON(w, http.StatusAccepted, progress)
	return nil
}

// readReplay reads a request for a replay.
func readReplay(w http.ResponseWriter, r *http.Request) (*ReplayRequest, error) {
	var asked ReplayRequest
	return &asked, readRequest(w, r, &asked, "a request for a replay",
		"; {} replays every open dead letter")
}

// checkIDs checks a list of request ids.
func checkIDs(ids []string) error {
	switch {
	case len(ids) > MaxReplayIDs:
		return protocol.Invalid("request_ids has %d items; there may be %d", len(ids), MaxReplayIDs)
	case ids != nil && len(ids) == 0:
		return protocol.Invalid("request_ids has no items; leave it out for all that match")
	}
	for i, id := range ids {
		if id == "" {
			return protocol.Invalid("request_ids[%d] is empty", i)
		}
	}
	return nil
}

// request checks the values and resolves times.
func (r *ReplayRequest) request(now time.Time) (replay.Request, error) {
	since, until, err := parseSpan(r.Since, r.Until, now)
	switch {
	case err != nil:
		return replay.Request{}, err
	case r.Rate < 0 || math.IsInf(r.Rate, 0) || math.IsNaN(r.Rate):
		return replay.Request{}, protocol.Invalid(
			"rate is %v; it may be 0 (no limit) or more letters per second", r.Rate)
	case r.Limit < 0:
		return replay.Request{}, protocol.Invalid("limit is %d; it may be 0 (no limit) or more", r.Limit)
	}
	if err := checkIDs(r.RequestIDs); err != nil {
		return replay.Request{}, err
	}
	filter := pillarbox.DeadLetterFilter{
		Destination: r.Destination, Source: r.Source, Since: since, Until: until, Error: r.Error,
		Cause: r.Cause, RequestIDs: r.RequestIDs,
	}
	return replay.Request{Filter: filter, DryRun: r.DryRun, Rate: r.Rate, MaxFailed: r.MaxFailed,
		Limit: r.Limit, ThroughQueue: r.ThroughQueue}, nil
}

func (a *Handler) listReplays(w http.ResponseWriter, _ *apiRequest) error {
	protocol.WriteJSON(w, http.StatusOK, ReplayList{Replays: filled(a.node.Replays())})
	return nil
}

func (a *Handler) getReplay(w http.ResponseWriter, r *apiRequest) error {
	progress, err := a.node.Replay(r.PathValue("id"))
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, progress)
	return nil
}

func (a *Handler) cancelReplay(w http.ResponseWriter, r *apiRequest) error {
	protocol.LiftTimeouts(w) // it waits for the batch at hand
	progress, err := a.node.CancelReplay(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, progress)
	return nil
}
