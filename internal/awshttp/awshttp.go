// Package awshttp mends how the AWS SDK sends requests.
//
// The SDK closes the body of a request as soon as the answer begins, and its body then answers
// io.EOF to a WriteTo where it should answer nothing (smithy-go 1.28). If the transport has not
// seen the end of the body by then, as on a fast network and a busy machine, it takes that for a
// request that failed, and closes the connection under the answer. The SDK tries again. A receive
// that is tried again has lost the messages of the first one for as long as their queue hides them,
// and one of their receives with it.
package awshttp

import (
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Whole returns a client that reads every body to its end, and is otherwise the one given.
func Whole(client aws.HTTPClient) aws.HTTPClient { return whole{client} }

type whole struct{ client aws.HTTPClient }

// Do implements aws.HTTPClient.
func (w whole) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return w.client.Do(r)
	}
	plain := r.WithContext(r.Context())
	plain.Body = struct { // without WriteTo
		io.Reader
		io.Closer
	}{r.Body, r.Body}
	return w.client.Do(plain)
}
