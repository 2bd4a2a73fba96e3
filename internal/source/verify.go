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

// refusals are counted, and told once a minute.
type refusals struct {
	told  atomic.Int64 // Unix time of the last line
	since atomic.Uint64
}

// tellEvery is the shortest time between two lines about signatures of one source, in seconds:
// anybody can make it refuse.
const tellEvery = 60

// verify holds a request against the rule of the source.
func (s *Source) verify(head *Head, body []byte) (signature.Verified, error) {
	var now time.Time
	if s.Signature.Timed() {
		now = s.now()
	}
	request := signature.Request{Method: head.Method, Path: head.Path, Query: head.Query,
		Header: head.Header, Body: body}
	verified, err := s.Signature.Verify(&request, now)
	if err == nil {
		return verified, nil
	}
	return signature.Verified{}, s.unverified(err)
}

// unverified counts why, and returns the answer that does not tell it.
func (s *Source) unverified(why error) error {
	var reason signature.Reason
	_ = errors.As(why, &reason)
	s.metrics.Unverified(reason.String(), 1)
	s.tellUnverified(s.now(), reason)
	return errUnverified
}

func (s *Source) tellUnverified(now time.Time, reason signature.Reason) {
	s.refused.since.Add(1)
	last := s.refused.told.Load()
	seconds := now.Unix()
	if seconds-last < tellEvery || !s.refused.told.CompareAndSwap(last, seconds) {
		return
	}
	s.logger.Warn("requests are refused: they are not signed as the source asks; told once a minute",
		telemetry.KeySource, s.Name, telemetry.KeyReason, reason.String(),
		telemetry.KeyRequests, s.refused.since.Swap(0))
}

// greet counts a handshake that was answered.
func (s *Source) greet(err error) error {
	var reply *protocol.Reply
	if err != nil && errors.As(err, &reply) {
		s.metrics.Handshake()
	}
	return err
}
