package fakelambda

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	region  = "us-east-1"
	account = "000000000000"
)

// The defaults of Options.
const (
	DefaultTimeout = 3 * time.Second
	initTimeout    = 10 * time.Second // in which a process has to ask for its first invocation
)

// Options say what runs, and how.
type Options struct {
	Path    string        // of the binary
	Name    string        // of the function; default "local"
	Env     []string      // besides what Lambda sets; the last value of a name counts
	Timeout time.Duration // of an invocation; default DefaultTimeout
	Stdout  io.Writer     // of the process; nil: discard
	Stderr  io.Writer
}

// Invoker is a function that can be called. Function is one, and so is a handler in the same
// process.
type Invoker interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// FunctionError is an invocation that failed: the function returned an error, panicked, ended, or
// took too long.
type FunctionError struct {
	Type    string // AWS's own name, as Runtime.ExitError or Sandbox.Timedout, or the type of the error returned
	Message string
}

func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

// Function is a function with one execution environment.
type Function struct {
	options Options

	mu      sync.Mutex // one invocation at a time
	current *environment
	calls   int
	closed  bool

	statsMu sync.Mutex
	stats   Stats
}

// Stats is what a function has been through.
type Stats struct {
	ColdStarts  int
	Invocations int
	Startup     time.Duration // of the last process, until it asked for its first invocation
}

// New makes a function. Nothing runs before the first call.
func New(options Options) *Function {
	options.Name = cmp.Or(options.Name, "local")
	options.Timeout = cmp.Or(options.Timeout, DefaultTimeout)
	return &Function{options: options}
}

// Stats returns what has happened so far.
func (f *Function) Stats() Stats {
	f.statsMu.Lock()
	defer f.statsMu.Unlock()
	return f.stats
}

// Invoke calls the function and waits for its answer. A process that crashed, panicked or was
// killed for taking too long is an error, and the next call starts another.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if len(payload) > maxPayloadBytes {
		return nil, errors.New("RequestTooLargeException: the payload is over 6 MB")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	c := &call{id: fmt.Sprintf("00000000-0000-4000-8000-%012d", f.calls),
		payload: bytes.Clone(payload), answered: make(chan struct{})}
	for {
		if err := f.startLocked(ctx); err != nil {
			return nil, err
		}
		if f.current.run(ctx, c, f.options.Timeout) {
			break
		}
	} // a process that had ended before it took the call has not seen it
	f.statsMu.Lock()
	f.stats.Invocations++
	f.statsMu.Unlock()
	return c.response, c.err
}

// startLocked sees to it that a process waits for calls.
func (f *Function) startLocked(ctx context.Context) error {
	switch {
	case f.closed:
		return errors.New("the function is closed")
	case f.current != nil && f.current.alive():
		return nil
	case f.current != nil:
		f.current.end()
		f.current = nil
	}
	started, err := startEnvironment(f.options)
	if err != nil {
		return err
	}
	timer := time.NewTimer(initTimeout)
	defer timer.Stop()
	select {
	case <-started.ready:
		f.current = started
		f.statsMu.Lock()
		f.stats.ColdStarts++
		f.stats.Startup = started.startup
		f.statsMu.Unlock()
		return nil
	case <-started.exited:
		err = &FunctionError{Type: "Runtime.ExitError",
			Message: fmt.Sprintf("the process ended before it asked for work: %v %s",
				started.command.ProcessState, started.said())}
	case <-timer.C:
		err = &FunctionError{Type: "Sandbox.Timedout",
			Message: "the process did not ask for work in time"}
	case <-ctx.Done():
		err = ctx.Err()
	}
	started.end()
	return err
}

// Restart ends the process between two calls, as Lambda does whenever it likes. The next call has
// another one.
func (f *Function) Restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.current != nil {
		f.current.end()
		f.current = nil
	}
}

// Close ends the process. It is safe to call twice.
func (f *Function) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.current != nil {
		f.current.end()
		f.current = nil
	}
	return nil
}
