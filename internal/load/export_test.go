package load

import "context"

// RunGoroutines is Run with a goroutine per connection, which is what other systems than Linux get.
func RunGoroutines(ctx context.Context, o Options) (*Result, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	return runWith(ctx, o, driveGoroutines)
}

// ReadAnswers feeds the reader of answers with pieces, and returns the statuses of the answers that
// are complete.
func ReadAnswers(pieces ...[]byte) (statuses []int, err error) {
	var r reader
	for _, piece := range pieces {
		complete, err := r.feed(piece)
		if err != nil {
			return statuses, err
		}
		if complete {
			statuses = append(statuses, r.status)
		}
	}
	return statuses, nil
}
