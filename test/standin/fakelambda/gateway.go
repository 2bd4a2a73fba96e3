package fakelambda

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Kind is what stands in front of a function.
type Kind string

// The kinds.
const (
	REST Kind = "REST API"     // proxy integration, payload 1.0; every content type is binary
	HTTP Kind = "HTTP API"     // payload 2.0
	URL  Kind = "function URL" // payload 2.0
)

// maxGatewayBytes bounds the body of a request.
const maxGatewayBytes = 10 << 20

// Gateway turns requests into calls of a function, and its answers into responses. Set what is
// needed before the first request.
type Gateway struct {
	Kind     Kind
	Function Invoker
	Stage    string // of a REST API default "live", where the stage is the first part of the path; else "$default"
	BasePath string // of a domain, as "/v1": a first part of the path in place of the stage
	Plain    bool   // an override of the id by a client is believed, and there is no extended id, as in a test of the console

	requests atomic.Int64
}

// request is what of a request is in the event of both forms.
type request struct {
	*http.Request
	body    []byte
	address string
	id      string
	at      time.Time
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxGatewayBytes))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "Request Too Long")
		return
	}
	n := g.requests.Add(1)
	in := &request{Request: r, body: body, at: time.Now(),
		id: fmt.Sprintf("gw%06d-4711-%08x=", n, time.Now().UnixNano()&0xffffffff)}
	if in.address, _, err = net.SplitHostPort(r.RemoteAddr); err != nil {
		in.address = r.RemoteAddr
	}
	event := g.eventOf(in)
	payload, err := json.Marshal(event)
	if err != nil {
		panic("fakelambda: bug: an event that is no JSON: " + err.Error())
	}
	response, err := g.Function.Invoke(r.Context(), payload)
	if err != nil {
		refuse(w, g.failed(), "Internal server error")
		return
	}
	g.answer(w, response)
}

// failed is the status of an invocation that failed.
func (g *Gateway) failed() int {
	if g.Kind == HTTP {
		return http.StatusInternalServerError
	}
	return http.StatusBadGateway
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message}) // a client that is gone does not want it
}

func (g *Gateway) eventOf(in *request) map[string]any {
	in.Header.Set("X-Forwarded-For", in.address)
	in.Header.Set("X-Forwarded-Port", "443")
	in.Header.Set("X-Forwarded-Proto", "https")
	if in.Header.Get("X-Amzn-Trace-Id") == "" {
		in.Header.Set("X-Amzn-Trace-Id", fmt.Sprintf("Root=1-%08x-%024x", in.at.Unix(),
			g.requests.Load()))
	}
	if g.Kind == REST {
		return g.restEvent(in)
	}
	return g.v2Event(in)
}

// restEvent has every header and every parameter as a list and, the last of it, by itself.
func (g *Gateway) restEvent(in *request) map[string]any {
	stage := g.Stage
	if stage == "" {
		stage = "live"
	}
	path := in.URL.EscapedPath()
	asked := g.BasePath + path
	if g.BasePath != "" {
		path = asked // the base path of a domain is in both
	} else {
		asked = "/" + stage + path
	}
	headers := map[string][]string(in.Header.Clone())
	headers["Host"] = []string{in.Host}
	context := map[string]any{
		"accountId": account, "apiId": "abcdef1234", "stage": stage, "path": asked, "httpMethod": in.Method, "protocol": "HTTP/1.1",
		"resourcePath": in.URL.Path, "requestId": in.id + "plain", "requestTimeEpoch": in.at.UnixMilli(),
		"requestTime": in.at.UTC().Format("02/Jan/2006:15:04:05 +0000"), "domainName": in.Host,
		"identity": map[string]any{"sourceIp": in.address, "userAgent": in.UserAgent(), "apiKey": nil},
	}
	if g.Plain {
		context["requestId"] = in.Header.Get("X-Amzn-Requestid")
	} else {
		context["extendedRequestId"] = in.id
	}
	event := map[string]any{
		"resource": in.URL.Path, "path": path, "httpMethod": in.Method, "headers": lasts(
			headers), "multiValueHeaders": headers,
		"queryStringParameters": nil, "multiValueQueryStringParameters": nil, "pathParameters": nil, "stageVariables": nil,
		"requestContext": context, "body": nil, "isBase64Encoded": false,
	}
	if parameters := map[string][]string(in.URL.Query()); len(parameters) > 0 {
		event["queryStringParameters"], event["multiValueQueryStringParameters"] = lasts(
			parameters), parameters
	}
	if len(in.body) > 0 {
		event["body"], event["isBase64Encoded"] = base64.StdEncoding.EncodeToString(in.body), true
	}
	return event
}

