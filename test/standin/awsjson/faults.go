package awsjson

import (
	"context"
	"net/http"
	"slices"
)

// ErrInternal is what a service answers that is broken inside.
var ErrInternal = &Error{Code: "InternalServerError", QueryCode: "InternalError",
	Status: http.StatusInternalServerError, Message: "We encountered an internal error. Please try again."}

// ErrAccessDenied is what a service answers whose policies do not allow the call.
var ErrAccessDenied = &Error{Code: "AccessDeniedException", QueryCode: "AccessDenied",
	Namespace: "com.amazon.coral.service", Message: "User is not authorized to perform the operation"}

// ErrExpiredToken is what a service answers to credentials that were good once.
var ErrExpiredToken = &Error{Code: "ExpiredTokenException", QueryCode: "ExpiredToken",
	Namespace: "com.amazon.coral.service", Message: "The security token included in the request is expired"}

const (
	answerError = iota
	hangUp
	stall
	loseAnswer
)

// forever is the number of calls that a rule is for that nobody counts.
const forever = -1

// rule is a fault that a test asked for.
type rule struct {
	operations []string // empty for all
	left       int      // how many calls it is still for, or forever
	kind       int
	err        *Error // of answerError
}

// FailWith lets the next n calls of the operations, or of any where none is named, answer with the
// error. The calls are not carried out.
func (s *Server) FailWith(n int, err *Error, operations ...string) {
	s.addRule(&rule{operations: operations, left: n, err: err})
}

// Throttle lets the next n calls answer that there are too many of them.
func (s *Server) Throttle(n int, operations ...string) {
	s.FailWith(n, s.service.Throttled, operations...)
}

// Fail lets the next n calls answer that the service is broken, with 500.
func (s *Server) Fail(n int, operations ...string) { s.FailWith(n, ErrInternal, operations...) }

// HangUp closes the connection of the next n calls. They are not carried out.
func (s *Server) HangUp(n int, operations ...string) {
	s.addRule(&rule{operations: operations, left: n, kind: hangUp})
}

// LoseAnswers carries out the next n calls, and closes the connection instead of answering.
func (s *Server) LoseAnswers(n int, operations ...string) {
	s.addRule(&rule{operations: operations, left: n, kind: loseAnswer})
}

// Stall lets the next n calls wait for ever. They end, without having been carried out, when the
// client gives up.
func (s *Server) Stall(n int, operations ...string) {
	s.addRule(&rule{operations: operations, left: n, kind: stall})
}

// Refuse answers the operations, or all where none is named, with the error until Allow.
func (s *Server) Refuse(err *Error,
	operations ...string) {
	s.FailWith(forever, err, operations...)
}

// Allow ends all faults that were asked for.
func (s *Server) Allow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

// Calls returns how often the operation was called, carried out or not.
func (s *Server) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

func (s *Server) addRule(added *rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, added)
}

// count counts the call, and returns the fault that it is to meet, or nil.
func (s *Server) count(operation string) *rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[operation]++
	for _, rule := range s.rules {
		if rule.left == 0 || len(rule.operations) > 0 && !slices.Contains(rule.operations, operation) {
			continue
		}
		if rule.left != forever {
			rule.left--
		}
		return rule
	}
	return nil
}

// before does what the fault does before the call, and reports whether the connection is to be
// closed.
func (r *rule) before(ctx context.Context) bool {
	if r == nil {
		return false
	}
	if r.kind == stall {
		<-ctx.Done()
	}
	return r.kind == stall || r.kind == hangUp
}
