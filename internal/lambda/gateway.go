package lambda

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"pillarbox"
	"pillarbox/internal/ingest"
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

// at reports whether the request is for the path. What stands in front of it is the stage or the
// base path of a domain, of which a source knows nothing.
func (e *gatewayEvent) at(path string) bool {
	asked := e.Path
	if e.Context.HTTP != nil {
		asked = e.RawPath
	}
	if len(asked) > 1 {
		asked = strings.TrimSuffix(asked, "/") // a slash at the end is not looked at
	}
	if path == "/" { // every path ends in something like it
		asked = "/" + strings.Trim(asked, "/")
		return asked == "/" || asked == "/"+e.Context.Stage
	}
	return strings.HasSuffix(asked, path)
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
// sorted, lines of the same name in their order.
func (e *gatewayEvent) header() pillarbox.Header {
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

// bodyBytes is the size of the body, or a little more, before it is decoded.
func (e *gatewayEvent) bodyBytes() int64 {
	if !e.Base64 {
		return int64(len(e.Body))
	}
	padding := len(e.Body) - len(strings.TrimRight(e.Body, "="))
	return int64(base64.StdEncoding.DecodedLen(len(e.Body)) - padding)
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

// request makes the request for ingest, without its body.
func (e *gatewayEvent) request(path string) ingest.Request {
	header := e.header()
	traceparent := ingest.ValidTraceparent(first(header, "Traceparent")) // as in clientTrace
	if traceparent == "" {
		traceparent = traceparentOf(first(header, "X-Amzn-Trace-Id"))
	}
	return ingest.Request{
		Method: e.method(), Path: path, Query: e.query(), Header: header,
		ContentType: first(header, "Content-Type"), RemoteAddr: e.remoteAddr(),
		Traceparent: traceparent, RequestID: e.requestID(),
	}
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

// lines returns all lines of a header.
func lines(header pillarbox.Header, name string) []string {
	var values []string
	for _, field := range header {
		if field.Name == name {
			values = append(values, field.Value)
		}
	}
	return values
}
