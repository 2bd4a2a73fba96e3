package adminapi

import (
	"context"
	"net/http"

	"pillarbox"
	"pillarbox/internal/protocol"
)

// DestinationsPath is where destinations are acted on.
const DestinationsPath = "/api/v1/destinations"

// pauseRoutes pause the delivery to a destination, and let it go on.
var pauseRoutes = []apiRoute{
	{method: http.MethodPost, path: DestinationsPath + "/{destination}/pause", scope: ScopeReplay, act: "destination.pause", params: none,
		answers: []int{200, 400, 404, 408, 413, 415, 503}, body: true, handle: (*Handler).pause},
	{method: http.MethodPost, path: DestinationsPath + "/{destination}/resume", scope: ScopeReplay, act: "destination.resume", params: none,
		answers: []int{200, 400, 404, 503}, handle: (*Handler).resume},
}

// Pauses pauses deliveries. Errors: ErrNotFound for a destination that is not configured;
// ErrUnsupported where the queue can't remember it.
type Pauses interface {
	// SetPause is durable when it returns. The zero record lets the delivery go on.
	SetPause(ctx context.Context, destination string, record pillarbox.PauseRecord) error
}

// PauseRequest says why.
type PauseRequest struct {
	Reason string `json:"reason,omitempty"`
}

// Pause is how the delivery to a destination is.
type Pause struct {
	Destination string                `json:"destination"`
	Paused      bool                  `json:"paused"`
	Pause       pillarbox.PauseRecord `json:"pause,omitzero"`
}

func (a *Handler) pause(w http.ResponseWriter, r *apiRequest) error {
	var asked PauseRequest
	if err := readRequest(w, r.Request, &asked, "a request for a pause", ""); err != nil {
		return err
	}
	if len(asked.Reason) > pillarbox.MaxPauseReason {
		return pillarbox.Invalid("the reason has %d bytes; want at most %d", len(asked.Reason), pillarbox.MaxPauseReason)
	}
	return a.setPause(w, r, pillarbox.PauseRecord{At: pillarbox.TimestampOf(a.opts.Now()), By: r.who.actor, Reason: asked.Reason})
}

func (a *Handler) resume(w http.ResponseWriter, r *apiRequest) error {
	return a.setPause(w, r, pillarbox.PauseRecord{})
}

func (a *Handler) setPause(w http.ResponseWriter, r *apiRequest, record pillarbox.PauseRecord) error {
	name := r.PathValue("destination")
	if err := a.node.SetPause(r.Context(), name, record); err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, Pause{name, record.IsPaused(), record})
	return nil
}
