package source

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"pillarbox/internal/protocol"
	"pillarbox/internal/signature"
	"pillarbox/internal/telemetry"
)

// errUnverified is the answer to whatever a signature does not prove. Why is for our side alone: it
// would tell a forger how near they are.
var errUnverified = &protocol.Error{Status: http.StatusUnauthorized, Challenge: "Signature",
	Detail: "the request is not verified; nothing was stored"}

// refusals counts requests that are refused, to tell of them once a minute.
type refusals struct {
	told  atomic.Int64 // Unix time of the last line
	since atomic.Uint64
}

// tellEvery is the shortest time between two lines about what one source refuses, in seconds:
// anybody can make it refuse.
const tellEvery = 60

// verify holds a request against the rule of the source. Errors are a signature.Reason.
func (s *Source) verify(head *Head, body []byte) (signature.Verified, error) {
	var now time.Time
	if s.Signature.Timed() {
		now = s.now()
	}
	request := signature.Request{Method: head.Method, Path: head.Path, Query: head.Query,
		Header: head.Header, Body: body}
	return s.Signature.Verify(&request, now)
}

// unverified counts why, and returns the answer that does not tell it.
func (s *Source) unverified(why error) error {
	s.tell(&s.refused, "requests are refused: they are not signed as the source asks; told once a minute", reasonOf(why))
	return errUnverified
}

// tell counts why a signature fails, and has a line once a minute.
func (s *Source) tell(counted *refusals, text, reason string) {
	s.metrics.Unverified(reason, 1)
	if n := counted.add(s.now()); n > 0 {
		s.logger.Warn(text, telemetry.KeySource, s.Name, telemetry.KeyReason, reason, telemetry.KeyRequests, n)
	}
}

func reasonOf(why error) string {
	var reason signature.Reason
	_ = errors.As(why, &reason)
	return reason.String()
}

// add counts one. It returns how many there were since the last line, where a line is due, and else
// 0.
func (r *refusals) add(now time.Time) uint64 {
	r.since.Add(1)
	last := r.told.Load()
	seconds := now.Unix()
	if seconds-last < tellEvery || !r.told.CompareAndSwap(last, seconds) {
		return 0
	}
	return r.since.Swap(0)
}

// greet counts a handshake that was answered.
func (s *Source) greet(err error) error {
	var reply *protocol.Reply
	if err != nil && errors.As(err, &reply) {
		s.metrics.Handshake()
	}
	return err
}
