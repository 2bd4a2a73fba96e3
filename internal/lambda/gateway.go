package lambda

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"pillarbox"
	"pillarbox/internal/ingest"
	"pillarbox/internal/source"
)

// gatewayEvent is a request as API Gateway and function URLs hand it over. It has the fields of all
// three shapes, so that a body of several megabytes is read once and not once for each guess:
//
//   - REST API, and payload 1.0 of an HTTP API: httpMethod and path; headers and parameters as
//     lists
//   - HTTP API with payload 2.0, and function URL: requestContext.http, rawPath, rawQueryString;
//     lines of one header joined by commas
type gatewayEvent struct {
	HTTPMethod string              `json:"httpMethod"`
	Path       string              `json:"path"`
	Header     map[string]string   `json:"headers"`
	Cookies    []string            `json:"cookies"` // of an HTTP API and a function URL, which have them apart
	Headers    map[string][]string `json:"multiValueHeaders"`
	Parameter  map[string]string   `json:"queryStringParameters"`
	Parameters map[string][]string `json:"multiValueQueryStringParameters"`

	RawPath  string `json:"rawPath"`
	RawQuery string `json:"rawQueryString"`

	Body    string         `json:"body"`
	Base64  bool           `json:"isBase64Encoded"`
	Context gatewayContext `json:"requestContext"`

	lines pillarbox.Header // see header
}

type gatewayContext struct {
	RequestID         string `json:"requestId"`
	ExtendedRequestID string `json:"extendedRequestId"`
	Stage             string `json:"stage"`
	Identity          struct {
		SourceIP string `json:"sourceIp"`
	} `json:"identity"`
	HTTP *struct {
		Method   string `json:"method"`
		SourceIP string `json:"sourceIp"`
	} `json:"http"`
	LoadBalancer json.RawMessage `json:"elb"`
}

var errShape = errors.New("this is no request of API Gateway or of a function URL; call the function through one of them")

// readGateway tells the shapes apart. Its errors say nothing of what the event holds.
func readGateway(payload []byte) (*gatewayEvent, error) {
	event := &gatewayEvent{}
	if err := json.Unmarshal(payload, event); err != nil {
		return nil, fmt.Errorf("%d bytes that can't be read: %w", len(payload), errShape)
	}
	// A load balancer's event looks like one of a REST API, and has its parameters in another form.
	if event.method() == "" || event.Context.LoadBalancer != nil {
		return nil, errShape
	}
	return event, nil
}

func (e *gatewayEvent) method() string {
	if e.Context.HTTP != nil {
		return e.Context.HTTP.Method
	}
	return e.HTTPMethod
}

func (e *gatewayEvent) remoteAddr() string {
	if e.Context.HTTP != nil {
		return e.Context.HTTP.SourceIP
	}
	return e.Context.Identity.SourceIP
}

// pathIn returns the path of the request, as it came, below what stands in front of it: the stage
// or the base path of a domain, of which sources know nothing. The longest path that leads
// somewhere counts.
func (e *gatewayEvent) pathIn(table *source.Table) string {
	asked := e.Path
	if e.Context.HTTP != nil {
		asked = e.RawPath
		if rest, found := strings.CutPrefix(asked, "/"+e.Context.Stage+"/"); found {
			asked = "/" + rest // it is in each of these paths
		}
	}
	if !strings.HasPrefix(asked, "/") {
		asked = "/" + asked
	}
	for rest := asked; strings.Trim(rest, "/") != ""; {
		if at := urlOf(rest); table.Route(at.Path, at.EscapedPath()) != nil {
			return rest
		}
		next := strings.IndexByte(rest[1:], '/')
		if next < 0 {
			break
		}
		rest = rest[1+next:]
	}
	if strings.Trim(asked, "/") == e.Context.Stage {
		return "/"
	}
	return asked
}

// urlOf makes a URL of a path that came with its escapes, or without them where they can't be any.
func urlOf(path string) *url.URL {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return &url.URL{Path: path}
	}
	return &url.URL{Path: plain, RawPath: path}
}

