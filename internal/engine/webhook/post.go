package webhook

import (
	"context"
	"net/http"
	"time"
)

// Post sends what is no event: a body under an id, signed as events are, by the same rules of addresses and
// answers. It returns nil once the receiver has answered 2xx. ctx bounds it, or 30 s where it has no
// deadline. Errors are those of Write, and ErrClosed.
func (s *Sink) Post(ctx context.Context, id, contentType string, body []byte) error {
	return s.exchange(ctx, http.MethodPost, message{id: id, body: body, header: http.Header{"Content-Type": {contentType}}})
}

// Get asks for the URL, and is Post in all else.
func (s *Sink) Get(ctx context.Context, id string) error {
	return s.exchange(ctx, http.MethodGet, message{id: id})
}

func (s *Sink) exchange(ctx context.Context, method string, m message) error {
	if !s.begin() {
		return s.errClosed()
	}
	defer s.writing.Done()
	if err := s.stayAway(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	within, _ := timeOf(ctx)
	if err := s.pace(ctx, time.Now().Add(within)); err != nil {
		return err
	}
	defer s.release()
	m.method = method
	result := s.post(ctx, m, within)
	if result.verdict == cancelled && s.closing.Err() != nil {
		return s.errClosed()
	}
	return result.failure()
}
