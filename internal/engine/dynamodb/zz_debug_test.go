package dynamodb_test

import (
	"fmt"
	"net/http"
	"net/http/httptrace"
	"os"
)

type tracer struct{ t http.RoundTripper }

func (t tracer) Do(r *http.Request) (*http.Response, error) {
	tr := &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) {
		if i.Err != nil {
			fmt.Fprintf(os.Stderr, "WROTE %T %v len %d body %T target %s\n", i.Err, i.Err, r.ContentLength, r.Body, r.Header.Get("X-Amz-Target"))
		}
	}}
	return t.t.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), tr)))
}

func spyClient() tracer { return tracer{http.DefaultTransport.(*http.Transport).Clone()} }
