package protocol

import (
	"fmt"
	"maps"
	"net/http"
)

// Reply is an answer to a request that is no event: a handshake, or a question about what is
// possible. It goes the way of errors, so that no front can take the request for one that is to be
// stored; and it is no refusal.
type Reply struct {
	Status      int
	ContentType string // empty where there is no body
	Body        []byte
	Header      http.Header // besides
	Handshake   bool        // a sender has asked whether this is the right address
}

func (r *Reply) Error() string {
	return fmt.Sprintf("answered with %d; nothing was stored", r.Status)
}

// Answer is what a front sends: the header without those of length, date and connection.
func (r *Reply) Answer() (header http.Header, body []byte) {
	header = http.Header{"X-Content-Type-Options": {"nosniff"}}
	maps.Copy(header, r.Header)
	if r.ContentType != "" {
		header.Set("Content-Type", r.ContentType)
	}
	return header, r.Body
}

// HasBody reports whether an answer of that status may have a body, and so a length (RFC 9110,
// section 15.3.5).
func HasBody(status int) bool {
	return status >= http.StatusOK && status != http.StatusNoContent &&
		status != http.StatusNotModified
}
