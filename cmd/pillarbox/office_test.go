package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"pillarbox"
)

// halfDown is a queue that takes some letters, refuses one, and can't be reached for the others.
type halfDown struct{}

func (halfDown) Requeue(context.Context, []*pillarbox.DeadLetter) error {
	away := func() error { return fmt.Errorf("no answer: %w", pillarbox.ErrUnavailable) }
	return &pillarbox.BatchError{Items: []pillarbox.ItemError{{Index: 1, Err: away()}, {Index: 2, Err: pillarbox.ErrTooLarge}, {Index: 3, Err: away()}}}
}

// TestOutageOfTheQueueIsNoRefusal of the letters that were on their way: a replay tells them apart by the error.
func TestOutageOfTheQueueIsNoRefusal(t *testing.T) {
	errs, down := requeue(t.Context(), halfDown{}, make([]*pillarbox.DeadLetter, 4))
	if down == nil || errs[0] != nil || !errors.Is(errs[1], down) || !errors.Is(errs[2], pillarbox.ErrTooLarge) || !errors.Is(errs[3], down) {
		t.Errorf("%v, down: %v", errs, down)
	}
}
