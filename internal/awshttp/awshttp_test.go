package awshttp_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"pillarbox/internal/awshttp"
)

// clever is a body that does more than to be read.
type clever struct{ *strings.Reader }

func (clever) Close() error { return nil }

type spy struct {
	body   io.ReadCloser
	length int64
}

func (s *spy) Do(r *http.Request) (*http.Response, error) {
	s.body, s.length = r.Body, r.ContentLength
	return nil, io.ErrUnexpectedEOF
}

// TestBodiesAreReadAndNothingElse: the transport sees a body without WriteTo, with the bytes and
// the length it had.
func TestBodiesAreReadAndNothingElse(t *testing.T) {
	s := &spy{}
	request, err := http.NewRequest(http.MethodPost, "http://localhost",
		clever{strings.NewReader("body")})
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = 4
	if _, err := awshttp.Whole(s).Do(request); err != io.ErrUnexpectedEOF {
		t.Errorf("the client's error became %v", err)
	}
	if _, clever := s.body.(io.WriterTo); clever {
		t.Error("the body still has a WriteTo")
	}
	if text, err := io.ReadAll(s.body); err != nil || string(text) != "body" || s.length != 4 {
		t.Errorf("body %q of %d bytes, %v", text, s.length, err)
	}
	bare, err := http.NewRequest(http.MethodGet, "http://localhost", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = awshttp.Whole(s).Do(bare)
	if s.body != nil {
		t.Error("a request without a body got one")
	}
}
