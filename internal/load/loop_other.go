//go:build !linux

package load

import "context"

// drive has a goroutine per connection where there is no epoll.
func drive(ctx context.Context, o Options) (*Result, error) { return driveGoroutines(ctx, o) }
