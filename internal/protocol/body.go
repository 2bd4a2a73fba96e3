package protocol

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"pillarbox"
)

// TooLarge refuses a body that is over a limit of this name.
func TooLarge(limit int64, name string) error {
	return &Error{Status: http.StatusRequestEntityTooLarge,
		Detail: fmt.Sprintf("the body is over the limit of %d bytes (%s)", limit, name)}
}

// NotAllowed refuses a method. allow lists those that are possible.
func NotAllowed(method, allow string) error {
	return &Error{Status: http.StatusMethodNotAllowed, Allow: allow,
		Detail: fmt.Sprintf("%s is not possible here; use %s", method, allow)}
}

// AppendReceipt appends the JSON text of a receipt without reflection: it is the answer to nearly
// every request. It relies on ids and states being plain: ours are, and never from a client.
func AppendReceipt(b []byte, receipt pillarbox.Receipt) ([]byte, error) {
	b = append(b, `{"request_id":"`...)
	b = append(b, receipt.RequestID...)
	b = append(b, `","timestamp":"`...)
	b, err := receipt.Timestamp.AppendText(b)
	b = append(b, `","status":"`...)
	b = append(b, receipt.Status...)
	return append(b, `"}`...), err
}

// JSONSpace is what may stand around a JSON value. Other white space is content, and not to be
// dropped.
const JSONSpace = " \t\r\n"

// ErrTooSlow is the answer to a body that came too slowly.
var ErrTooSlow = &Error{Status: http.StatusRequestTimeout,
	Detail: "the body did not arrive in time (http.read_timeout); nothing was stored"}

// BodyError is the answer to an error of reading a body that may have so many bytes by the limit of
// that name.
func BodyError(err error, limit int64, limitName string) error {
	var over *http.MaxBytesError
	var slow net.Error
	var ours *Error
	switch {
	case errors.As(err, &over):
		return TooLarge(limit, limitName)
	case errors.As(err, &ours) && ours.Status == http.StatusRequestTimeout:
		return ours // it came more slowly than it may
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return ErrTooSlow
	}
	return &Error{Status: http.StatusBadRequest,
		Detail: "the body did not end cleanly: " + err.Error() + "; nothing was stored"}
}

// Rejection stands in the place of a receipt for an item of a batch that was not accepted.
type Rejection struct {
	Status string `json:"status"` // "rejected"
	Code   int    `json:"code"`   // what a single request would have been answered with
	Detail string `json:"detail"`
}

// StatusRejected is the status of a Rejection.
const StatusRejected = "rejected"
