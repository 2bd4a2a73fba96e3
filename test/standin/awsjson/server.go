// Package awsjson is what the stand-ins for AWS services share: the JSON protocol that their
// clients speak, and the faults that a test can ask for.
//
// A stand-in checks what the service checks and refuses what it does not know, so that a test which
// passes against it has not leaned on something that nobody looked at. It keeps everything in
// memory, does not check signatures, only that there is one, and is for tests.
package awsjson

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode/utf8"
)

// maxRequestBytes is above every limit that the services themselves have, so that those are the
// ones that are met.
const maxRequestBytes = 64 << 20

// Service says how the protocol of one service differs from that of the others.
type Service struct {
	Target     string // what stands before the operation in X-Amz-Target
	Version    string // of the JSON protocol: 1.0 or 1.1
	Namespace  string // before the # in an error's type
	Throttled  *Error // the answer of Throttle
	Operations map[string]Operation
}

// Operation answers one call. It returns what is written as JSON, or an *Error.
type Operation func(ctx context.Context, call Call) (any, error)

// Call is what arrived.
type Call struct {
	Body    []byte // JSON in valid UTF-8
	BaseURL string // by which the client reached the server
}

// Server speaks the protocol of one service. It is an http.Handler, and may be used concurrently.
type Server struct {
	service Service
	id      atomic.Uint64

	mu    sync.Mutex
	rules []*rule        // guarded by mu; the first that is meant counts
	calls map[string]int // guarded by mu
}

// NewServer returns a server without faults.
func NewServer(service Service) *Server {
	return &Server{service: service, calls: map[string]int{}}
}

// Operate makes an operation of a function of its input. A member that the input does not have is
// refused.
func Operate[In any](answer func(ctx context.Context, call Call, in *In) (any, error)) Operation {
	return func(ctx context.Context, call Call) (any, error) {
		var in In
		decoder := json.NewDecoder(bytes.NewReader(call.Body))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&in); err != nil {
			if refusal := (*Error)(nil); errors.As(err, &refusal) {
				return nil, refusal
			}
			return nil, &Error{Code: "SerializationException", Message: err.Error()}
		}
		return answer(ctx, call, &in)
	}
}

// Start serves on a free port of the loopback interface until the test ends, and returns the URL.
func (s *Server) Start(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections() // a call that waits would hold up Close
		server.Close()
	})
	return server.URL
}

// ServeHTTP answers one call, or fails as a test asked.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation, call, err := s.read(w, r)
	if err != nil {
		s.fail(w, err)
		return
	}
	fault := s.count(operation)
	if fault.before(r.Context()) {
		panic(http.ErrAbortHandler)
	}
	if fault != nil && fault.err != nil {
		s.fail(w, fault.err)
		return
	}
	answer, err := s.service.Operations[operation](r.Context(), call)
	if fault != nil && fault.kind == loseAnswer {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	s.write(w, http.StatusOK, answer)
}

func (s *Server) read(w http.ResponseWriter, r *http.Request) (string, Call, error) {
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), s.service.Target+".")
	want := "application/x-amz-json-" + s.service.Version
	switch {
	case r.Method != http.MethodPost || r.Header.Get("Content-Type") != want:
		return "", Call{}, &Error{Code: "UnknownOperationException", Status: http.StatusNotFound,
			Message: "want a POST of " + want}
	case !ok || s.service.Operations[operation] == nil:
		return "", Call{}, &Error{Code: "UnknownOperationException",
			Message: fmt.Sprintf("the stand-in has no %q", r.Header.Get("X-Amz-Target"))}
	case !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="):
		return "", Call{}, &Error{Code: "MissingAuthenticationTokenException",
			Status: http.StatusForbidden, Message: "Missing Authentication Token"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
	if err != nil {
		return "", Call{}, &Error{Code: "RequestEntityTooLarge",
			Status: http.StatusRequestEntityTooLarge, Message: err.Error()}
	}
	if !utf8.Valid(body) {
		return "", Call{}, &Error{Code: "SerializationException",
			Message: "the request is not valid UTF-8"}
	}
	return operation, Call{Body: body, BaseURL: "http://" + r.Host}, nil
}

func (s *Server) write(w http.ResponseWriter, status int, answer any) {
	text, err := json.Marshal(answer)
	if err != nil {
		panic("awsjson: bug: an answer that is no JSON: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/x-amz-json-"+s.service.Version)
	w.Header().Set("X-Amzn-Requestid", fmt.Sprintf("00000000-0000-4000-8000-%012d", s.id.Add(1)))
	// DynamoDB sends it with every answer, and the SDK checks it.
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(text)), 10))
	w.WriteHeader(status)
	_, _ = w.Write(text) // a client that went away does not want it
}

// fail writes the error as the service would: its type with a namespace, and, for services that
// once spoke another protocol, the code that they had there.
func (s *Server) fail(w http.ResponseWriter, err error) {
	var known *Error
	if !errors.As(err, &known) {
		known = &Error{Code: "InternalFailure", Status: http.StatusInternalServerError,
			Message: err.Error()}
	}
	if known.QueryCode != "" {
		side := "Sender"
		if known.status() >= 500 {
			side = "Receiver"
		}
		w.Header().Set("X-Amzn-Query-Error", known.QueryCode+";"+side)
	}
	namespace := s.service.Namespace
	if known.Namespace != "" {
		namespace = known.Namespace
	}
	body := map[string]any{"__type": namespace + "#" + known.Code, "message": known.Message}
	for name, value := range known.Members {
		body[name] = value
	}
	s.write(w, known.status(), body)
}

// Error is an error that a service answers.
type Error struct {
	Code      string
	QueryCode string         // the code in the protocol that the service spoke before; empty for none
	Namespace string         // where it is not the service's own
	Status    int            // of the HTTP answer; 0 is 400
	Message   string         // for people
	Members   map[string]any // what else the error carries
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// With returns the error with another message.
func (e *Error) With(format string, args ...any) *Error {
	copied := *e
	copied.Message = fmt.Sprintf(format, args...)
	return &copied
}

func (e *Error) status() int {
	if e.Status == 0 {
		return http.StatusBadRequest
	}
	return e.Status
}
