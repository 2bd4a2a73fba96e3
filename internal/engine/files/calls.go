package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"pillarbox"
	"pillarbox/internal/vfs"
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

// isDamage reports whether an error of the file system is about one file alone, and nothing that
// the others suffer from: somebody has put something else in its place, or has taken the right to
// read it, or the disk can't read it.
func isDamage(err error) bool {
	return vfs.IsForeign(err) || errors.Is(err, fs.ErrPermission) || vfs.IsUnreadable(err)
}

// kindOf says which of our errors an error of the file system is.
func kindOf(err error) error {
	if errors.Is(err, pillarbox.ErrCorrupt) || errors.Is(err, pillarbox.ErrInvalid) {
		return err
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", pillarbox.ErrNoSpace, err)
	}
	return fmt.Errorf("%w: %w", pillarbox.ErrUnavailable, err)
}

// notExist reports whether somebody, or a call of ours, has removed a file.
func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
