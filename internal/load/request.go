package load

import (
	"errors"
	"fmt"
	"net/http"
	"sort"
	"strings"
)

// Request is what every connection sends, again and again.
type Request struct {
	Method string // default POST
	Path   string // with the query, default /
	Host   string
	Header http.Header // further fields; Host and Content-Length are set by Encode
	Body   []byte
}

// Encode is the request as it goes over the wire. Nothing of it is escaped: what would break the
// head is an error.
func (r Request) Encode() ([]byte, error) {
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	if r.Path == "" {
		r.Path = "/"
	}
	if r.Host == "" {
		return nil, errors.New("request: the host is missing")
	}
	if strings.ContainsAny(r.Method+r.Path+r.Host, " \r\n") {
		return nil, fmt.Errorf("request: %q %q %q would break the head", r.Method, r.Path, r.Host)
	}
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.Path, r.Host)
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		names = append(names, name)
	}
	sort.Strings(names) // one request has one encoding
	for _, name := range names {
		for _, value := range r.Header[name] {
			if strings.ContainsAny(name, ": \r\n") || strings.ContainsAny(value, "\r\n") {
				return nil, fmt.Errorf("request: the field %q would break the head", name)
			}
			fmt.Fprintf(&head, "%s: %s\r\n", name, value)
		}
	}
	fmt.Fprintf(&head, "Content-Length: %d\r\n\r\n", len(r.Body))
	return append([]byte(head.String()), r.Body...), nil
}
