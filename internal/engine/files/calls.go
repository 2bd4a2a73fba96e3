package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"pillarbox"
)

// begin lets a call in; the caller ends it with l.life.RUnlock.
func (l *Letters) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.life.RLock()
	if l.closed {
		l.life.RUnlock()
		return fmt.Errorf("dead letters in %s: %w", l.dir, pillarbox.ErrClosed)
	}
	return nil
}

// kindOf says which of our errors an error of the file system is.
func kindOf(err error) error {
	if errors.Is(err, pillarbox.ErrCorrupt) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", pillarbox.ErrNoSpace, err)
	}
	return fmt.Errorf("%w: %w", pillarbox.ErrUnavailable, err)
}

// notExist reports whether somebody, or a call of ours, has removed a file.
func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
