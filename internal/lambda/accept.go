package lambda

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"pillarbox"
	"pillarbox/internal/protocol"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
)

// AcceptOptions of an Accept. Zero means the default.
type AcceptOptions struct {
	Name    string       // of metrics, as their dimension Source; default "app"
	Logger  *slog.Logger // default: discard
	Metrics io.Writer    // for the embedded metric format; nil: none
	Now     func() time.Time

	// Refresh is called before each request, to take over what has changed elsewhere, with the time
	// that the request has. Its error is answered in place of the request. Optional.
	Refresh func(ctx context.Context) error
}

// The defaults of all handlers.
const (
	DefaultSource      = "app"
	DefaultDestination = "events"
)

// Accept answers requests of a REST API, an HTTP API or a function URL, each as the HTTP server
// would: it is the server's handler that answers them.
type Accept struct {
	handler  http.Handler
	sources  *source.Sources
	opts     AcceptOptions
	reporter reporter
}

// NewAccept makes the function of the handler of the public listener. Sources are those of the
// handler; its Acceptor is one of NewAcceptor.
func NewAccept(handler http.Handler, sources *source.Sources, opts AcceptOptions) *Accept {
	opts.Name = cmp.Or(opts.Name, DefaultSource)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Accept{handler: handler, sources: sources, opts: opts,
		reporter: newReporter(opts.Metrics, "accept", "Source", opts.Name, opts.Logger)}
}

// Invoke answers one event. What is no request at all is an error, which the gateway answers with
// 502.
func (a *Accept) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	m := newMeasures()
	m.counts[metricAccepted] = 0
	defer func() { a.reporter.write(ctx, a.opts.Now(), m) }()
	event, err := readGateway(payload)
	if err != nil {
		m.counts[metricRefused+"Shape"]++
		return nil, err
	}
	to := a.answer(ctx, event, m)
	if to.status >= http.StatusBadRequest {
		m.counts[metricRefused+strings.ReplaceAll(http.StatusText(to.status), " ", "")]++
	}
	return to.encode(event.method())
}

// answer serves the request, and answers for a bug as for any other fault of ours.
func (a *Accept) answer(ctx context.Context, event *gatewayEvent, m *measures) (to *answer) {
	defer func() {
		if cause := recover(); cause != nil {
			a.reporter.panicked(ctx, m, cause)
			to = refusal(protocol.Hide(fmt.Errorf("panic: %v", cause)))
		}
	}()
	call := &call{measures: m, requestID: event.requestID(), trace: event.trace(),
		clientTrace: event.clientTrace()}
	call.deadline, call.limited = ctx.Deadline()
	err := a.refresh(ctx)
	var request *http.Request
	if err == nil { // and not before: what leads where may be known only now
		request, err = event.request(context.WithValue(ctx, callKey{}, call), a.sources.Table())
	}
	if err != nil {
		a.tell(ctx, event, err)
		return refusal(err)
	}
	to = newAnswer()
	a.handler.ServeHTTP(to, request)
	if call.fault != nil {
		a.tell(ctx, event, call.fault)
	}
	return to
}

// refresh takes over what has changed elsewhere, and leaves time to answer.
func (a *Accept) refresh(ctx context.Context) error {
	if a.opts.Refresh == nil {
		return nil
	}
	ctx, cancel := within(ctx, answerReserve)
	defer cancel()
	return a.opts.Refresh(ctx)
}

// tell logs why a request failed for which its client is not to blame.
func (a *Accept) tell(ctx context.Context, event *gatewayEvent, err error) {
	status, err := protocol.Refusal(err)
	log := a.reporter.log(ctx).With(telemetry.KeyMethod, event.method(), telemetry.KeyStatus, status,
		telemetry.KeyErr, err)
	switch {
	case status == http.StatusInternalServerError:
		log.Error("request failed")
	case status > http.StatusInternalServerError:
		log.Warn("request refused for now")
	}
}

// answer is what the client gets. It implements http.ResponseWriter.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}} }

// refusal is the answer to an error.
func refusal(err error) *answer {
	to := newAnswer()
	to.header.Set("X-Content-Type-Options", "nosniff")
	_, err = protocol.Refusal(err)
	protocol.WriteProblem(to, err)
	return to
}

// Header implements http.ResponseWriter.
func (to *answer) Header() http.Header { return to.header }

// WriteHeader implements http.ResponseWriter: the first status counts.
func (to *answer) WriteHeader(status int) {
	if to.status == 0 {
		to.status = status
	}
}

// Write implements http.ResponseWriter.
func (to *answer) Write(part []byte) (int, error) {
	to.WriteHeader(http.StatusOK)
	return to.body.Write(part)
}

// gatewayAnswer is understood by all three kinds of front.
type gatewayAnswer struct {
	StatusCode int               `json:"statusCode"`
	Header     map[string]string `json:"headers"`
	Body       string            `json:"body"`
	Base64     bool              `json:"isBase64Encoded"`
}

// ofConnection are lines about a connection, which is the gateway's, and about the length, which it
// counts itself.
var ofConnection = []string{"Connection", "Content-Length"}

// encode returns the answer for the gateway. A body that is no text, because it repeats what a
// sender has sent, goes as base64.
func (to *answer) encode(method string) ([]byte, error) {
	for _, name := range ofConnection {
		to.header.Del(name)
	}
	plain := gatewayAnswer{StatusCode: cmp.Or(to.status, http.StatusOK),
		Header: make(map[string]string, len(to.header))}
	for name, values := range to.header {
		plain.Header[name] = strings.Join(values, ", ")
	}
	switch body := to.body.Bytes(); {
	case method == http.MethodHead:
	case utf8.Valid(body):
		plain.Body = string(body)
	default:
		plain.Body, plain.Base64 = base64.StdEncoding.EncodeToString(body), true
	}
	return json.Marshal(plain)
}

var _ Letters = (pillarbox.DeadLetters)(nil)