// query returns the query as it came or, where only its decoded parts came, one that has the same
// parts, sorted.
func (e *gatewayEvent) query() string {
	if e.Context.HTTP != nil {
		return e.RawQuery
	}
	if len(e.Parameters) > 0 {
		return url.Values(e.Parameters).Encode()
	}
	values := url.Values{}
	for name, value := range e.Parameter {
		values.Set(name, value)
	}
	return values.Encode()
}

// header returns the lines as an HTTP server of ours would have them: names in canonical form,
// sorted, lines of the same name in their order. Nobody changes them.
func (e *gatewayEvent) header() pillarbox.Header {
	if e.lines == nil {
		e.lines = e.readHeader()
	}
	return e.lines
}

func (e *gatewayEvent) readHeader() pillarbox.Header {
	lines := e.Headers
	if len(lines) == 0 {
		lines = make(map[string][]string, len(e.Header))
		for name, value := range e.Header {
			lines[name] = []string{value}
		}
	}
	var header pillarbox.Header
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		for _, value := range lines[name] {
			header = append(header, pillarbox.HeaderField{Name: canonical, Value: value})
		}
	}
	for _, cookie := range e.Cookies {
		header = append(header, pillarbox.HeaderField{Name: "Cookie", Value: cookie})
	}
	slices.SortStableFunc(header,
		func(a, b pillarbox.HeaderField) int { return strings.Compare(a.Name, b.Name) })
	return header
}

// body decodes the body. Only the gateway encodes bodies, so a bad one is not the client's fault.
func (e *gatewayEvent) body() ([]byte, error) {
	if !e.Base64 {
		return []byte(e.Body), nil
	}
	body, err := base64.StdEncoding.DecodeString(e.Body)
	if err != nil {
		return nil, errors.New("the gateway's base64 can't be read")
	}
	return body, nil
}

// maxRequestID bounds the id of an event. API Gateway's have 16 or 36 characters.
const maxRequestID = 128

// requestID is the id that the gateway gave, or nothing. The extended one of a REST API comes
// first, because clients can override the other. An id becomes part of keys, names of files and
// headers, so that a strange one is not taken.
func (e *gatewayEvent) requestID() string {
	id := cmp.Or(e.Context.ExtendedRequestID, e.Context.RequestID)
	if len(id) > maxRequestID {
		return ""
	}
	for _, c := range []byte(id) {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte("-_=+/.", c) >= 0
		if !plain {
			return ""
		}
	}
	return id
}

// notForHandlers are lines that net/http gives to no handler.
var notForHandlers = []string{"Host", "Transfer-Encoding"}

// request makes the request as net/http would hand it to the handler.
func (e *gatewayEvent) request(ctx context.Context, table *source.Table) (*http.Request, error) {
	body, err := e.body()
	if err != nil {
		return nil, err
	}
	at := urlOf(e.pathIn(table))
	at.RawQuery = e.query()
	request := (&http.Request{
		Method: e.method(), URL: at, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)), RemoteAddr: net.JoinHostPort(e.remoteAddr(), "0"),
		RequestURI: at.RequestURI(),
	}).WithContext(ctx)
	for _, field := range e.header() {
		request.Header[field.Name] = append(request.Header[field.Name], field.Value)
	}
	request.Host = request.Header.Get("Host")
	for _, name := range notForHandlers {
		request.Header.Del(name)
	}
	return request, nil
}

// trace returns the trace that the event is a part of: that of the client, else that of AWS.
func (e *gatewayEvent) trace() string {
	return cmp.Or(e.clientTrace(), traceparentOf(first(e.header(), "X-Amzn-Trace-Id")))
}

// clientTrace returns the trace context that the client sent, or nothing. It is kept with the event
// and named in the trace, which is AWS's own and goes on by itself.
func (e *gatewayEvent) clientTrace() string {
	return ingest.ValidTraceparent(first(e.header(), "Traceparent"))
}

// first returns the first line of a header.
func first(header pillarbox.Header, name string) string {
	for _, field := range header {
		if field.Name == name {
			return field.Value
		}
	}
	return ""
}
