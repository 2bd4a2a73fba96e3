package intake

import (
	"errors"
	"net/http"
	"os"

	"pillarbox/internal/protocol"
)

// Problem makes the answer for an error that another front has met, as ServeHTTP would answer.
func (h *Handler) Problem(err error) (status int, header http.Header, body []byte) {
	var ours *protocol.Error
	if errors.Is(err, os.ErrDeadlineExceeded) && !errors.As(err, &ours) {
		err = protocol.ErrTooSlow
	}
	status, err = h.refusal(http.MethodPost, err)
	header, body = protocol.ProblemOf(err).Answer(err)
	return status, header, body
}
