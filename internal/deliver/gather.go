package deliver

import (
	"context"

	"pillarbox"
	"pillarbox/internal/batch"
)

// gather leases a batch, and waits a little for it to fill.
func (l *Loop) gather(ctx context.Context, limits batch.Limits) ([]pillarbox.Delivery, error) {
	limits.MaxEvents = l.breaker.Allow(l.opts.Now(), limits.MaxEvents)
	var filling batch.Filling
	var gathered []pillarbox.Delivery
	for {
		events, bytes := filling.Room(limits)
		waiting, cancel := ctx, context.CancelFunc(func() {})
		if len(gathered) > 0 {
			wait := filling.Wait(l.opts.Now(), limits)
			if wait == 0 {
				return gathered, nil
			}
			waiting, cancel = context.WithTimeout(ctx, wait)
		}
		deliveries, err := l.opts.Queue.Lease(waiting, l.name,
			pillarbox.LeaseLimits{MaxEvents: events, MaxBytes: bytes})
		cancel()
		if err != nil {
			if len(gathered) > 0 {
				return gathered, nil // deliver what is in hand; the error comes again
			}
			return nil, err
		}
		gathered = append(gathered, deliveries...)
		filling.Add(l.opts.Now(), len(deliveries), sumBytes(deliveries))
	}
}

func sumBytes(deliveries []pillarbox.Delivery) (sum int64) {
	for i := range deliveries {
		sum += deliveries[i].Bytes
	}
	return sum
}
