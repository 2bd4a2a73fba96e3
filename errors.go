package pillarbox

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// The kinds of error that callers test with errors.Is. Every error that leaves a role is one of
// these, wraps one of these, or is a plain error whose kind is unknown.
var (
	// ErrInvalid says that the caller handed over something that can never be right.
	ErrInvalid = errors.New("invalid")
	// ErrTooLarge says that a named size limit was exceeded.
	ErrTooLarge = errors.New("too large")
	// ErrFull says that a configured limit is reached; room comes back when deliveries go on.
	ErrFull = errors.New("full")
	// ErrNoSpace says that the disk has no room; room comes back when somebody or something frees it.
	ErrNoSpace = errors.New("no space on disk")
	// ErrUnavailable says that the other side is down, unreachable, locked or throttling: it is
	// nobody's event that is at fault, and the same call may succeed later. It burns no attempts.
	ErrUnavailable = errors.New("unavailable")
	// ErrGone says that a destination wants no more events, ever, and has said so itself. It comes
	// together with ErrUnavailable: no event is to blame, and the delivery is paused until a person
	// resumes it.
	ErrGone = errors.New("gone")
	// ErrUnknown says that nobody knows whether the call has done, or will still do, what it was asked
	// for. It is told as that, and never as a refusal. It comes together with ErrUnavailable.
	ErrUnknown = errors.New("outcome not known")
	// ErrNotFound says that the thing asked for is not there.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that the thing is held, in flight or changed by somebody else.
	ErrConflict = errors.New("conflict")
	// ErrKeyInFlight says that another request with the same idempotency key is not answered yet.
	ErrKeyInFlight = errors.New("idempotency key in flight")
	// ErrKeyReused says that an idempotency key came with another content than before.
	ErrKeyReused = errors.New("idempotency key reused")
	// ErrClosed says that the part was closed before or during the call.
	ErrClosed = errors.New("closed")
	// ErrCorrupt says that stored bytes are not what was written.
	ErrCorrupt = errors.New("corrupt")
)

// ItemError is the error of one item of a batch.
type ItemError struct {
	Index int // position in the slice that was handed over
	Err   error
}

// BatchError says which items of a batch failed and why. Items that it does not name succeeded, and
// are as durable as the role promises. An index is named at most once.
type BatchError struct {
	Items []ItemError
}

func (e *BatchError) Error() string {
	if len(e.Items) == 0 {
		return "no item failed"
	}
	return fmt.Sprintf("%d items failed, the first at %d: %v", len(e.Items), e.Items[0].Index,
		e.Items[0].Err)
}

// Unwrap returns the errors of the items, so that errors.Is finds a kind in any of them.
func (e *BatchError) Unwrap() []error {
	errs := make([]error, len(e.Items))
	for i, item := range e.Items {
		errs[i] = item.Err
	}
	return errs
}

// PermanentError marks a refusal that will be the same however often the event is tried again.
type PermanentError struct {
	Err error
}

// Permanent marks err as a refusal for good. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &PermanentError{Err: err}
}

func (e *PermanentError) Error() string { return e.Err.Error() }

// Unwrap returns the refusal itself.
func (e *PermanentError) Unwrap() error { return e.Err }

// IsPermanent reports whether err, or an error that it wraps, is a refusal for good.
func IsPermanent(err error) bool {
	var permanent *PermanentError
	return errors.As(err, &permanent)
}

// RetryAfterError carries how long the other side asked the caller to stay away.
type RetryAfterError struct {
	After time.Duration
	Err   error
}

func (e *RetryAfterError) Error() string { return e.Err.Error() }

// Unwrap returns the reason for the wait.
func (e *RetryAfterError) Unwrap() error { return e.Err }

// RetryAfter returns the wait that err asks for, and 0 where it asks for none.
func RetryAfter(err error) time.Duration {
	var wait *RetryAfterError
	if errors.As(err, &wait) {
		return wait.After
	}
	return 0
}

// CorruptError says where stored bytes are damaged. It matches ErrCorrupt.
type CorruptError struct {
	File   string
	Offset int64 // first byte that could not be read, from the start of the file
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s at offset %d: %s", e.File, e.Offset, e.Reason)
}

// Is reports whether target is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// MaxUnreadable bounds how many items an UnreadableError names.
const MaxUnreadable = 100

// UnreadableError names stored items that are no events, beside those that were returned: somebody
// else has written them. It matches ErrCorrupt.
type UnreadableError struct {
	Items []string // which and why; the first MaxUnreadable of them
	Count int      // of all
}

// Add names one more.
func (e *UnreadableError) Add(item string) {
	if e.Count++; len(e.Items) < MaxUnreadable {
		e.Items = append(e.Items, item)
	}
}

func (e *UnreadableError) Error() string {
	if e.Count == 1 && len(e.Items) == 1 {
		return e.Items[0]
	}
	return fmt.Sprintf("%d stored items can't be read as events: %s", e.Count,
		strings.Join(e.Items, "; "))
}

// Is reports whether target is ErrCorrupt.
func (e *UnreadableError) Is(target error) bool { return target == ErrCorrupt }

// RefusedError is the refusal of one event by a destination, with the attempt that it is recorded
// by.
type RefusedError struct {
	Attempt Attempt
}

func (e *RefusedError) Error() string { return e.Attempt.Error }

// AttemptOf returns the attempt that a refusal is recorded by. An error that is no RefusedError was
// met at the given time.
func AttemptOf(err error, at Timestamp) Attempt {
	var refused *RefusedError
	if errors.As(err, &refused) {
		return refused.Attempt
	}
	return Attempt{At: at, Class: ClassRefused, Error: err.Error()}
}

// Invalid makes an error of the kind ErrInvalid whose text is the cause alone, as fmt.Errorf makes
// it.
func Invalid(format string, args ...any) error {
	return &invalidError{fmt.Errorf(format, args...)}
}

type invalidError struct{ error }

func (e *invalidError) Is(target error) bool { return target == ErrInvalid }

func (e *invalidError) Unwrap() error { return e.error }
