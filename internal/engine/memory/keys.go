package memory

import (
	"context"
	"sync"
	"time"

	"pillarbox"
)

// Keys is idempotency keys in memory. The zero value works, on the system's clock.
type Keys struct {
	Now func() time.Time // nil: time.Now

	mu      sync.Mutex
	window  time.Duration // 0: the default
	maxKeys int
	byKey   map[[16]byte]*rememberedKey
	order   [][16]byte // stored ones, oldest first; some may have been stored again
}

// rememberedKey is a claimed or stored key.
type rememberedKey struct {
	fingerprint uint64
	timestamp   pillarbox.Timestamp
	requestID   string
	at          time.Time
	state       pillarbox.KeyOutcome // 0 while it is in flight
	again       bool
}

var _ pillarbox.Keys = (*Keys)(nil)

func (k *Keys) now() time.Time {
	if k.Now == nil {
		return time.Now()
	}
	return k.Now()
}

// SetLimits changes the window and the number of keys; 0 takes the default.
func (k *Keys) SetLimits(window time.Duration, maxKeys int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.window, k.maxKeys = window, int(maxKeys)
	k.forgetLocked()
}

func (k *Keys) limitsLocked() (time.Duration, int) {
	window, maxKeys := k.window, k.maxKeys
	if window == 0 {
		window = pillarbox.DefaultKeyWindow
	}
	if maxKeys == 0 {
		maxKeys = pillarbox.DefaultMaxKeys
	}
	return window, maxKeys
}

// forgetLocked drops what is too old or too much.
func (k *Keys) forgetLocked() {
	window, maxKeys := k.limitsLocked()
	for len(k.order) > 0 {
		oldest := k.byKey[k.order[0]]
		if len(k.order) <= maxKeys && k.now().Sub(oldest.at) <= window {
			return
		}
		if oldest.state == pillarbox.KeyStored {
			delete(k.byKey, k.order[0])
		}
		k.order = k.order[1:]
	}
}

// Claim implements pillarbox.Keys.
func (k *Keys) Claim(_ context.Context, claims []pillarbox.KeyClaim) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forgetLocked()
	for i := range claims {
		if !claims[i].IsZero() {
			k.claimLocked(&claims[i])
		}
	}
}

func (k *Keys) claimLocked(c *pillarbox.KeyClaim) {
	known := k.byKey[c.Key]
	switch {
	case known == nil:
		c.State = pillarbox.KeyNew
		k.setLocked(c.Key, &rememberedKey{fingerprint: c.Fingerprint, timestamp: c.Timestamp,
			requestID: c.RequestID})
		return
	case known.fingerprint != c.Fingerprint:
		c.State = pillarbox.KeyMismatch
		return
	case known.state == 0:
		c.State = pillarbox.KeyInFlight
		return
	case known.state == pillarbox.KeyUnknown:
		c.State, known.state, known.again = pillarbox.KeyAgain, 0, true
	case known.state == pillarbox.KeyStored:
		c.State = pillarbox.KeyDone
	}
	c.Timestamp, c.RequestID = known.timestamp, known.requestID
}

func (k *Keys) setLocked(key [16]byte, known *rememberedKey) {
	if k.byKey == nil {
		k.byKey = map[[16]byte]*rememberedKey{}
	}
	k.byKey[key] = known
}

// Settle implements pillarbox.Keys.
func (k *Keys) Settle(_ context.Context, claims []pillarbox.KeyClaim) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range claims {
		known := k.byKey[c.Key]
		if !c.State.Claimed() || known == nil || known.state == pillarbox.KeyStored {
			continue
		}
		switch {
		case c.Outcome == pillarbox.KeyStored:
			k.storeLocked(c.Key, known)
		case c.Outcome == pillarbox.KeyUnknown || known.again:
			known.state = pillarbox.KeyUnknown
		default:
			delete(k.byKey, c.Key)
		}
	}
	return nil
}

func (k *Keys) storeLocked(key [16]byte, known *rememberedKey) {
	known.state, known.at = pillarbox.KeyStored, k.now()
	k.order = append(k.order, key)
	k.forgetLocked()
}

// store takes the key of an event that is stored, whoever has claimed it.
func (k *Keys) store(event *pillarbox.Event) {
	if event.Idempotency.IsZero() {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	known := &rememberedKey{fingerprint: event.Idempotency.Fingerprint, timestamp: event.Timestamp,
		requestID: event.RequestID}
	k.setLocked(event.Idempotency.Key, known)
	k.storeLocked(event.Idempotency.Key, known)
}

// KeyStats implements pillarbox.Keys.
func (k *Keys) KeyStats() pillarbox.KeyStats {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forgetLocked()
	window, maxKeys := k.limitsLocked()
	stats := pillarbox.KeyStats{Held: int64(len(k.order)), MaxKeys: int64(maxKeys),
		Window: int64(window / time.Second)}
	if len(k.order) > 0 {
		stats.Oldest = int64(k.now().Sub(k.byKey[k.order[0]].at) / time.Second)
	}
	for _, known := range k.byKey {
		switch known.state {
		case 0:
			stats.InFlight++
		case pillarbox.KeyUnknown:
			stats.Unknown++
		}
	}
	return stats
}
