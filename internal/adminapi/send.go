package adminapi

import (
	"context"
	"encoding/base64"
	"net/http"

	"pillarbox"
	"pillarbox/internal/protocol"
)

// sendRoutes send an event by hand, and tell what is in force.
var sendRoutes = []apiRoute{
	{method: http.MethodPost, path: EventsPath, scope: ScopeAdmin, act: "event.send", params: none, body: true,
		answers: []int{202, 400, 404, 408, 409, 413, 415, 422, 503, 507}, handle: (*Handler).send},
	{method: http.MethodGet, path: ConfigurationPath, params: none, answers: []int{200, 400, 404}, handle: (*Handler).configuration},
}

// The paths of events, and of the configuration in force.
const (
	EventsPath        = "/api/v1/events"
	ConfigurationPath = "/api/v1/configuration"
)

// CopyHeader is the header of an edited copy of an event, with the request id of what it was made from.
const CopyHeader = "Pillarbox-Copy-Of"

// Sender accepts events that a person sends.
type Sender interface {
	// Send accepts an event into a source, whoever may come in there: a person with the scope admin sends
	// it. It is an event like any other. Errors: those of ingest, ErrNotFound for a source that is not
	// configured.
	Send(ctx context.Context, event *SendRequest, body []byte) (pillarbox.Receipt, error)
}

// SendRequest is an event to send. Source must be there.
type SendRequest struct {
	Source       string            `json:"source"`
	Path         string            `json:"path,omitempty"`   // default: that of the source
	Method       string            `json:"method,omitempty"` // default: POST
	Query        string            `json:"query,omitempty"`
	ContentType  string            `json:"content_type,omitempty"`
	Headers      map[string]string `json:"headers,omitempty"`
	Body         string            `json:"body,omitempty"`
	BodyEncoding string            `json:"body_encoding,omitempty"` // utf8, the default, or base64
	CopyOf       string            `json:"copy_of,omitempty"`       // request id of the event that it is an edited copy of
}

func (a *Handler) send(w http.ResponseWriter, r *apiRequest) error {
	var asked SendRequest
	if err := readRequest(w, r.Request, &asked, "an event to send", ""); err != nil {
		return err
	}
	body := []byte(asked.Body)
	switch asked.BodyEncoding {
	case "", "utf8":
	case "base64":
		var err error
		if body, err = base64.StdEncoding.DecodeString(asked.Body); err != nil {
			return protocol.Invalid("body is not base64: %v", err)
		}
	default:
		return protocol.Invalid("body_encoding is %q; it may be utf8 or base64", asked.BodyEncoding)
	}
	if asked.Source == "" {
		return protocol.Invalid("source is empty; name the one to send to")
	}
	// What was begun is finished, whether or not the client stays.
	receipt, err := a.node.Send(context.WithoutCancel(r.Context()), &asked, body)
	if err != nil {
		return err
	}
	r.made = "event " + receipt.RequestID
	protocol.WriteJSON(w, http.StatusAccepted, receipt)
	return nil
}

// Configuration is what is in force, as a file of the configuration, without secrets.
type Configuration struct {
	Configuration string `json:"configuration"`
}

func (a *Handler) configuration(w http.ResponseWriter, _ *apiRequest) error {
	if a.opts.Configuration == nil {
		return &protocol.Error{Status: http.StatusNotFound, Detail: "nobody has told this server its configuration"}
	}
	protocol.WriteJSON(w, http.StatusOK, Configuration{a.opts.Configuration()})
	return nil
}
