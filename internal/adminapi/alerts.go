package adminapi

import (
	"net/http"

	"pillarbox/internal/alert"
	"pillarbox/internal/protocol"
)

// AlertsPath is where built-in alerts are.
const AlertsPath = "/api/v1/alerts"

// AlertsTestPath is where receivers of alerts are tried out.
const AlertsTestPath = AlertsPath + "/test"

var alertRoutes = []apiRoute{
	{method: http.MethodGet, path: AlertsPath, answers: []int{200, 400, 404},
		handle: (*Handler).alerts, params: none},
	{method: http.MethodPost, path: AlertsTestPath, scope: ScopeAdmin, act: "alerts.test",
		answers: []int{200, 400, 404, 503}, handle: (*Handler).testAlerts,
		params: []string{"receiver"}},
}

// AlertTest is what receivers said to a message that is for trying them out.
type AlertTest struct {
	Results []alert.TestResult `json:"results"`
}

// center is what tells of alerts. Errors: 404 where nobody is told.
func (a *Handler) center() (*alert.Center, error) {
	if a.opts.Alerts == nil {
		return nil, &protocol.Error{Status: http.StatusNotFound,
			Detail: "nobody is told of alerts: alerts.receivers and alerts.heartbeat are not configured, or no server runs"}
	}
	return a.opts.Alerts, nil
}

func (a *Handler) alerts(w http.ResponseWriter, _ *apiRequest) error {
	center, err := a.center()
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, center.View())
	return nil
}

func (a *Handler) testAlerts(w http.ResponseWriter, r *apiRequest) error {
	receiver := r.query.text("receiver")
	if err := r.query.err(); err != nil {
		return err
	}
	center, err := a.center()
	if err != nil {
		return err
	}
	results, err := center.Test(r.Context(), receiver)
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, AlertTest{Results: results})
	return nil
}
