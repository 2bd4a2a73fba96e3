package adminapi

import (
	"math"
	"net/http"
	"time"

	"pillarbox/internal/backfill"
	"pillarbox/internal/protocol"
)

// backfillRoutes give destinations what they have not got.
var backfillRoutes = []apiRoute{
	{method: http.MethodPost, path: BackfillsPath, scope: ScopeReplay, act: "backfill.start", params: none,
		answers: []int{200, 202, 400, 404, 408, 409, 413, 415, 503},
		body:    true, handle: (*Handler).startBackfill},
	{method: http.MethodGet, path: BackfillsPath, params: none, answers: []int{200, 400},
		handle: (*Handler).listBackfills},
	{method: http.MethodGet, path: BackfillsPath + "/{id}", params: none, answers: []int{200, 400, 404},
		handle: (*Handler).getBackfill},
	{method: http.MethodDelete, path: BackfillsPath + "/{id}", scope: ScopeReplay, act: "backfill.cancel", params: none,
		answers: []int{200, 400, 404, 409, 503}, handle: (*Handler).cancelBackfill},
}

const BackfillsPath = "/api/v1/backfills"

func (a *Handler) startBackfill(w http.ResponseWriter, r *apiRequest) error {
	var asked BackfillRequest
	if err := readRequest(w, r.Request, &asked, "a request for a back-fill", ""); err != nil {
		return err
	}
	request, err := asked.request(a.opts.Now())
	if err != nil {
		return err
	}
	protocol.LiftTimeouts(w) // a dry run reads all that the queue has
	progress, err := a.node.StartBackfill(r.Context(), request)
	if err != nil {
		return err
	}
	if request.DryRun {
		protocol.WriteJSON(w, http.StatusOK, progress)
		return nil
	}
	w.Header().Set("Location", BackfillsPath+"/"+progress.ID)
	protocol.WriteJSON(w, http.StatusAccepted, progress)
	return nil
}

// request checks the values and resolves times.
func (r *BackfillRequest) request(now time.Time) (backfill.Request, error) {
	since, until, err := parseSpan(r.Since, r.Until, now)
	switch {
	case err != nil:
		return backfill.Request{}, err
	case r.Destination == "":
		return backfill.Request{}, protocol.Invalid("destination is empty; name the one to back-fill")
	case r.Rate < 0 || math.IsInf(r.Rate, 0) || math.IsNaN(r.Rate):
		return backfill.Request{}, protocol.Invalid(
			"rate is %v; it may be 0 (no limit) or more events per second", r.Rate)
	}
	return backfill.Request{Destination: r.Destination, Source: r.Source, Since: since, Until: until, Rate: r.Rate,
		FromStore: r.FromStore, DryRun: r.DryRun}, nil
}

// Check reports what every server would refuse in the request, as ErrInvalid.
func (r *BackfillRequest) Check() error {
	_, err := r.request(time.Now())
	return err
}

func (a *Handler) listBackfills(w http.ResponseWriter, _ *apiRequest) error {
	protocol.WriteJSON(w, http.StatusOK, BackfillList{Backfills: filled(a.node.Backfills())})
	return nil
}

func (a *Handler) getBackfill(w http.ResponseWriter, r *apiRequest) error {
	progress, err := a.node.Backfill(r.PathValue("id"))
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, progress)
	return nil
}

func (a *Handler) cancelBackfill(w http.ResponseWriter, r *apiRequest) error {
	protocol.LiftTimeouts(w) // it waits for the batch at hand
	progress, err := a.node.CancelBackfill(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, progress)
	return nil
}
