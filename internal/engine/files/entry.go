package files

import (
	"encoding/binary"
	"hash/crc32"

	"pillarbox"
)

// position is the place of a frame in the journals.
type position struct {
	file   uint64 // its number; 0 is before all
	offset int64
}

func (p position) before(other position) bool {
	return p.file < other.file || p.file == other.file && p.offset < other.offset
}

// entry is what a frame says: the letter is at the place, with this content, and no more at the
// others.
type entry struct {
	letter  id
	to      place
	from    []place
	content []byte
}

// encode appends the frame to b, as it stands at the offset.
func (e *entry) encode(b []byte, offset int64) []byte {
	start := len(b)
	b = append(b, make([]byte, frameHead)...)
	b = appendID(append(b, byte(e.to.State)), e.letter)
	b = binary.LittleEndian.AppendUint32(b, uint32(e.to.Day))
	b = append(b, byte(len(e.from)))
	for _, from := range e.from {
		b = binary.LittleEndian.AppendUint32(append(b, byte(from.State)), uint32(from.Day))
	}
	b = append(b, e.content...)
	seal(b[start:], offset)
	return b
}

func appendID(b []byte, letter id) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(letter.Timestamp))
	hashed := byte(0)
	if letter.Token.Hashed {
		hashed = 1
	}
	b = append(append(b, hashed), letter.Token.Bytes[:]...)
	return append(append(b, byte(len(letter.Destination))), letter.Destination...)
}

// seal writes length and checksum. The offset is in the checksum, so that a frame is none anywhere
// else.
func seal(frame []byte, offset int64) {
	binary.LittleEndian.PutUint32(frame, uint32(len(frame)-frameHead))
	binary.LittleEndian.PutUint32(frame[4:], checksum(frame[frameHead:], offset))
}

// decodeEntry reads the payload of a frame. The content is a part of it.
func decodeEntry(payload []byte) (e entry, ok bool) {
	if len(payload) < 1 {
		return e, false
	}
	e.to.State = state(payload[0])
	if e.letter, payload, ok = cutID(payload[1:]); !ok || len(payload) < 5 {
		return e, false
	}
	e.to.Day = int32(binary.LittleEndian.Uint32(payload))
	n := int(payload[4])
	if payload = payload[5:]; len(payload) < 5*n {
		return e, false
	}
	for range n {
		e.from = append(e.from, place{State: state(payload[0]),
			Day: int32(binary.LittleEndian.Uint32(payload[1:]))})
		payload = payload[5:]
	}
	e.content = payload
	return e, true
}

const idBytes = 8 + 1 + 16 + 1 // without the destination

func cutID(b []byte) (letter id, rest []byte, ok bool) {
	if len(b) < idBytes || len(b) < idBytes+int(b[idBytes-1]) {
		return letter, nil, false
	}
	letter.Timestamp = pillarbox.Timestamp(binary.LittleEndian.Uint64(b))
	letter.Token = token{Hashed: b[8] != 0, Bytes: [16]byte(b[9:25])}
	letter.Destination = string(b[idBytes : idBytes+int(b[idBytes-1])])
	return letter, b[idBytes+int(b[idBytes-1]):], true
}

func checksum(payload []byte, offset int64) uint32 {
	var place [8]byte
	binary.LittleEndian.PutUint64(place[:], uint64(offset))
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, payload)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
