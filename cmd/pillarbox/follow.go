package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// jobPoll is how often a running job is asked how far it is.
const jobPoll = 200 * time.Millisecond

// follow asks a job of the server how far it is until it has ended, and tells what say makes of that
// when it changes. When the command is interrupted, the job is cancelled.
func follow[P interface{ Running() bool }](ctx context.Context, talk io.Writer, first *P, say func(*P) string,
	ask, cancel func(ctx context.Context) (*P, error)) (*P, error) {
	progress, told := first, say(first)
	for (*progress).Running() {
		timer := time.NewTimer(jobPoll)
		select {
		case <-ctx.Done():
			timer.Stop()
			stopping, end := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
			defer end()
			return cancel(stopping)
		case <-timer.C:
		}
		var err error
		if progress, err = ask(ctx); err != nil {
			return nil, err
		}
		if now := say(progress); now != told {
			told = now
			fmt.Fprintln(talk, now)
		}
	}
	return progress, nil
}

// waitingFor says why a job does nothing just now, behind what it has done.
func waitingFor(done, why string) string {
	if why == "" {
		return done
	}
	return done + ", waiting: " + why
}
