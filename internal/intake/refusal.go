package intake

import (
	"errors"
	"net/http"
	"os"

	"pillarbox/internal/protocol"
	"pillarbox/internal/telemetry"
)

// Problem makes the answer for an error that another front has met, as ServeHTTP would answer; for a
// protocol.Reply, which is none, too.
func (h *Handler) Problem(err error) (status int, header http.Header, body []byte) {
	var reply *protocol.Reply
	if errors.As(err, &reply) {
		header, body = reply.Answer()
		return reply.Status, header, body
	}
	var ours *protocol.Error
	if errors.Is(err, os.ErrDeadlineExceeded) && !errors.As(err, &ours) {
		err = protocol.ErrTooSlow
	}
	status, err = h.refusal(http.MethodPost, nil, err)
	header, body = protocol.ProblemOf(err).Answer(err)
	return status, header, body
}

// fail answers with the error, or with the reply that is none.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, x *exchange, err error) int {
	var reply *protocol.Reply
	if errors.As(err, &reply) {
		protocol.WriteReply(w, reply)
		return reply.Status
	}
	status, err := h.refusal(r.Method, x.span, err)
	protocol.WriteProblem(w, err)
	return status
}

// refusal is the status of an error, and the error as it may be shown. Our own faults are logged.
func (h *Handler) refusal(method string, span *telemetry.Span, err error) (int, error) {
	status, err := protocol.Refusal(err)
	if status == http.StatusInternalServerError {
		h.opts.Logger.Error("request failed", telemetry.InTrace(span, telemetry.KeyMethod, method, telemetry.KeyErr, err)...)
	}
	return status, err
}
