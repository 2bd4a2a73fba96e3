package adminapi

import (
	"context"
	"net/http"

	"pillarbox/internal/openapi"
	"pillarbox/internal/protocol"
)

// plainRoutes are the ones outside /api/v1.
var plainRoutes = []apiRoute{
	{method: http.MethodGet, path: "/healthz", open: true, answers: []int{200},
		handle: (*Handler).healthz},
	{method: http.MethodGet, path: "/readyz", open: true, answers: []int{200, 503},
		handle: (*Handler).readyz},
	{method: http.MethodGet, path: "/metrics", answers: []int{200, 404}, handle: (*Handler).metrics},
	{method: http.MethodGet, path: openapi.Path, answers: []int{200}, handle: (*Handler).openAPI},
}

func (a *Handler) healthz(w http.ResponseWriter, _ *apiRequest) error {
	protocol.WriteJSON(w, http.StatusOK, protocol.OK)
	return nil
}

// readyz is open to everyone, and says why to those who may know.
func (a *Handler) readyz(w http.ResponseWriter, r *apiRequest) error {
	if err := a.opts.Ready(); err != nil {
		detail := "the server can't accept now; /api/v1/status says why"
		if _, stranger := a.guard(r.Request); stranger == nil {
			detail = err.Error()
		}
		return &protocol.Error{Status: http.StatusServiceUnavailable, Detail: detail}
	}
	protocol.WriteJSON(w, http.StatusOK, protocol.OK)
	return nil
}

func (a *Handler) metrics(w http.ResponseWriter, r *apiRequest) error {
	if a.opts.Metrics == nil {
		return &protocol.Error{Status: http.StatusNotFound, Detail: "there are no metrics here"}
	}
	a.opts.Metrics.ServeHTTP(w, r.Request)
	return nil
}

func (a *Handler) openAPI(w http.ResponseWriter, _ *apiRequest) error {
	protocol.WriteBody(w, http.StatusOK, openapi.Type, openapi.Document)
	return nil
}

// bookRoutes tell how things are.
var bookRoutes = []apiRoute{
	{method: http.MethodGet, path: "/api/v1/status", params: none, answers: []int{200, 400, 503},
		handle: (*Handler).getStatus},
	{method: http.MethodGet, path: "/api/v1/ledger", params: none, answers: []int{200, 400, 503},
		handle: (*Handler).ledger},
	{method: http.MethodGet, path: "/api/v1/audit", params: none, answers: []int{200, 400, 503},
		handle: (*Handler).audit},
	{method: http.MethodPost, path: RedeliverPath, scope: ScopeReplay, act: "redeliver", params: []string{"destination"},
		answers: []int{200, 400, 404, 503, 507}, handle: (*Handler).redeliver},
	{method: http.MethodPost, path: ReceiptsPath, params: none, body: true,
		answers: []int{200, 400, 408, 413, 415, 503}, handle: (*Handler).receipts},
}

func (a *Handler) getStatus(w http.ResponseWriter, r *apiRequest) error {
	status, err := a.status(r.Context())
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, status)
	return nil
}

func (a *Handler) ledger(w http.ResponseWriter, r *apiRequest) error {
	ledger, err := a.node.Ledger(r.Context())
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, ledger)
	return nil
}

const RedeliverPath = "/api/v1/audit/redeliver"

func (a *Handler) redeliver(w http.ResponseWriter, r *apiRequest) error {
	destination := r.query.text("destination")
	if err := r.query.err(); err != nil {
		return err
	}
	protocol.LiftTimeouts(w) // it may scan all there is
	// What was begun is finished, whether or not the client stays.
	redeliveries, err := a.node.Redeliver(context.WithoutCancel(r.Context()), destination)
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, RedeliveryList{Redeliveries: filled(redeliveries)})
	return nil
}

func (a *Handler) audit(w http.ResponseWriter, r *apiRequest) error {
	protocol.LiftTimeouts(w) // it may scan all there is
	audit, err := a.node.Audit(r.Context())
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, audit)
	return nil
}
