package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"strconv"

	"pillarbox"
)

// Problem is the body of every error (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

const problemType = "application/problem+json"

// kinds maps the kinds of errors to status codes. The first that matches counts. What is in no row is our own
// fault: 500.
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
	{pillarbox.ErrInvalid, http.StatusBadRequest},
	{context.DeadlineExceeded, http.StatusServiceUnavailable},
	{context.Canceled, http.StatusServiceUnavailable},
}

// statusOf is the one table from kinds of errors to status codes.
func statusOf(err error) int {
	var refused *statusError
	if errors.As(err, &refused) {
		return refused.status
	}
	for _, row := range kinds {
		if errors.Is(err, row.kind) {
			return row.status
		}
	}
	return http.StatusInternalServerError
}

// statusError is an error of the protocol itself, which has its own status.
type statusError struct {
	status    int
	detail    string
	allow     string // for 405
	challenge string // for 401
}

func (e *statusError) Error() string { return e.detail }

// problemOf makes the body for an error. Details of our own faults stay in the log.
func problemOf(err error) Problem {
	status := statusOf(err)
	problem := Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: err.Error()}
	if status == http.StatusInternalServerError {
		problem.Detail = "something went wrong inside; the server's log says what"
	}
	return problem
}

// writeProblem answers with an error.
func writeProblem(w http.ResponseWriter, err error) {
	answerProblem(w, problemOf(err), err)
}

// answerProblem answers with the problem that was made of err.
func answerProblem(w http.ResponseWriter, problem Problem, err error) {
	header, body := problemAnswer(problem, err)
	maps.Copy(w.Header(), header)
	writeBody(w, problem.Status, problemType, body)
}

// problemAnswer makes the answer for the problem that was made of err. 429, 503 and 507 always carry Retry-After.
func problemAnswer(problem Problem, err error) (header http.Header, body []byte) {
	header = http.Header{"Content-Type": {problemType}}
	var refused *statusError
	if errors.As(err, &refused) && refused.allow != "" {
		header.Set("Allow", refused.allow)
	}
	if errors.As(err, &refused) && refused.challenge != "" {
		header.Set("WWW-Authenticate", refused.challenge)
	}
	if retriable(problem.Status) {
		header.Set("Retry-After", strconv.Itoa(retryAfterSeconds(err)))
	}
	return header, append(encodeProblem(problem), '\n')
}

func encodeProblem(problem Problem) []byte {
	body, err := json.Marshal(problem)
	if err != nil {
		panic("pillarbox: bug: a problem can't be encoded: " + err.Error())
	}
	return body
}

// retriable reports whether a status says that the same request may succeed later.
func retriable(status int) bool {
	return status == http.StatusServiceUnavailable || status == http.StatusInsufficientStorage || status == http.StatusTooManyRequests
}

// defaultRetryAfter is asked for where the error does not say how long, in seconds.
const defaultRetryAfter = 5

func retryAfterSeconds(err error) int {
	if wait := pillarbox.RetryAfter(err); wait > 0 {
		return max(1, int(math.Ceil(wait.Seconds())))
	}
	return defaultRetryAfter
}
