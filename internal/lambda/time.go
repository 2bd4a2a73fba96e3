package lambda

import (
	"context"
	"time"
)

// What is left of the time of an invocation before its deadline, at which AWS kills the process and
// the answer is lost.
const (
	// answerReserve is for the answer itself.
	answerReserve = 500 * time.Millisecond
	// settleReserve is for what has to happen to the messages after the last write to the
	// destination.
	settleReserve = 5 * time.Second
	// largestShare bounds both where the whole time is short: one part of so many.
	largestShare = 4
)

// within returns a context that ends earlier than ctx by the reserve.
func within(ctx context.Context, reserve time.Duration) (context.Context, context.CancelFunc) {
	deadline, limited := ctx.Deadline()
	if !limited {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(reserve, time.Until(deadline)/largestShare)))
}
