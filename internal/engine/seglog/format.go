package seglog

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"

	"pillarbox"
)

// Sizes of the format, in bytes. See docs/FORMAT.md.
const (
	sectorBytes       = 512 // frames begin at multiples of it, so that a torn write never touches an older frame
	headerBytes       = 512 // one copy of the segment header
	dataStart         = 2 * headerBytes
	frameHeaderBytes  = 64
	recordHeaderBytes = 8
	lengthBytes       = 4 // one entry of a frame's table of record lengths
)

const (
	formatVersion = 1
	boxedVersion  = 2                  // of segments whose records may be sealed, and of frames whose payload is
	frameMagic    = uint32(0x58425046) // "FPBX" on disk; zero is never a valid frame
)

// segmentMagic begins a segment header.
var segmentMagic = [8]byte{'P', 'I', 'L', 'L', 'A', 'R', 'S', 'G'}

// The types of frames.
const (
	frameEvents   = uint8(1) // records of events
	frameMark     = uint8(2) // no payload: proves that everything before it was synced
	frameLost     = uint8(3) // no payload: stands for count events that a repair could not read
	frameSnapshot = uint8(4) // in a state file: the whole delivery state
	frameDelta    = uint8(5) // in a state file: a change of it
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// recordChecksum mixes the segment's salt in, so that a client can't place bytes in a body that
// look like a record to a salvage.
func recordChecksum(salt uint64, body []byte) uint32 {
	seed := uint32(salt) ^ uint32(bits.RotateLeft64(salt, 32))
	return crc32.Update(seed, castagnoli, body)
}

func alignUp(n int64) int64 { return (n + sectorBytes - 1) &^ (sectorBytes - 1) }

// segmentHeader is the first sector of a segment, written twice.
type segmentHeader struct {
	id       uint64
	salt     uint64 // random; every frame of the segment repeats it
	firstSeq uint64 // sequence number of the first event
	created  pillarbox.Timestamp
	prevID   uint64 // the segment before, 0 for none
	prevEnd  int64  // where the valid frames of the segment before end
	logID    [16]byte
	boxed    bool // records may be in boxes
}

func versionOf(boxed bool) uint8 {
	if boxed {
		return boxedVersion
	}
	return formatVersion
}

func (h segmentHeader) encode() []byte {
	b := make([]byte, headerBytes)
	copy(b, segmentMagic[:])
	binary.LittleEndian.PutUint16(b[8:], uint16(versionOf(h.boxed)))
	binary.LittleEndian.PutUint32(b[12:], dataStart)
	binary.LittleEndian.PutUint64(b[16:], h.id)
	binary.LittleEndian.PutUint64(b[24:], h.salt)
	binary.LittleEndian.PutUint64(b[32:], h.firstSeq)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.created))
	binary.LittleEndian.PutUint64(b[48:], h.prevID)
	binary.LittleEndian.PutUint64(b[56:], uint64(h.prevEnd))
	copy(b[64:80], h.logID[:])
	binary.LittleEndian.PutUint32(b[headerBytes-4:], checksum(b[:headerBytes-4]))
	return b
}

// reasonVersion is the reason for a header that is sound and not understood.
const reasonVersion = "segment header has a format version that this program does not know"

// decodeSegmentHeader returns a reason where b is no valid header.
func decodeSegmentHeader(b []byte) (segmentHeader, string) {
	switch {
	case len(b) < headerBytes:
		return segmentHeader{}, "segment header is cut short"
	case [8]byte(b[:8]) != segmentMagic:
		return segmentHeader{}, "segment header has no magic number"
	case binary.LittleEndian.Uint32(b[headerBytes-4:headerBytes]) != checksum(b[:headerBytes-4]):
		return segmentHeader{}, "segment header has a wrong checksum"
	case binary.LittleEndian.Uint16(b[8:])-formatVersion > boxedVersion-formatVersion:
		return segmentHeader{}, reasonVersion
	}
	return segmentHeader{
		id:       binary.LittleEndian.Uint64(b[16:]),
		salt:     binary.LittleEndian.Uint64(b[24:]),
		firstSeq: binary.LittleEndian.Uint64(b[32:]),
		created:  pillarbox.Timestamp(binary.LittleEndian.Uint64(b[40:])),
		prevID:   binary.LittleEndian.Uint64(b[48:]),
		prevEnd:  int64(binary.LittleEndian.Uint64(b[56:])),
		logID:    [16]byte(b[64:80]),
		boxed:    binary.LittleEndian.Uint16(b[8:]) == boxedVersion,
	}, ""
}

