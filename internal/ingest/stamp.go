package ingest

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"pillarbox"
)

// stamper gives each event its place in time: a microsecond that never goes backwards in this
// process, whatever the clock does, and a rank within it. No two events of a process have the same.
type stamper struct {
	now  func() time.Time
	last atomic.Int64 // microseconds
}

// ranks is the number of events that share a microsecond. With one alone, a process that accepts a
// million a second would run ahead of its clock.
const ranks = 4

// stamp is a place in time.
type stamp struct {
	micros int64
	rank   uint8 // less than ranks
}

// stamps looks at the clock once, and takes the time of n events. The first of them is returned.
func (s *stamper) stamps(n int) stamp {
	now := max(s.now().UnixMicro(), earliest)
	for {
		last := s.last.Load()
		first := max(now, last+1)
		if s.last.CompareAndSwap(last, first+int64(max(0, n-1))/ranks) {
			return stamp{micros: first}
		}
	}
}

// next is the place behind this one.
func (at stamp) next() stamp {
	if at.rank++; at.rank == ranks {
		return stamp{micros: at.micros + 1}
	}
	return at
}

func (at stamp) timestamp() pillarbox.Timestamp { return pillarbox.Timestamp(at.micros) }

// earliest is the first instant that can be a key: 0 means "not set", and a UUIDv7 begins in 1970.
const earliest = 1

// idBytes is the length of a request id.
const idBytes = 36

// appendRequestID appends a UUIDv7 (RFC 9562, section 5.7) of the place in time: 48 bits of
// milliseconds, then in rand_a the microseconds within them and the rank, so that ids sort in the
// order in which they were given, then 62 random bits. The ids are unique, not secret.
func appendRequestID(b []byte, at stamp) []byte {
	var uuid [16]byte
	millis, rest := at.micros/1000, at.micros%1000
	binary.BigEndian.PutUint64(uuid[0:], uint64(millis)<<16|0x7000|uint64(rest)<<2|uint64(at.rank))
	binary.BigEndian.PutUint64(uuid[8:], rand.Uint64()>>2|1<<63)
	for i, c := range uuid {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = append(b, hexPairs[2*int(c)], hexPairs[2*int(c)+1])
	}
	return b
}

// hexPairs are the two hex digits of each byte. Each event has an id to be written, and
// encoding/hex takes it in five parts.
var hexPairs = func() (pairs [512]byte) {
	const digits = "0123456789abcdef"
	for i := range 256 {
		pairs[2*i], pairs[2*i+1] = digits[i>>4], digits[i&15]
	}
	return pairs
}()

// ValidTraceparent returns the W3C trace context if it is well-formed (Trace Context, section 3.2),
// else nothing: a malformed one must be ignored, and client text is not kept for its own sake.
func ValidTraceparent(text string) string {
	const form = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if len(text) < len(form) || (len(text) > len(form) &&
		(text[:2] == "00" || text[len(form)] != '-' || len(text) > 128)) {
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
