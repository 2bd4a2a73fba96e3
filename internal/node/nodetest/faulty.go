package nodetest

import (
	"context"
	"errors"
	"sync/atomic"

	"pillarbox"
	"pillarbox/internal/adminapi"
)

// Faulty is a node that fails on demand.
type Faulty struct {
	adminapi.Node
	Follows atomic.Int64            // open ones
	Batches chan []*pillarbox.Event // for Follow, instead of what is stored
	Fault   func() error            // of Events; one that names what can't be read comes beside them
}

// Events implements adminapi.Reader.
func (f *Faulty) Events(ctx context.Context, name string,
	filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	if f.Fault != nil {
		err := f.Fault()
		if others := (*pillarbox.UnreadableError)(nil); errors.As(err, &others) {
			events, listErr := f.Node.Events(ctx, name, filter)
			return events, errors.Join(listErr, err)
		}
		if err != nil {
			return nil, err
		}
	}
	return f.Node.Events(ctx, name, filter)
}

// Follow implements adminapi.Reader.
func (f *Faulty) Follow(ctx context.Context, name string) (adminapi.Following, error) {
	following, err := f.Node.Follow(ctx, name)
	if err != nil {
		return following, err
	}
	if f.Batches != nil {
		following.Close()
		return adminapi.Following{Batches: f.Batches, Close: func() {}}, nil
	}
	f.Follows.Add(1)
	return adminapi.Following{Batches: following.Batches,
		Close: func() { following.Close(); f.Follows.Add(-1) }}, nil
}
