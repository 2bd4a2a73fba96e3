package intake

import (
	"errors"
	"net/http"
	"os"

	"pillarbox/internal/protocol"
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
