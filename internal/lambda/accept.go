package lambda

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/ingest"
	"pillarbox/internal/protocol"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/xray"
)

// AcceptOptions say which way in an Accept is. Zero means the default.
type AcceptOptions struct {
	Source  source.Settings // its name; default "app", its path; default "/" and the name, its largest body
	Logger  *slog.Logger    // default: discard
	Metrics io.Writer       // for the embedded metric format; nil: none
	Now     func() time.Time
}

// The defaults of all handlers.
const (
	DefaultSource      = "app"
	DefaultDestination = "events"
)

// Accept answers requests of a REST API, an HTTP API or a function URL, each as the HTTP server
// would.
type Accept struct {
	acceptor ingest.Acceptor
	source   *source.Source
	opts     AcceptOptions
	reporter reporter
}

// NewAccept makes the handler.
func NewAccept(acceptor ingest.Acceptor, opts AcceptOptions) *Accept {
	opts.Source.Name = cmp.Or(opts.Source.Name, DefaultSource)
	opts.Source.Path = cmp.Or(opts.Source.Path, "/"+opts.Source.Name)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Accept{
		acceptor: acceptor, source: source.New(opts.Source,
			source.Options{Logger: opts.Logger, Now: opts.Now}), opts: opts,
		reporter: newReporter(opts.Metrics, "accept", "Source", opts.Source.Name, opts.Logger),
	}
}

// answer is what the client gets.
type answer struct {
	status int
	header http.Header
	body   []byte
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
	return a.answer(ctx, event, m).encode(event.method())
}

// answer serves the request, and answers for a bug as for any other fault of ours.
func (a *Accept) answer(ctx context.Context, event *gatewayEvent, m *measures) (to answer) {
	defer func() {
		if cause := recover(); cause != nil {
			a.reporter.panicked(ctx, m, cause)
			to = a.refuse(ctx, event, m, protocol.Hide(fmt.Errorf("panic: %v", cause)))
		}
	}()
	to, err := a.serve(ctx, event, m)
	if err != nil {
		to = a.refuse(ctx, event, m, err)
	}
	return a.allowOrigin(event, to)
}

// allowOrigin adds what lets a page read the answer; what the answer says of itself goes first.
func (a *Accept) allowOrigin(event *gatewayEvent, to answer) answer {
	allowed := http.Header{}
	a.source.AllowOrigin(allowed, event.header())
	for name, values := range allowed {
		if to.header.Get(name) == "" {
			to.header[name] = values
		}
	}
	return to
}

func (a *Accept) serve(ctx context.Context, event *gatewayEvent, m *measures) (answer, error) {
	if !event.at(a.source.Path) {
		// not which there is: it can be a secret
		return answer{}, &protocol.Error{Status: http.StatusNotFound,
			Detail: "there is no source at this path"}
	}
	return a.accept(ctx, event, m)
}

func (a *Accept) accept(ctx context.Context, event *gatewayEvent, m *measures) (answer, error) {
	request := event.request(a.source.Path)
	head := &source.Head{
		Method: request.Method, Path: request.Path, Query: request.Query,
		RemoteAddr: request.RemoteAddr, Header: request.Header,
		ContentEncoding: lines(request.Header, "Content-Encoding"), MayWait: true,
	}
	admission, err := a.source.Admit(head)
	if err != nil {
		return answer{}, err
	}
	if a.source.IsEventBatch(request.ContentType) {
		return answer{}, source.RefuseBatch()
	}
	if event.bodyBytes() > a.source.MaxBody {
		return answer{}, protocol.TooLarge(a.source.MaxBody, a.source.MaxBodyKey())
	}
	if request.Body, err = event.body(); err != nil {
		return answer{}, err
	}
	if request.Grant, request.Body, err = admission.One(head, request.Body); err != nil {
		return answer{}, err
	}
	// a 503 that says when to come back, rather than a process that is killed
	ctx, cancel := within(ctx, answerReserve)
	defer cancel()
	before := a.source.RemovedInAll()
	result := a.acceptor.AcceptInto(ctx, []ingest.Request{request}, nil)[0]
	if removed := a.source.RemovedInAll() - before; removed > 0 {
		m.counts[metricRemoved] = int(removed)
	}
	if result.Err != nil {
		return answer{}, ours(result.Err)
	}
	xray.Annotate(ctx, "request_id", result.Receipt.RequestID)
	xray.Annotate(ctx, "client_traceparent", event.clientTrace())
	to, err := accepted(a.source.Accepted(), &result)
	if err != nil {
		return answer{}, err
	}
	m.counts[metricAccepted]++
	m.bytes += len(request.Body)
	return to, nil
}

