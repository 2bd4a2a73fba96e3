package seglog

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"pillarbox"
)

// kinded gives an error of the disk its kind, where nobody below has done so.
func kinded(err error) error {
	for _, kind := range []error{pillarbox.ErrUnavailable, pillarbox.ErrNoSpace, pillarbox.ErrCorrupt,
		pillarbox.ErrInvalid, pillarbox.ErrConflict, pillarbox.ErrClosed} {
		if errors.Is(err, kind) {
			return err
		}
	}
	return unavailable(err)
}

// unavailable gives an I/O error its kind.
func unavailable(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC),
		errors.Is(err, syscall.EDQUOT),
		errors.Is(err, syscall.EFBIG):
		return &pillarbox.RetryAfterError{
			After: retryAfterFull, Err: fmt.Errorf("%w: %w", pillarbox.ErrNoSpace, err),
		}
	case errors.Is(err, fs.ErrClosed):
		return fmt.Errorf("%w: %w", pillarbox.ErrClosed, err)
	}
	return fmt.Errorf("%w: %w", pillarbox.ErrUnavailable, err)
}

// retryAfterFull is what a client is asked to wait when there is no room. Delivery or an operator
// makes room within seconds or not soon; a fixed short wait loses little in both cases.
const retryAfterFull = 5 * time.Second
