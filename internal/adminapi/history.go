package adminapi

import (
	"net/http"
	"time"

	"pillarbox"
	"pillarbox/internal/protocol"
	"pillarbox/internal/rollup"
)

// HistoryPath is where the numbers of the past are.
const HistoryPath = "/api/v1/history"

var historyRoutes = []apiRoute{{
	method: http.MethodGet, path: HistoryPath, answers: []int{200, 400, 404}, handle: (*Handler).history,
	params: []string{"resolution", "since", "until"},
}}

// How far back a history goes that nobody has asked more or less of.
const (
	defaultMinutes = time.Hour
	defaultHours   = 7 * 24 * time.Hour
)

// History is what happened, by the minute or the hour, oldest first. An interval in which no server ran
// has no point.
type History struct {
	Resolution rollup.Resolution `json:"resolution"`
	Points     []rollup.Point    `json:"points"`
}

// HistoryQuery selects intervals by when they begin. Since and Until are RFC 3339, or ago as in 24h.
type HistoryQuery struct {
	Resolution rollup.Resolution // empty for minutes
	Since      string            // inclusive; empty for an hour ago, or a week where the resolution is an hour
	Until      string            // exclusive; empty for now
}

func (a *Handler) history(w http.ResponseWriter, r *apiRequest) error {
	resolution := rollup.Resolution(r.query.text("resolution"))
	if resolution == "" {
		resolution = rollup.Minute
	}
	if resolution.Length() == 0 {
		r.query.refuse(protocol.Invalid("parameter \"resolution\" is %q; it may be minute or hour", resolution))
	}
	since, until := r.query.span()
	if err := r.query.err(); err != nil {
		return err
	}
	if a.opts.History == nil {
		return &protocol.Error{Status: http.StatusNotFound, Detail: "no history is kept: nothing of this server is on a disk of this machine"}
	}
	if until == 0 {
		until = pillarbox.TimestampOf(a.opts.Now())
	}
	if back := defaultMinutes; since == 0 {
		if resolution == rollup.Hour {
			back = defaultHours
		}
		since = pillarbox.TimestampOf(until.Time().Add(-back))
	}
	points, err := a.opts.History.Points(r.Context(), resolution, since, until)
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, History{Resolution: resolution, Points: points})
	return nil
}
