package ingest

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"pillarbox"
)

// stamper gives timestamps that never go backwards in this process, whatever the clock does. Together with the
// request id that is made of the same instant they are unique.
type stamper struct {
	now  func() time.Time
	last atomic.Int64 // microseconds
}

func (s *stamper) stamp() pillarbox.Timestamp {
	now := max(s.now().UnixMicro(), earliest)
	for {
		last := s.last.Load()
		if now <= last {
			now = last
			break
		}
		if s.last.CompareAndSwap(last, now) {
			break
		}
	}
	return pillarbox.Timestamp(now)
}

// earliest is the first instant that can be a key: 0 means "not set", and a UUIDv7 begins in 1970.
const earliest = 1

// idBytes is the length of a request id.
const idBytes = 36

// appendRequestID appends a UUIDv7 (RFC 9562, section 5.7) of the instant: 48 bits of milliseconds, then the
// microseconds within them in the 10 high bits of rand_a, so that ids sort like their timestamps, then 64
// random bits. The ids are unique, not secret.
func appendRequestID(b []byte, micros int64) []byte {
	var uuid [16]byte
	millis, rest := micros/1000, micros%1000
	random := rand.Uint64()
	binary.BigEndian.PutUint64(uuid[0:], uint64(millis)<<16|0x7000|uint64(rest)<<2|random&3)
	binary.BigEndian.PutUint64(uuid[8:], rand.Uint64()>>2|1<<63)
	for i, group := range [...][]byte{uuid[0:4], uuid[4:6], uuid[6:8], uuid[8:10], uuid[10:16]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, group)
	}
	return b
}

// ValidTraceparent returns the W3C trace context if it is well-formed (Trace Context, section 3.2), else
// nothing: a malformed one must be ignored, and client text is not kept for its own sake.
func ValidTraceparent(text string) string {
	const form = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if len(text) < len(form) || (len(text) > len(form) && (text[:2] == "00" || text[len(form)] != '-' || len(text) > 128)) {
		return ""
	}
	for i := range form {
		if dash := form[i] == '-'; dash != (text[i] == '-') || (!dash && !lowerHex(text[i])) {
			return ""
		}
	}
	if text[:2] == "ff" || zeros(text[3:35]) || zeros(text[36:52]) {
		return ""
	}
	return text[:len(form)]
}

func lowerHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

func zeros(text string) bool {
	for i := range len(text) {
		if text[i] != '0' {
			return false
		}
	}
	return true
}
