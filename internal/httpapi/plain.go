package httpapi

import (
	"context"
	_ "embed"
	"html/template"
	"net/http"

	"pillarbox/internal/protocol"
)

// openAPI describes both listeners. A test holds it to the routes.
//
//go:embed openapi.yaml
var openAPI []byte

const (
	openAPIPath = "/openapi.yaml"
	typeYAML    = "application/yaml"
)

// plainRoutes are the ones outside /api/v1.
var plainRoutes = []adminRoute{
	{method: http.MethodGet, path: "/healthz", open: true, answers: []int{200}, handle: (*Admin).healthz},
	{method: http.MethodGet, path: "/readyz", open: true, answers: []int{200, 503}, handle: (*Admin).readyz},
	{method: http.MethodGet, path: "/metrics", answers: []int{200, 404}, handle: (*Admin).metrics},
	{method: http.MethodGet, path: openAPIPath, answers: []int{200}, handle: (*Admin).openAPI},
	{method: http.MethodGet, path: "/", answers: []int{200}, handle: (*Admin).home},
}

// State is the answer to questions about life.
type State struct {
	Status string `json:"status"` // "ok"
}

var stateOK = State{Status: "ok"}

func (a *Admin) healthz(w http.ResponseWriter, _ *adminRequest) error {
	writeJSON(w, http.StatusOK, stateOK)
	return nil
}

// readyz is open to everyone, and says why to those who may know.
func (a *Admin) readyz(w http.ResponseWriter, r *adminRequest) error {
	if err := a.opts.Ready(); err != nil {
		detail := "the server can't accept now; /api/v1/status says why"
		if a.guard(r.Request) == nil {
			detail = err.Error()
		}
		return &protocol.Error{Status: http.StatusServiceUnavailable, Detail: detail}
	}
	writeJSON(w, http.StatusOK, stateOK)
	return nil
}

func (a *Admin) metrics(w http.ResponseWriter, r *adminRequest) error {
	if a.opts.Metrics == nil {
		return &protocol.Error{Status: http.StatusNotFound, Detail: "there are no metrics here"}
	}
	a.opts.Metrics.ServeHTTP(w, r.Request)
	return nil
}

func (a *Admin) openAPI(w http.ResponseWriter, _ *adminRequest) error {
	writeBody(w, http.StatusOK, typeYAML, openAPI)
	return nil
}

//go:embed home.html
var homeText string

var homePage = template.Must(template.New("home").Parse(homeText))

// home says what this is. The dashboard takes its place when it is wired in front of this handler.
func (a *Admin) home(w http.ResponseWriter, r *adminRequest) error {
	status, err := a.status(r.Context())
	if err != nil {
		status = Status{Reason: err.Error()} // the page is for finding out what is wrong
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return homePage.Execute(w, status)
}

// bookRoutes tell how things are.
var bookRoutes = []adminRoute{
	{method: http.MethodGet, path: "/api/v1/status", params: none, answers: []int{200, 400, 503}, handle: (*Admin).getStatus},
	{method: http.MethodGet, path: "/api/v1/ledger", params: none, answers: []int{200, 400, 503}, handle: (*Admin).ledger},
	{method: http.MethodGet, path: "/api/v1/audit", params: none, answers: []int{200, 400, 503}, handle: (*Admin).audit},
	{method: http.MethodPost, path: redeliverPath, params: []string{"destination"}, answers: []int{200, 400, 404, 503, 507}, handle: (*Admin).redeliver},
}

func (a *Admin) getStatus(w http.ResponseWriter, r *adminRequest) error {
	status, err := a.status(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, status)
	return nil
}

func (a *Admin) ledger(w http.ResponseWriter, r *adminRequest) error {
	ledger, err := a.desk.Ledger(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, ledger)
	return nil
}

const redeliverPath = "/api/v1/audit/redeliver"

func (a *Admin) redeliver(w http.ResponseWriter, r *adminRequest) error {
	destination := r.query.text("destination")
	if err := r.query.err(); err != nil {
		return err
	}
	liftTimeouts(w) // it may scan all there is
	// What was begun is finished, whether or not the client stays.
	redeliveries, err := a.desk.Redeliver(context.WithoutCancel(r.Context()), destination)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, RedeliveryList{Redeliveries: filled(redeliveries)})
	return nil
}

func (a *Admin) audit(w http.ResponseWriter, r *adminRequest) error {
	liftTimeouts(w) // it may scan all there is
	audit, err := a.desk.Audit(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, audit)
	return nil
}