// frameHeader begins every frame. Its payload follows at once: the records, then one length per
// record.
type frameHeader struct {
	kind        uint8
	salt        uint64
	offset      int64 // of this frame in its file
	firstSeq    uint64
	count       uint32
	payload     uint32 // bytes
	durableUpTo int64  // everything below this offset was synced before this frame was written
	payloadCRC  uint32
	boxed       bool // the payload is a box
}

// size is the number of bytes that the frame takes in its file.
func (h frameHeader) size() int64 { return alignUp(frameHeaderBytes + int64(h.payload)) }

func (h frameHeader) encode(b []byte) {
	clear(b[:frameHeaderBytes])
	binary.LittleEndian.PutUint32(b[0:], frameMagic)
	b[4] = h.kind
	b[5] = versionOf(h.boxed)
	binary.LittleEndian.PutUint64(b[8:], h.salt)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.offset))
	binary.LittleEndian.PutUint64(b[24:], h.firstSeq)
	binary.LittleEndian.PutUint32(b[32:], h.count)
	binary.LittleEndian.PutUint32(b[36:], h.payload)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.durableUpTo))
	binary.LittleEndian.PutUint32(b[48:], h.payloadCRC)
	binary.LittleEndian.PutUint32(b[60:], checksum(b[:60]))
}

// decodeFrameHeader reports whether b begins with a valid header of a frame at offset. A salt of 0
// matches any: the first frame of a segment whose header is lost tells the salt.
func decodeFrameHeader(b []byte, salt uint64, offset int64) (frameHeader, bool) {
	if len(b) < frameHeaderBytes || binary.LittleEndian.Uint32(b) != frameMagic ||
		binary.LittleEndian.Uint32(b[60:]) != checksum(b[:60]) {
		return frameHeader{}, false
	}
	h := frameHeader{
		kind:        b[4],
		salt:        binary.LittleEndian.Uint64(b[8:]),
		offset:      int64(binary.LittleEndian.Uint64(b[16:])),
		firstSeq:    binary.LittleEndian.Uint64(b[24:]),
		count:       binary.LittleEndian.Uint32(b[32:]),
		payload:     binary.LittleEndian.Uint32(b[36:]),
		durableUpTo: int64(binary.LittleEndian.Uint64(b[40:])),
		payloadCRC:  binary.LittleEndian.Uint32(b[48:]),
		boxed:       b[5] == boxedVersion,
	}
	return h, isKnownFrame(b) && h.offset == offset && (salt == 0 || h.salt == salt)
}

// isKnownFrame reports whether version, flags and type of a frame header are some that this program
// writes.
func isKnownFrame(b []byte) bool {
	flags := binary.LittleEndian.Uint16(b[6:])
	known := b[5] == formatVersion || b[5] == boxedVersion && b[4] >= frameSnapshot
	return known && flags == 0 && b[4] >= frameEvents && b[4] <= frameDelta
}

// isNewerFrame reports whether b begins with the sound header of a frame at offset, of that salt,
// that this program does not know: it is no damage, and nobody but a newer program can have made
// it. A salt of 0 matches any.
func isNewerFrame(b []byte, salt uint64, offset int64) bool {
	return len(b) >= frameHeaderBytes && binary.LittleEndian.Uint32(b) == frameMagic &&
		binary.LittleEndian.Uint32(b[60:]) == checksum(b[:60]) && !isKnownFrame(b) &&
		int64(binary.LittleEndian.Uint64(b[16:])) == offset &&
		(salt == 0 || binary.LittleEndian.Uint64(b[8:]) == salt)
}

// newerFormat is the refusal of a file that is sound and not understood. Nothing of it is damage,
// and nothing may be done to it.
func newerFormat(name string) error {
	return pillarbox.Invalid(
		"open %s: written in a newer format; use the version of pillarbox that wrote it", name)
}
