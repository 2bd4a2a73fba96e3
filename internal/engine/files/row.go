package files

import (
	"encoding/binary"
	"errors"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/deadletterfile"
)

// kind is what a row says of its letter.
type kind uint8

const (
	rowLive    kind = iota + 1 // it is at this day
	rowMissing                 // it was, and somebody has removed its file
	rowGone                    // it has moved to another day
)

// row is what the index knows of a letter: enough to choose it without opening it. Later rows of a
// letter replace earlier ones.
type row struct {
	serial uint64 // of the row, over all days
	kind   kind
	state  state
	blind  bool // its file could not be read: only its name is known
	letter id

	requestID string // where the token does not tell it
	deadAt    pillarbox.Timestamp
	size      int64    // of the file
	at        position // of the frame in the journals that it comes from; zero where it was found as a file
	length    int64    // of the frame
	source    string
	reason    string
	lastError string

	box string // the texts, sealed with a key that is not at hand: the row is blind as long
}

// The bits of a byte of a row.
const (
	rowBlind  = 1 << iota // its file could not be read
	rowSealed             // its texts are in a box
)

// rowFixed are the bytes of a row before its id.
const rowFixed = 8 + 1 + 1 + 1 + 8 + 8 + 8 + 8 + 8

// rowOf makes the row of a letter whose content is at hand.
func rowOf(letter *pillarbox.DeadLetter, named id, in state, size int64) row {
	r := row{
		kind: rowLive, state: in, letter: named, deadAt: letter.DeadAt, size: size,
		source: letter.Event.Source, reason: letter.Reason, lastError: letter.LastError(),
	}
	if named.Token.Hashed {
		r.requestID = letter.Event.RequestID
	}
	return r
}

func (r *row) encode(b []byte, offset int64, keys *atrest.Keys) ([]byte, error) {
	start := len(b)
	b = append(b, make([]byte, frameHead)...)
	b = binary.LittleEndian.AppendUint64(b, r.serial)
	bits := byte(0)
	switch {
	case r.box != "" || !r.blind && keys.Seals():
		bits = rowSealed
	case r.blind:
		bits = rowBlind
	}
	b = append(b, byte(r.kind), byte(r.state), bits)
	for _, number := range [...]uint64{uint64(r.deadAt), uint64(r.size), r.at.file,
		uint64(r.at.offset), uint64(r.length)} {
		b = binary.LittleEndian.AppendUint64(b, number)
	}
	b = appendID(b, r.letter)
	switch {
	case r.box != "":
		b = append(b, r.box...)
	case bits&rowSealed != 0:
		var err error
		if b, err = keys.Seal(b, r.appendTexts(nil), atrest.LetterRow); err != nil {
			return b[:start], err
		}
	default:
		b = r.appendTexts(b)
	}
	seal(b[start:], offset)
	return b, nil
}

func (r *row) appendTexts(b []byte) []byte {
	for _, text := range [...]string{r.requestID, r.source, r.reason, r.lastError} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return b
}

func decodeRow(b []byte, keys *atrest.Keys) (r row, ok bool) {
	if len(b) < rowFixed {
		return r, false
	}
	number := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	r.serial, r.kind, r.state, r.blind = number(0), kind(b[8]), state(b[9]), b[10]&rowBlind != 0
	sealed := b[10]&rowSealed != 0
	r.deadAt, r.size = pillarbox.Timestamp(number(11)), int64(number(19))
	r.at, r.length = position{number(27), int64(number(35))}, int64(number(43))
	if r.letter, b, ok = cutID(b[rowFixed:]); !ok {
		return r, false
	}
	if sealed {
		var absent *atrest.NoKeyError
		plain, err := keys.Open(nil, b, atrest.LetterRow)
		if errors.As(err, &absent) {
			r.box, r.blind = string(b), true
		}
		if err != nil {
			return r, r.box != "" && r.valid()
		}
		b = plain
	}
	for _, text := range [...]*string{&r.requestID, &r.source, &r.reason, &r.lastError} {
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return r, false
		}
		*text, b = string(b[n:n+int(length)]), b[n+int(length):]
	}
	return r, r.valid()
}

func (r *row) valid() bool {
	return r.kind >= rowLive && r.kind <= rowGone && r.state <= discarded
}

func (r *row) key() pillarbox.Key {
	return pillarbox.Key{Timestamp: r.letter.Timestamp, RequestID: r.id()}
}

// id returns the request id, as far as it is known.
func (r *row) id() string {
	if r.letter.Token.Hashed && r.requestID != "" {
		return r.requestID
	}
	return r.letter.Token.String()
}

// nameAt returns the path of a letter's file below the directory of the letters.
func (r *row) nameAt(day place) string {
	return deadletterfile.Name(r.letter, place{Day: day.Day, State: r.state})
}

const (
	indexDir   = "index"
	rowsSuffix = ".rows"
)
