package awsjson

import (
	"io"
	"net/http"
	"testing"
)

// Client returns an HTTP client for the SDK's clients that talk to a stand-in.
//
// The SDK closes the body of a request as soon as the answer begins, and its body then answers
// io.EOF to a WriteTo where it should answer nothing. If the transport has not seen the end of the
// body by then, which on the loopback interface it often has not, it takes that for a request that
// failed and closes the connection under the answer: "use of closed network connection". Without
// its WriteTo the body is read to its end, and all is well.
func Client(t testing.TB) *http.Client {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: plainBodies{transport}}
}

// plainBodies hides from a transport what bodies can do besides being read.
type plainBodies struct{ transport http.RoundTripper }

func (p plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return p.transport.RoundTrip(r)
	}
	plain := r.Clone(r.Context())
	plain.Body = struct {
		io.Reader
		io.Closer
	}{r.Body, r.Body}
	return p.transport.RoundTrip(plain)
}
