// Package requestid knows what a request id tells of its event: a UUIDv7 tells when it was. Stores
// look events up by it without an index.
package requestid

import (
	"encoding/hex"

	"pillarbox"
)

// nearMicroseconds is how far the time of an event may be from the time in its id for the event to
// be looked up by it. The width decides which events have a row in the table event_ids of a store: it is part of the
// format and never changes.
const nearMicroseconds = 250_000

// TellsTime reports whether the time of the event can be found from its id.
func TellsTime(key pillarbox.Key) bool {
	since, until, ok := TimesNear(key.RequestID)
	return ok && since <= key.Timestamp && key.Timestamp <= until
}

// TimesNear returns the bounds, both inclusive, of the times that an event with this UUIDv7 may
// have. Only the lower-case form counts, and only times that both bounds of which can be written.
func TimesNear(requestID string) (since, until pillarbox.Timestamp, ok bool) {
	const length, version = 36, 14
	if len(requestID) != length || requestID[version] != '7' {
		return 0, 0, false
	}
	for i := range length {
		c := requestID[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return 0, 0, false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return 0, 0, false
			}
		}
	}
	var milliseconds [6]byte
	if _, err := hex.Decode(milliseconds[:], []byte(requestID[:8]+requestID[9:13])); err != nil {
		return 0, 0, false
	}
	var at pillarbox.Timestamp
	for _, b := range milliseconds {
		at = at<<8 | pillarbox.Timestamp(b)
	}
	at *= 1000
	if _, err := (at + nearMicroseconds).MarshalText(); err != nil {
		return 0, 0, false
	}
	return at - nearMicroseconds, at + nearMicroseconds, true
}
