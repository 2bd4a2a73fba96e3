package files

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
	"time"

	"pillarbox"
)

// state is what the end of a name says.
type state uint8

const (
	open state = iota
	replayed
	discarded
)

// suffixes are the ends of names by state.
var suffixes = [...]string{open: ".json", replayed: ".replayed.json", discarded: ".discarded.json"}

const (
	dayLayout     = "2006-01-02"
	compactLayout = "20060102T150405.000000Z"
)

// token is a request id as it stands in a name: the UUID itself, or the start of its SHA-256.
type token struct {
	bytes  [16]byte
	hashed bool
}

func tokenOf(requestID string) token {
	if bytes, ok := parseUUID(requestID); ok {
		return token{bytes: bytes}
	}
	sum := sha256.Sum256([]byte(requestID))
	return token{bytes: [16]byte(sum[:16]), hashed: true}
}

// parseUUID reads the lower-case form with four dashes, and no other: two ids must never share a name.
func parseUUID(text string) (uuid [16]byte, ok bool) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return uuid, false
	}
	digits := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	n, err := hex.Decode(uuid[:], []byte(digits))
	return uuid, err == nil && n == len(uuid) && strings.ToLower(digits) == digits
}

func (t token) String() string {
	digits := hex.EncodeToString(t.bytes[:])
	if t.hashed {
		return "x" + digits
	}
	return strings.Join([]string{digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]}, "-")
}

func parseToken(text string) (t token, ok bool) {
	if digits, hashed := strings.CutPrefix(text, "x"); hashed {
		sum, err := hex.DecodeString(digits)
		if err != nil || len(sum) != len(t.bytes) {
			return t, false
		}
		return token{bytes: [16]byte(sum), hashed: true}, true
	}
	t.bytes, ok = parseUUID(text)
	return t, ok
}

// id names one letter: what two letters that are the same have in common.
type id struct {
	timestamp   pillarbox.Timestamp
	destination string
	token       token
}

func idOf(destination string, key pillarbox.Key) id {
	return id{timestamp: key.Timestamp, destination: destination, token: tokenOf(key.RequestID)}
}

// place is where a letter is. The day is kept as a number, because there is one place per letter in memory.
type place struct {
	day   int32 // 20261123
	state state
}

// placeOf returns the place of a letter whose time of death can be written.
func placeOf(died pillarbox.Timestamp, state state) place {
	return place{day: int32(dayNumber(died)), state: state}
}

// dayNumber returns the day in the form of place.day.
func dayNumber(at pillarbox.Timestamp) int {
	year, month, day := at.Time().Date()
	return year*10_000 + int(month)*100 + day
}

func (p place) dayName() string {
	day := time.Date(int(p.day/10_000), time.Month(p.day/100%100), int(p.day%100), 0, 0, 0, 0, time.UTC)
	return day.Format(dayLayout)
}

// parseDay reads the name of a directory.
func parseDay(name string) (place, bool) {
	day, err := time.Parse(dayLayout, name)
	if err != nil {
		return place{}, false
	}
	found := placeOf(pillarbox.TimestampOf(day), open)
	return found, found.dayName() == name
}

// nameOf returns the path of a letter below the directory.
func nameOf(id id, place place) string {
	return path.Join(place.dayName(), fileName(id, place.state))
}

func fileName(id id, state state) string {
	return id.timestamp.Time().Format(compactLayout) + "." + id.destination + "." + id.token.String() + suffixes[state]
}

// parseName reads the name of a file. Only names that fileName writes are right.
func parseName(name string) (found id, in state, ok bool) {
	if len(name) <= len(compactLayout) {
		return id{}, open, false
	}
	at, err := time.Parse(compactLayout, name[:len(compactLayout)])
	if err != nil {
		return id{}, open, false
	}
	parts := strings.SplitN(name[len(compactLayout):], ".", 4) // "", destination, token, rest
	if len(parts) != 4 {
		return id{}, open, false
	}
	found = id{timestamp: pillarbox.TimestampOf(at), destination: parts[1]}
	if found.token, ok = parseToken(parts[2]); !ok || !validDestination(found.destination) {
		return id{}, open, false
	}
	for i := range suffixes {
		if fileName(found, state(i)) == name {
			return found, state(i), true
		}
	}
	return id{}, open, false
}

// maxDestination is the longest name of a destination.
const maxDestination = 63

func validDestination(name string) bool {
	if len(name) == 0 || len(name) > maxDestination {
		return false
	}
	for i := range len(name) {
		c := name[i]
		alphanumeric := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !alphanumeric && (i == 0 || c != '-' && c != '_') {
			return false
		}
	}
	return true
}
