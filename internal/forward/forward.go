// Package forward gives events to a program on this machine as the requests that they were: with their
// method, headers and body, so that a webhook can be developed against what really comes.
//
// It promises that each event is sent once, that whatever can't be sent as it came is said beside the
// answer, and that no event leaves this machine unless that was asked for. It keeps nothing and retries
// nothing: a destination with a webhook URL does.
package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/http/httpguts"

	"pillarbox"
)

// DefaultTimeout is how long a program may take to answer.
const DefaultTimeout = 30 * time.Second

// maxAnswer is how much of an answer is read, so that its connection can be used again.
const maxAnswer = 64 << 10

// The headers that say which event a request is, beside those that the sender has sent.
const (
	HeaderRequestID = "Pillarbox-Request-Id"
	HeaderTimestamp = "Pillarbox-Timestamp"
	HeaderSource    = "Pillarbox-Source"
)

// Options of a Forwarder. Target is required.
type Options struct {
	Target     *url.URL
	AppendPath bool          // the path of each request is put behind that of the target
	Remote     bool          // the target may be another machine
	Timeout    time.Duration // for an answer; 0 is DefaultTimeout
}

// Forwarder sends events, one at a time or concurrently.
type Forwarder struct {
	options Options
	client  *http.Client
}

// Result is what became of one event.
type Result struct {
	RequestID string              `json:"request_id"`
	Timestamp pillarbox.Timestamp `json:"timestamp"`
	Source    string              `json:"source"`
	Method    string              `json:"method"`
	URL       string              `json:"url"`
	Status    int                 `json:"status,omitempty"` // of the answer; none where there is none
	Seconds   float64             `json:"seconds"`
	Error     string              `json:"error,omitempty"`    // why there is no answer
	LeftOut   []string            `json:"left_out,omitempty"` // names of headers that can't be sent as they came
}

// OK reports whether the program has taken the event.
func (r *Result) OK() bool { return r.Status >= 200 && r.Status <= 299 }

// New makes a Forwarder. An error names what is wrong with the target.
func New(options Options) (*Forwarder, error) {
	if options.Timeout <= 0 {
		options.Timeout = DefaultTimeout
	}
	switch to := options.Target; {
	case to.Scheme != "http" && to.Scheme != "https", to.Host == "":
		return nil, pillarbox.Invalid("%s is no URL of a program; write it as http://localhost:3000/webhooks", to.Redacted())
	case to.User != nil:
		return nil, pillarbox.Invalid("the URL %s has credentials, which a request has no place for; leave them out", to.Redacted())
	case !options.Remote && !isHere(to.Hostname()):
		return nil, notHere(to.Hostname())
	}
	dialer := &net.Dialer{Timeout: options.Timeout}
	if !options.Remote {
		dialer.Control = onlyHere
	}
	return &Forwarder{options: options, client: &http.Client{
		Timeout:       options.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DialContext: dialer.DialContext, DisableCompression: true}, // and no proxy
	}}, nil
}

func notHere(host string) error {
	return pillarbox.Invalid("%s is another machine, and what clients have sent is for this one; use --remote if it is meant to leave it, or a destination with a webhook URL, which is durable", host)
}

func isHere(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && address.Unmap().IsLoopback()
}

// onlyHere refuses what a name of this machine has turned out to be.
func onlyHere(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if !isHere(host) {
		return notHere(host)
	}
	return nil
}

// Forward sends an event and waits for the answer. That there is none is no error: see Result.
func (f *Forwarder) Forward(ctx context.Context, event *pillarbox.Event) *Result {
	result := &Result{RequestID: event.RequestID, Timestamp: event.Timestamp, Source: event.Source, Method: event.Method}
	to := f.target(event)
	result.URL = to.Redacted()
	begun := time.Now()
	status, err := f.send(ctx, to, event, result)
	result.Seconds = time.Since(begun).Seconds()
	if result.Status = status; err != nil {
		result.Error = causeOf(err)
	}
	return result
}

// target is where an event goes.
func (f *Forwarder) target(event *pillarbox.Event) *url.URL {
	to := *f.options.Target
	if f.options.AppendPath { // which is as it was sent: %2F is no slash
		path, err := url.PathUnescape(event.Path)
		if err != nil {
			path = event.Path // it was none of HTTP, and is escaped as it stands
		}
		to.RawPath = strings.TrimSuffix(to.EscapedPath(), "/") + event.Path // counts if it is the other in escaped form
		to.Path = strings.TrimSuffix(to.Path, "/") + path
	}
	if to.RawQuery == "" {
		to.RawQuery = event.Query
	}
	return &to
}

func (f *Forwarder) send(ctx context.Context, to *url.URL, event *pillarbox.Event, result *Result) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, event.Method, to.String(), bytes.NewReader(event.Body))
	if err != nil {
		return 0, err
	}
	request.Header, result.LeftOut = headerOf(event)
	response, err := f.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.CopyN(io.Discard, response.Body, maxAnswer)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return response.StatusCode, err
}

// ofTheConnection are headers between the sender and the server alone (RFC 9110, section 7.6.1), and
// those that a client makes of the request itself.
var ofTheConnection = []string{"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// headerOf is the header of an event, and the names of what it can't have.
func headerOf(event *pillarbox.Event) (header http.Header, leftOut []string) {
	header = http.Header{"User-Agent": nil} // that of the sender, or none
	for _, field := range event.Header {
		name := textproto.CanonicalMIMEHeaderKey(field.Name)
		switch {
		case slices.Contains(ofTheConnection, name):
		case !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(field.Value):
			leftOut = append(leftOut, field.Name)
		default:
			header[name] = append(header[name], field.Value)
		}
	}
	if _, given := header["Content-Type"]; !given && event.ContentType != "" && httpguts.ValidHeaderFieldValue(event.ContentType) {
		header["Content-Type"] = []string{event.ContentType}
	}
	header[HeaderRequestID] = []string{event.RequestID}
	header[HeaderTimestamp] = []string{event.Timestamp.String()}
	header[HeaderSource] = []string{event.Source}
	return header, leftOut
}

// causeOf is an error without the URL, which stands beside it.
func causeOf(err error) string {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer in time: %v", err)
	}
	return err.Error()
}
