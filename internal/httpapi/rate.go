package httpapi

import (
	"fmt"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"pillarbox"
	"pillarbox/internal/protocol"
)

// newLimiter makes the token bucket of a source, or nil for no limit.
func newLimiter(source Source) *rate.Limiter {
	if source.RatePerSecond <= 0 {
		return nil
	}
	burst := source.RateBurst
	if burst <= 0 {
		burst = source.RatePerSecond
	}
	return rate.NewLimiter(rate.Limit(source.RatePerSecond), burst)
}

// admit takes tokens for so many events, or refuses with 429 and says when there will be enough. A batch that is
// larger than the bucket takes all of it: otherwise it could never be sent.
func (r *route) admit(events int) error {
	if r.limiter == nil {
		return nil
	}
	now := time.Now()
	reservation := r.limiter.ReserveN(now, min(events, r.limiter.Burst()))
	wait := reservation.DelayFrom(now)
	if wait <= 0 {
		return nil
	}
	reservation.CancelAt(now)
	refused := &protocol.Error{Status: http.StatusTooManyRequests, Detail: fmt.Sprintf("the source takes %d events per second (sources.%s.rate); nothing was stored", r.source.RatePerSecond, r.source.Name)}
	return &pillarbox.RetryAfterError{After: wait, Err: refused}
}
