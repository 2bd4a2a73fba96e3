package enginetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"pillarbox"
)

// KeysStand is idempotency keys that are under test. Append makes events durable with their keys;
// it is nil for an engine that takes the word of Settle for it. SetLimits is that of the engine.
// Advance lets time pass; nil where it can't be moved.
type KeysStand struct {
	pillarbox.Keys
	Append    func(ctx context.Context, events []*pillarbox.Event) error
	SetLimits func(window time.Duration, maxKeys int64)
	Advance   func(time.Duration)
}

// keysStory is one story about keys.
type keysStory struct {
	*testing.T
	KeysStand
}

// Keys tests the contract of pillarbox.Keys. Each story has keys of its own, with none in them.
func Keys(t *testing.T, open func(t *testing.T) KeysStand) {
	for _, story := range []struct {
		name string
		tell func(keysStory)
	}{
		{"a repeated key gets the first stamp", keysRepeat},
		{"another content is told before anything else", keysMismatch},
		{"what is in flight is in flight for everyone", keysInFlight},
		{"a key whose append stored nothing is free", keysFree},
		{"a key with an unknown outcome keeps its stamp", keysUnknown},
		{"a key stands twice in a call", keysTwice},
		{"claims without a key are passed over", keysNone},
		{"one of many at once wins", keysRace},
		{"as many as there may be are remembered", keysMax},
		{"none is remembered longer than the window", keysWindow},
	} {
		t.Run(story.name, func(t *testing.T) { story.tell(keysStory{T: t, KeysStand: open(t)}) })
	}
}

// numbered is a claim for a key, with a stamp that only it has.
func numbered(key, stamp int) pillarbox.KeyClaim {
	c := pillarbox.KeyClaim{Timestamp: pillarbox.Timestamp(1_790_000_000_000_000 + stamp),
		RequestID: fmt.Sprintf("019ab123-4567-7abc-8def-%012x", stamp)}
	c.Key[0], c.Key[1], c.Key[2], c.Key[15] = byte(key), byte(key>>8), byte(key>>16), 1
	c.Fingerprint = 7
	return c
}

func (s keysStory) claim(c pillarbox.KeyClaim) pillarbox.KeyClaim {
	claims := []pillarbox.KeyClaim{c}
	s.Claim(context.Background(), claims)
	return claims[0]
}

func (s keysStory) settleAs(outcome pillarbox.KeyOutcome, c pillarbox.KeyClaim) {
	s.Helper()
	c.Outcome = outcome
	if outcome == pillarbox.KeyStored && s.Append != nil {
		event := &pillarbox.Event{Timestamp: c.Timestamp, RequestID: c.RequestID, Source: "app",
			Idempotency: c.Idempotency}
		if err := s.Append(context.Background(), []*pillarbox.Event{event}); err != nil {
			s.Fatal(err)
		}
	}
	if err := s.Settle(context.Background(), []pillarbox.KeyClaim{c}); err != nil {
		s.Fatal(err)
	}
}

// want holds the answer to a claim against a state and the stamp it is to have.
func (s keysStory) want(c pillarbox.KeyClaim, state pillarbox.KeyState, stamp int) {
	s.Helper()
	want := numbered(0, stamp)
	if c.State != state || c.RequestID != want.RequestID || c.Timestamp != want.Timestamp {
		s.Fatalf("%+v, want state %d with stamp %d", c, state, stamp)
	}
}

func (s keysStory) store(key, stamp int) {
	s.Helper()
	c := s.claim(numbered(key, stamp))
	s.want(c, pillarbox.KeyNew, stamp)
	s.settleAs(pillarbox.KeyStored, c)
}

func keysRepeat(s keysStory) {
	s.store(1, 1)
	s.store(2, 2)
	for range 3 {
		s.want(s.claim(numbered(1, 3)), pillarbox.KeyDone, 1)
		s.want(s.claim(numbered(2, 3)), pillarbox.KeyDone, 2)
	}
	if stats := s.KeyStats(); stats.InFlight != 0 || stats.Unknown != 0 {
		s.Errorf("%+v", stats)
	}
}

func keysMismatch(s keysStory) {
	other := numbered(1, 9)
	other.Fingerprint++
	c := s.claim(numbered(1, 1))
	s.want(s.claim(other), pillarbox.KeyMismatch, 9) // while it is in flight
	s.settleAs(pillarbox.KeyUnknown, c)
	s.want(s.claim(other), pillarbox.KeyMismatch, 9)
	c = s.claim(numbered(1, 2))
	s.settleAs(pillarbox.KeyStored, c)
	s.want(s.claim(other), pillarbox.KeyMismatch, 9)
}

