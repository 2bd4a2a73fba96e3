package httpapi

import (
	"errors"
	"net/http"
	"os"

	"pillarbox/internal/protocol"
	"pillarbox/internal/telemetry"
)

// Simple is the path of single events of one source, for a front that reads and answers plain posts itself. What such
// a front does not want to answer comes to ServeHTTP.
type Simple struct {
	Path    string
	Source  string
	MaxBody int64                  // bytes
	Admit   func(events int) error // nil where the source has no rate limit
	Metrics *telemetry.Route
}

// Simple lists the paths as they are now. SetSources makes the list stale.
func (p *Public) Simple() []Simple {
	var all []Simple
	for path, to := range *p.routes.Load() {
		if to.batch {
			continue
		}
		one := Simple{Path: path, Source: to.source.Name, MaxBody: to.source.MaxBody, Metrics: to.metrics}
		if to.limiter != nil {
			one.Admit = to.admit
		}
		all = append(all, one)
	}
	return all
}

// Problem makes the answer for an error that such a front has met, as ServeHTTP would answer.
func (p *Public) Problem(err error) (status int, header http.Header, body []byte) {
	var ours *protocol.Error
	if errors.Is(err, os.ErrDeadlineExceeded) && !errors.As(err, &ours) {
		err = errTooSlow
	}
	status, err = p.refusal(http.MethodPost, err)
	header, body = protocol.ProblemOf(err).Answer(err)
	return status, header, body
}
