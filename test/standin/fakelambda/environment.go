package fakelambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// apiPath is where the Runtime API lies.
const apiPath = "/2018-06-01/runtime/"

// maxPayloadBytes bounds a request and a response of an invocation.
const maxPayloadBytes = 6 << 20

// call is one invocation on its way.
type call struct {
	id       string
	payload  []byte
	deadline time.Time
	answered chan struct{} // closed once response or err is set

	once     sync.Once
	response []byte
	err      error
}

func (c *call) answer(response []byte, err error) {
	c.once.Do(func() {
		c.response, c.err = response, err
		close(c.answered)
	})
}

// environment is one process of the binary and the Runtime API that it sees. It ends with the
// process.
type environment struct {
	command *exec.Cmd
	server  *http.Server
	next    chan *call    // taken by the poll for the next invocation
	ready   chan struct{} // closed by the first poll
	exited  chan struct{} // closed when the process is gone
	served  chan struct{} // closed when the server is

	started time.Time
	first   sync.Once
	startup time.Duration // until the first poll; read it after ready

	mu      sync.Mutex
	current *call  // guarded by mu
	failure string // what the process said of its own start; guarded by mu
}

// startEnvironment starts a process.
func startEnvironment(options Options) (*environment, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e := &environment{next: make(chan *call), ready: make(chan struct{}), exited: make(chan struct{}),
		served: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+apiPath+"invocation/next", e.handleNext)
	mux.HandleFunc("POST "+apiPath+"invocation/{id}/response", e.handleResponse)
	mux.HandleFunc("POST "+apiPath+"invocation/{id}/error", e.handleError)
	mux.HandleFunc("POST "+apiPath+"init/error", e.handleInitError)
	e.server = &http.Server{Handler: mux}
	e.command = exec.Command(options.Path)
	e.command.Env = append(append([]string{"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String()},
		options.variables()...), options.Env...)
	e.command.Stdout, e.command.Stderr = options.Stdout, options.Stderr
	e.command.WaitDelay = time.Second
	e.started = time.Now()
	if err := e.command.Start(); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	go func() {
		defer close(e.served)
		_ = e.server.Serve(listener) // it ends by being closed
	}()
	go func() {
		_ = e.command.Wait() // its state says how it ended
		close(e.exited)
	}()
	return e, nil
}

func (o Options) variables() []string {
	return []string{
		"AWS_LAMBDA_FUNCTION_NAME=" + o.Name, "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/" + o.Name, "AWS_LAMBDA_LOG_STREAM_NAME=local",
		"AWS_REGION=" + region, "AWS_DEFAULT_REGION=" + region, "AWS_EXECUTION_ENV=AWS_Lambda_provided.al2023",
		"AWS_ACCESS_KEY_ID=ASIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "AWS_SESSION_TOKEN=session",
		"LAMBDA_TASK_ROOT=/var/task", "LAMBDA_RUNTIME_DIR=/var/runtime", "TZ=:UTC", "PATH=" + os.Getenv(
			"PATH"),
	}
}

func (e *environment) alive() bool {
	select {
	case <-e.exited:
		return false
	default:
		return true
	}
}

// end kills the process, and returns when neither it nor its server runs.
func (e *environment) end() {
	_ = e.command.Process.Kill() // it may be gone already
	<-e.exited
	_ = e.server.Close()
	<-e.served
}

// run hands a call over and waits for its answer. A call that the process never took is not lost:
// taken says so.
func (e *environment) run(ctx context.Context, c *call, timeout time.Duration) (taken bool) {
	c.deadline = time.Now().Add(timeout)
	e.mu.Lock()
	e.current = c
	e.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	next := e.next
	for {
		select {
		case next <- c:
			next, taken = nil, true
		case <-c.answered:
			return true
		case <-e.exited:
			if taken {
				c.answer(nil, &FunctionError{Type: "Runtime.ExitError",
					Message: fmt.Sprintf("RequestId: %s Error: Runtime exited: %v", c.id, e.command.ProcessState)})
			}
			return taken
		case <-timer.C:
			e.end()
			c.answer(nil, &FunctionError{Type: "Sandbox.Timedout",
				Message: fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", c.id,
					timeout.Seconds())})
			return true
		case <-ctx.Done():
			e.end()
			c.answer(nil, ctx.Err())
			return true
		}
	}
}

func (e *environment) handleNext(w http.ResponseWriter, r *http.Request) {
	e.first.Do(func() {
		e.startup = time.Since(e.started)
		close(e.ready)
	})
	select {
	case c := <-e.next:
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Lambda-Runtime-Aws-Request-Id", c.id)
		header.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(c.deadline.UnixMilli(), 10))
		header.Set("Lambda-Runtime-Invoked-Function-Arn",
			"arn:aws:lambda:"+region+":"+account+":function:local")
		header.Set("Lambda-Runtime-Trace-Id",
			"Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1")
		_, _ = w.Write(c.payload) // a process that is gone is noticed by its exit
	case <-r.Context().Done():
	}
}

func (e *environment) handleResponse(w http.ResponseWriter, r *http.Request) {
	e.finish(w, r, func(body []byte) ([]byte, error) { return body, nil })
}

func (e *environment) handleError(w http.ResponseWriter, r *http.Request) {
	e.finish(w, r, func(body []byte) ([]byte, error) { return nil, errorOf(body) })
}

func (e *environment) handleInitError(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxPayloadBytes))
	e.mu.Lock()
	e.failure = errorOf(body).Error()
	e.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

func errorOf(body []byte) error {
	var form struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal(body, &form); err != nil {
		form.ErrorMessage = string(body)
	}
	return &FunctionError{Type: form.ErrorType, Message: form.ErrorMessage}
}

// finish takes the answer of the current call. An answer to another is refused, as the Runtime API
// does.
func (e *environment) finish(w http.ResponseWriter, r *http.Request,
	read func(body []byte) ([]byte, error)) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPayloadBytes+1))
	e.mu.Lock()
	c := e.current
	if c == nil || c.id != r.PathValue("id") {
		e.mu.Unlock()
		http.Error(w, `{"errorType":"InvalidRequestID","errorMessage":"Invalid request ID"}`, http.StatusBadRequest)
		return
	}
	e.current = nil
	e.mu.Unlock()
	switch {
	case err != nil:
		c.answer(nil, err)
	case len(body) > maxPayloadBytes:
		c.answer(nil, &FunctionError{Type: "Function.ResponseSizeTooLarge",
			Message: "Response payload size exceeded maximum allowed payload size (6291556 bytes)."})
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	default:
		c.answer(read(body)) // first, because a process that panicked ends once it knows that it was heard
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"status":"OK"}`)
	}
}

// said returns what the process said of its own start.
func (e *environment) said() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failure
}