func keysInFlight(s keysStory) {
	c := s.claim(numbered(1, 1))
	s.want(s.claim(numbered(1, 2)), pillarbox.KeyInFlight, 2)
	s.settleAs(pillarbox.KeyStored, c)
	s.want(s.claim(numbered(1, 2)), pillarbox.KeyDone, 1)
}

func keysFree(s keysStory) {
	s.settleAs(pillarbox.KeyFree, s.claim(numbered(1, 1)))
	s.want(s.claim(numbered(1, 2)), pillarbox.KeyNew, 2)
}

func keysUnknown(s keysStory) {
	s.settleAs(pillarbox.KeyUnknown, s.claim(numbered(1, 1)))
	again := s.claim(numbered(1, 2))
	s.want(again, pillarbox.KeyAgain, 1)
	s.want(s.claim(numbered(1, 3)), pillarbox.KeyInFlight, 3)
	s.settleAs(pillarbox.KeyFree, again) // it stored nothing, and the first may have
	again = s.claim(numbered(1, 4))
	s.want(again, pillarbox.KeyAgain, 1)
	s.settleAs(pillarbox.KeyStored, again)
	s.want(s.claim(numbered(1, 5)), pillarbox.KeyDone, 1)
}

func keysTwice(s keysStory) {
	claims := []pillarbox.KeyClaim{numbered(1, 1), numbered(2, 2), numbered(1, 3)}
	s.Claim(context.Background(), claims)
	s.want(claims[0], pillarbox.KeyNew, 1)
	s.want(claims[1], pillarbox.KeyNew, 2)
	s.want(claims[2], pillarbox.KeyInFlight, 3)
}

func keysNone(s keysStory) {
	claims := []pillarbox.KeyClaim{{RequestID: "a"}, numbered(2, 2)}
	s.Claim(context.Background(), claims)
	if claims[0].State != 0 {
		s.Errorf("%+v", claims[0])
	}
	s.want(claims[1], pillarbox.KeyNew, 2)
	if err := s.Settle(context.Background(), claims[:1]); err != nil {
		s.Error(err)
	}
}

func keysRace(s keysStory) {
	var all sync.WaitGroup
	states := make([]pillarbox.KeyState, 16)
	for i := range states {
		all.Go(func() { states[i] = s.claim(numbered(1, i)).State })
	}
	all.Wait()
	won := 0
	for _, state := range states {
		switch state {
		case pillarbox.KeyNew:
			won++
		case pillarbox.KeyInFlight:
		default:
			s.Errorf("state %d", state)
		}
	}
	if won != 1 {
		s.Errorf("%d have the key", won)
	}
}

func keysMax(s keysStory) {
	if s.SetLimits == nil {
		s.Skip("the engine has room for all")
	}
	s.SetLimits(0, 5)
	for n := range 8 {
		s.store(n, n)
	}
	for n := range 3 {
		s.settleAs(pillarbox.KeyFree, s.claim(numbered(n, 100)))
	}
	for n := 3; n < 8; n++ {
		s.want(s.claim(numbered(n, 100)), pillarbox.KeyDone, n)
	}
	if stats := s.KeyStats(); stats.Held != 5 || stats.MaxKeys != 5 {
		s.Errorf("%+v", stats)
	}
}

func keysWindow(s keysStory) {
	if s.Advance == nil {
		s.Skip("time can't be moved")
	}
	s.SetLimits(time.Minute, 0)
	s.store(1, 1)
	s.Advance(40 * time.Second)
	s.store(2, 2)
	s.Advance(20 * time.Second)
	s.want(s.claim(numbered(1, 3)), pillarbox.KeyDone, 1)
	if stats := s.KeyStats(); stats.Window != 60 || stats.Oldest != 60 {
		s.Errorf("%+v", stats)
	}
	s.Advance(2 * time.Second)
	c := s.claim(numbered(1, 3))
	s.want(c, pillarbox.KeyNew, 3)
	s.settleAs(pillarbox.KeyStored, c)
	s.want(s.claim(numbered(1, 4)), pillarbox.KeyDone, 3)
	s.want(s.claim(numbered(2, 4)), pillarbox.KeyDone, 2)
}