func accepted(by *source.Answer, result *ingest.Result) (answer, error) {
	receipt := result.Receipt
	body := by.Body
	if by.Receipt {
		text, err := protocol.AppendReceipt(nil, receipt)
		if err != nil {
			return answer{}, fmt.Errorf("encode a receipt: %w", err)
		}
		body = append(text, '\n')
	}
	to := newAnswer(by.Status, by.ContentType, body)
	to.header.Set("X-Request-Id", receipt.RequestID)
	if result.Replayed {
		to.header.Set(pillarbox.HeaderReplayed, "true")
	}
	return to, nil
}

// ours makes a fault of ours of every error of the queue that speaks neither of the body's size nor
// of another time: nothing that a client sends can be the cause of a queue that is missing or was
// set up wrong.
func ours(err error) error {
	var said *protocol.Error // of the source, and of no queue
	status := protocol.StatusOf(err)
	if status >= http.StatusInternalServerError || status == http.StatusRequestEntityTooLarge || errors.As(err, &said) {
		return err
	}
	return protocol.Hide(err)
}

func (a *Accept) refuse(ctx context.Context, event *gatewayEvent, m *measures, err error) answer {
	var reply *protocol.Reply
	if errors.As(err, &reply) {
		header, body := reply.Answer()
		return answer{status: reply.Status, header: header, body: body}
	}
	status, err := protocol.Refusal(err)
	switch log := a.reporter.log(ctx).With(telemetry.KeyMethod, event.method(), telemetry.KeyStatus,
		status, telemetry.KeyErr, err); {
	case status == http.StatusInternalServerError:
		log.Error("request failed")
	case status > http.StatusInternalServerError:
		log.Warn("request refused for now")
	}
	m.counts[metricRefused+strings.ReplaceAll(http.StatusText(status), " ", "")]++
	header, body := protocol.ProblemOf(err).Answer(err)
	return newAnswer(status, protocol.TypeProblem, body).with(header)
}

func newAnswer(status int, contentType string, body []byte) answer {
	to := answer{status: status, header: http.Header{"X-Content-Type-Options": {"nosniff"}}, body: body}
	if contentType != "" {
		to.header.Set("Content-Type", contentType)
	}
	return to
}

func (to answer) with(header http.Header) answer {
	for name := range header {
		to.header.Set(name, header.Get(name))
	}
	return to
}

// gatewayAnswer is understood by all three kinds of front.
type gatewayAnswer struct {
	StatusCode int               `json:"statusCode"`
	Header     map[string]string `json:"headers"`
	Body       string            `json:"body"`
	Base64     bool              `json:"isBase64Encoded"`
}

// encode returns the answer for the gateway. Every body of ours is text.
func (to answer) encode(method string) ([]byte, error) {
	if method == http.MethodHead {
		to.body = nil
	}
	plain := gatewayAnswer{StatusCode: to.status, Header: make(map[string]string, len(to.header)),
		Body: string(to.body)}
	for name := range to.header {
		plain.Header[name] = to.header.Get(name)
	}
	return json.Marshal(plain)
}

var _ Letters = (pillarbox.DeadLetters)(nil)
