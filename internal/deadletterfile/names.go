package deadletterfile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
	"time"

	"pillarbox"
)

// ID names one letter: what two letters that are the same have in common.
type ID struct {
	Timestamp   pillarbox.Timestamp
	Destination string
	Token       Token
}

// IDOf returns the ID of the letter of an event.
func IDOf(destination string, key pillarbox.Key) ID {
	return ID{Timestamp: key.Timestamp, Destination: destination, Token: TokenOf(key.RequestID)}
}

// State is what the end of a name says.
type State uint8

// The states of a letter.
const (
	Open State = iota
	Replayed
	Discarded
)

// suffixes are the ends of names by state.
var suffixes = [...]string{Open: ".json", Replayed: ".replayed.json", Discarded: ".discarded.json"}

const (
	dayLayout     = "2006-01-02"
	compactLayout = "20060102T150405.000000Z"
)

// Token is a request id as it stands in a name: the UUID itself, or the start of its SHA-256.
type Token struct {
	Bytes  [16]byte
	Hashed bool
}

// TokenOf returns the token of any request id.
func TokenOf(requestID string) Token {
	if bytes, ok := parseUUID(requestID); ok {
		return Token{Bytes: bytes}
	}
	sum := sha256.Sum256([]byte(requestID))
	return Token{Bytes: [16]byte(sum[:16]), Hashed: true}
}

// ParseName reads a path that Name writes, and no other.
func ParseName(name string) (ID, Place, bool) {
	place, ok := ParseDay(path.Dir(name))
	if !ok {
		return ID{}, Place{}, false
	}
	found, state, ok := ParseFileName(path.Base(name))
	place.State = state
	return found, place, ok && Name(found, place) == name
}

// Name returns the path of a letter below the place where all letters are.
func Name(id ID, place Place) string {
	return path.Join(place.DayName(), FileName(id, place.State))
}

// ParseDay reads the name of a directory.
func ParseDay(name string) (Place, bool) {
	day, err := time.Parse(dayLayout, name)
	if err != nil {
		return Place{}, false
	}
	found := PlaceOf(pillarbox.TimestampOf(day), Open)
	return found, found.DayName() == name
}

// Place is where a letter is. The day is a number, because engines keep one place per letter in
// memory.
type Place struct {
	Day   int32 // 20261123
	State State
}

// PlaceOf returns the place of a letter whose time of death can be written.
func PlaceOf(died pillarbox.Timestamp, state State) Place {
	return Place{Day: DayOf(died), State: state}
}

// DayOf returns the day in the form of Place.Day.
func DayOf(at pillarbox.Timestamp) int32 {
	year, month, day := at.Time().Date()
	return int32(year*10_000 + int(month)*100 + day)
}

// DayName returns the name of the directory.
func (p Place) DayName() string {
	day := time.Date(int(p.Day/10_000), time.Month(p.Day/100%100), int(p.Day%100), 0, 0, 0, 0,
		time.UTC)
	return day.Format(dayLayout)
}

// ParseFileName reads the name of a file. Only names that FileName writes are right.
func ParseFileName(name string) (found ID, in State, ok bool) {
	if len(name) <= len(compactLayout) {
		return ID{}, Open, false
	}
	at, err := time.Parse(compactLayout, name[:len(compactLayout)])
	if err != nil {
		return ID{}, Open, false
	}
	parts := strings.SplitN(name[len(compactLayout):], ".", 4) // "", destination, token, rest
	if len(parts) != 4 {
		return ID{}, Open, false
	}
	found = ID{Timestamp: pillarbox.TimestampOf(at), Destination: parts[1]}
	if found.Token, ok = parseToken(parts[2]); !ok || !validDestination(found.Destination) {
		return ID{}, Open, false
	}
	for i := range suffixes {
		if FileName(found, State(i)) == name {
			return found, State(i), true
		}
	}
	return ID{}, Open, false
}

// FileName returns the last part of Name.
func FileName(id ID, state State) string {
	return Stem(id.Timestamp) + "." + id.Destination + "." + id.Token.String() + suffixes[state]
}

// Stem returns how the names of letters of events of that time begin.
func Stem(at pillarbox.Timestamp) string { return at.Time().Format(compactLayout) }

func parseToken(text string) (t Token, ok bool) {
	if digits, hashed := strings.CutPrefix(text, "x"); hashed {
		sum, err := hex.DecodeString(digits)
		if err != nil || len(sum) != len(t.Bytes) {
			return t, false
		}
		return Token{Bytes: [16]byte(sum), Hashed: true}, true
	}
	t.Bytes, ok = parseUUID(text)
	return t, ok
}

// parseUUID reads the lower-case form with four dashes, and no other: two ids must never share a
// name.
func parseUUID(text string) (uuid [16]byte, ok bool) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return uuid, false
	}
	digits := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	n, err := hex.Decode(uuid[:], []byte(digits))
	return uuid, err == nil && n == len(uuid) && strings.ToLower(digits) == digits
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

// Compare orders letters by day of death, event key and destination, as far as names tell: of
// hashed tokens the names don't tell the order of the request ids.
func Compare(a ID, aPlace Place, b ID, bPlace Place) int {
	return cmp.Or(
		cmp.Compare(aPlace.Day, bPlace.Day), cmp.Compare(a.Timestamp, b.Timestamp),
		strings.Compare(a.Token.String(), b.Token.String()),
		strings.Compare(a.Destination, b.Destination),
	)
}

func (t Token) String() string {
	digits := hex.EncodeToString(t.Bytes[:])
	if t.Hashed {
		return "x" + digits
	}
	return strings.Join([]string{digits[:8], digits[8:12], digits[12:16], digits[16:20],
		digits[20:]}, "-")
}
