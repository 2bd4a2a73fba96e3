package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"syscall"

	"pillarbox"
)

// Problem is the body of every error (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// TypeProblem is the content type of a Problem.
const TypeProblem = "application/problem+json"

// The types of bodies.
const (
	TypeJSON   = "application/json"
	TypeNDJSON = "application/x-ndjson"
)

// State is the answer to questions about life.
type State struct {
	Status string `json:"status"` // "ok"
}

// OK is the state of what lives.
var OK = State{Status: "ok"}

// kinds maps the kinds of errors to status codes. The first that matches counts. What is in no row
// is our own fault: 500.
var kinds = []struct {
	kind   error
	status int
}{
	{pillarbox.ErrTooLarge, http.StatusRequestEntityTooLarge},
	{pillarbox.ErrNoSpace, http.StatusInsufficientStorage},
	{pillarbox.ErrFull, http.StatusServiceUnavailable},
	{pillarbox.ErrUnavailable, http.StatusServiceUnavailable},
	{pillarbox.ErrClosed, http.StatusServiceUnavailable},
	{pillarbox.ErrNotFound, http.StatusNotFound},
	{pillarbox.ErrConflict, http.StatusConflict},
	{pillarbox.ErrKeyInFlight, http.StatusConflict},
	{pillarbox.ErrKeyReused, http.StatusUnprocessableEntity},
	{pillarbox.ErrInvalid, http.StatusBadRequest},
	{context.DeadlineExceeded, http.StatusServiceUnavailable},
	{context.Canceled, http.StatusServiceUnavailable},
}

// StatusOf is the one table from kinds of errors to status codes.
func StatusOf(err error) int {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Status
	}
	for _, row := range kinds {
		if errors.Is(err, row.kind) {
			return row.status
		}
	}
	return http.StatusInternalServerError
}

// KindOf is the way back from a status to a kind: the first in the table, or nil for a status that
// stands in no row.
func KindOf(status int) error {
	for _, row := range kinds {
		if row.status == status {
			return row.kind
		}
	}
	return nil
}

// Error is an error of the protocol itself, which has its own status.
type Error struct {
	Status    int
	Detail    string
	Allow     string      // for 405
	Challenge string      // for 401
	Accept    string      // for 415: the codings that a body may have (RFC 9110, section 15.5.16)
	Header    http.Header // more lines of the answer; not changed
}

func (e *Error) Error() string { return e.Detail }

// publicErrors are the statuses that a request may be refused with in public. An error of another
// status is our own fault. The document at /openapi.yaml is checked against it.
var publicErrors = []int{400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 431, 500, 503, 505,
	507}

// PublicErrors returns the statuses that a request may be refused with in public.
func PublicErrors() []int { return slices.Clone(publicErrors) }

// Refusal is the status with which an error is answered in public, and the error as it may be shown
// there.
func Refusal(err error) (int, error) {
	status := StatusOf(err)
	ours := status == http.StatusConflict && errors.Is(err, pillarbox.ErrConflict) // of no request in public
	if ours || !slices.Contains(publicErrors, status) {
		return http.StatusInternalServerError, Hide(err)
	}
	return status, err
}

// Hide takes its kind away from an error, which makes it our own fault.
func Hide(err error) error { return hidden{err} }

type hidden struct{ error }

// The details of faults, in the place of those that stay in the log: they may name files and
// addresses of ours.
const (
	detailFault       = "something went wrong inside; the server's log says what"
	detailUnavailable = "the server can't take this now; its log says why. Send it again later"
	detailUnknown     = "whether this was stored is not known: the storage of the server has not answered in time. It may have been; sent again, it may be stored twice"
	detailNoSpace     = "the disk of the server is full. Send it again later"
)

// ProblemOf makes the body for an error. Details of our own faults stay in the log. Of what passes
// by itself, only what the protocol says itself, and limits (pillarbox.ErrFull) that no call of the
// system has brought about, are told in public.
func ProblemOf(err error) Problem {
	status := StatusOf(err)
	problem := Problem{Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: err.Error()}
	switch {
	case status == http.StatusInternalServerError:
		problem.Detail = detailFault
	case errors.Is(err, pillarbox.ErrUnknown):
		problem.Detail = detailUnknown
	case status < http.StatusInternalServerError || tellable(err):
	case status == http.StatusInsufficientStorage:
		problem.Detail = detailNoSpace
	default:
		problem.Detail = detailUnavailable
	}
	return problem
}

// tellable reports whether an error that is not the client's says nothing of the inside.
func tellable(err error) bool {
	var ours *Error
	if errors.As(err, &ours) {
		return true
	}
	var file *fs.PathError
	var link *os.LinkError
	var call *os.SyscallError
	var number syscall.Errno
	var network *net.OpError
	system := errors.As(err, &file) || errors.As(err, &link) || errors.As(err, &call) ||
		errors.As(err, &number) || errors.As(err, &network)
	return errors.Is(err, pillarbox.ErrFull) && !system
}

// Encode returns the JSON text.
func (p Problem) Encode() []byte {
	body, err := json.Marshal(p)
	if err != nil {
		panic("pillarbox: bug: a problem can't be encoded: " + err.Error())
	}
	return body
}

// Answer makes the answer for the problem that was made of err. 429, 503 and 507 always carry
// Retry-After, and so does 409.
func (p Problem) Answer(err error) (header http.Header, body []byte) {
	header = http.Header{"Content-Type": {TypeProblem}}
	var refused *Error
	if errors.As(err, &refused) && refused.Allow != "" {
		header.Set("Allow", refused.Allow)
	}
	if errors.As(err, &refused) && refused.Challenge != "" {
		header.Set("WWW-Authenticate", refused.Challenge)
	}
	if errors.As(err, &refused) && refused.Accept != "" {
		header.Set("Accept-Encoding", refused.Accept)
	}
	if refused != nil {
		maps.Copy(header, refused.Header)
	}
	if Retriable(p.Status) || errors.Is(err, pillarbox.ErrKeyInFlight) {
		header.Set("Retry-After", strconv.Itoa(RetryAfterSeconds(err)))
	}
	return header, append(p.Encode(), '\n')
}

// Retriable reports whether a status says that the same request may succeed later.
func Retriable(status int) bool {
	return status == http.StatusServiceUnavailable || status == http.StatusInsufficientStorage ||
		status == http.StatusTooManyRequests
}

// defaultRetryAfter is asked for where the error does not say how long, in seconds.
const defaultRetryAfter = 5

// RetryAfterSeconds is what the header Retry-After says for an error.
func RetryAfterSeconds(err error) int {
	if wait := pillarbox.RetryAfter(err); wait > 0 {
		return max(1, int(math.Ceil(wait.Seconds())))
	}
	return defaultRetryAfter
}