func lasts(lists map[string][]string) map[string]string {
	each := make(map[string]string, len(lists))
	for name, values := range lists {
		if len(values) > 0 {
			each[name] = values[len(values)-1]
		}
	}
	return each
}

// v2Event has the lines of a header joined by commas under a lower-case name, and the cookies
// beside them.
func (g *Gateway) v2Event(in *request) map[string]any {
	stage, path := g.Stage, g.BasePath+in.URL.EscapedPath()
	if stage == "" {
		stage = "$default"
	} else {
		path = "/" + stage + path
	}
	headers := map[string]string{"host": in.Host}
	for name, values := range in.Header {
		if name != "Cookie" {
			headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	if in.ContentLength >= 0 {
		headers["content-length"] = strconv.FormatInt(in.ContentLength, 10)
	}
	event := map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": in.URL.RawQuery, "headers": headers,
		"requestContext": map[string]any{
			"accountId": account, "apiId": "abcdef1234", "domainName": in.Host, "domainPrefix": "abcdef1234", "requestId": in.id,
			"routeKey": "$default", "stage": stage, "time": in.at.UTC().Format(
				"02/Jan/2006:15:04:05 +0000"), "timeEpoch": in.at.UnixMilli(),
			"http": map[string]any{"method": in.Method, "path": path, "protocol": "HTTP/1.1",
				"sourceIp": in.address, "userAgent": in.UserAgent()},
		},
		"isBase64Encoded": false,
	}
	if cookies := in.Header.Values("Cookie"); len(cookies) > 0 {
		event["cookies"] = cookies
	}
	if values, err := url.ParseQuery(in.URL.RawQuery); err == nil && len(values) > 0 {
		joined := map[string]string{}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			joined[name] = strings.Join(values[name], ",")
		}
		event["queryStringParameters"] = joined
	}
	switch {
	case len(in.body) == 0:
	case utf8.Valid(in.body) && isText(in.Header.Get("Content-Type")):
		event["body"] = string(in.body)
	default:
		event["body"], event["isBase64Encoded"] = base64.StdEncoding.EncodeToString(in.body), true
	}
	return event
}

func isText(contentType string) bool {
	return strings.HasPrefix(contentType, "text/") ||
		strings.HasPrefix(contentType, "application/json") ||
		strings.HasPrefix(contentType, "application/xml") ||
		strings.HasPrefix(contentType, "application/javascript")
}

// answer writes what the function said. A REST API wants a status; the others take an answer
// without one for a body.
func (g *Gateway) answer(w http.ResponseWriter, response []byte) {
	var form struct {
		StatusCode        int                 `json:"statusCode"`
		Headers           map[string]string   `json:"headers"`
		MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
		Body              string              `json:"body"`
		IsBase64Encoded   bool                `json:"isBase64Encoded"`
	}
	err := json.Unmarshal(response, &form)
	switch {
	case (err != nil || form.StatusCode == 0) && g.Kind == REST:
		refuse(w, http.StatusBadGateway, "Internal server error")
		return
	case err != nil || form.StatusCode == 0:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(response)
		return
	}
	body := []byte(form.Body)
	if form.IsBase64Encoded {
		if body, err = base64.StdEncoding.DecodeString(form.Body); err != nil {
			refuse(w, g.failed(), "Internal server error")
			return
		}
	}
	for name, value := range form.Headers {
		w.Header().Set(name, value)
	}
	for name, values := range form.MultiValueHeaders {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.WriteHeader(form.StatusCode)
	_, _ = w.Write(body)
}
