package adminapi

import (
	"math"
	"net/http"
	"time"

	"pillarbox"
	"pillarbox/internal/protocol"
	"pillarbox/internal/purge"
)

// purgeRoutes delete what is old.
var purgeRoutes = []apiRoute{
	{method: http.MethodPost, path: PurgesPath, scope: ScopeAdmin, act: "purge.start", params: none,
		answers: []int{200, 202, 400, 404, 408, 409, 413, 415, 503},
		body:    true, handle: (*Handler).startPurge},
	{method: http.MethodGet, path: PurgesPath, params: none, answers: []int{200, 400},
		handle: (*Handler).listPurges},
	{method: http.MethodGet, path: PurgesPath + "/{id}", params: none, answers: []int{200, 400, 404},
		handle: (*Handler).getPurge},
	{method: http.MethodDelete, path: PurgesPath + "/{id}", scope: ScopeAdmin, act: "purge.cancel", params: none,
		answers: []int{200, 400, 404, 503}, handle: (*Handler).cancelPurge},
}

// maxAhead is how far the clock of a client may be ahead of the server's.
const maxAhead = time.Minute

const PurgesPath = "/api/v1/purges"

func (a *Handler) startPurge(w http.ResponseWriter, r *apiRequest) error {
	var asked PurgeRequest
	if err := readRequest(w, r.Request, &asked, "a request for a purge", ""); err != nil {
		return err
	}
	request, err := asked.request(a.opts.Now())
	if err != nil {
		return err
	}
	protocol.LiftTimeouts(w) // a dry run reads all that is old
	progress, err := a.node.StartPurge(r.Context(), request)
	if err != nil {
		return err
	}
	if request.DryRun {
		protocol.WriteJSON(w, http.StatusOK, progress)
		return nil
	}
	w.Header().Set("Location", PurgesPath+"/"+progress.ID)
	protocol.WriteJSON(w, http.StatusAccepted, progress)
	return nil
}

// request checks the values and resolves the time.
func (r *PurgeRequest) request(now time.Time) (purge.Request, error) {
	until, err := parseTime("older_than", r.OlderThan, now)
	switch {
	case err != nil:
		return purge.Request{}, err
	case r.Destination == "":
		return purge.Request{}, protocol.Invalid("destination is empty; name the one to purge")
	case until == 0:
		return purge.Request{}, protocol.Invalid(
			"older_than is empty; nothing is purged without an age, as in 90d")
	case until > pillarbox.TimestampOf(now.Add(maxAhead)):
		return purge.Request{}, protocol.Invalid(
			"older_than is %s, which is in the future; say how long ago, as in 90d", until)
	case r.Rate < 0 || math.IsInf(r.Rate, 0) || math.IsNaN(r.Rate):
		return purge.Request{}, protocol.Invalid(
			"rate is %v; it may be 0 (no limit) or more events per second", r.Rate)
	}
	return purge.Request{Destination: r.Destination, Source: r.Source, Until: until, DryRun: r.DryRun,
		Rate: r.Rate}, nil
}

// Check reports what every server would refuse in the request, as ErrInvalid.
func (r *PurgeRequest) Check() error {
	_, err := r.request(time.Now())
	return err
}

// Fixed returns the request with its age as an instant, so that a second request means the same.
func (r *PurgeRequest) Fixed() (PurgeRequest, error) {
	request, err := r.request(time.Now())
	fixed := *r
	fixed.OlderThan = request.Until.String()
	return fixed, err
}

func (a *Handler) listPurges(w http.ResponseWriter, _ *apiRequest) error {
	protocol.WriteJSON(w, http.StatusOK, PurgeList{Purges: filled(a.node.Purges())})
	return nil
}

func (a *Handler) getPurge(w http.ResponseWriter, r *apiRequest) error {
	progress, err := a.node.Purge(r.PathValue("id"))
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, progress)
	return nil
}

func (a *Handler) cancelPurge(w http.ResponseWriter, r *apiRequest) error {
	protocol.LiftTimeouts(w) // it waits for the step at hand
	progress, err := a.node.CancelPurge(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, progress)
	return nil
}
