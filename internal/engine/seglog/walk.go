package seglog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// chunk is one readable piece of a segment: the records of a frame, or what could be saved of a
// damaged range.
type chunk struct {
	offset   int64  // where the frame or the damaged range begins
	end      int64  // where the next frame begins
	firstSeq uint64 // sequence number of the first record; the others follow without a gap
	records  []record
	lost     uint64                   // events behind the records that can't be read
	damage   []pillarbox.CorruptError // what was found, empty for a sound frame
	torn     bool                     // an unfinished write at the end of an unscanned tail: no loss, no rot
	kept     int                      // of what is reported of an end that could not be read
	unread   bool                     // the disk could not read all of it: what is missing may be there another time
}

// missing is how many events of the chunk can't be read.
func (c *chunk) missing() uint64 {
	n := c.lost
	for _, rec := range c.records {
		if rec.missing {
			n++
		}
	}
	return n
}

// nextSeq is the sequence number behind the chunk.
func (c *chunk) nextSeq() uint64 { return c.firstSeq + uint64(len(c.records)) + c.lost }

// record is one verified record, not yet decoded.
type record struct {
	text    string // its fields
	bytes   int64  // its size in the file
	missing bool   // it can't be read, and only keeps the place of its event
}

// walker reads the frames of one segment in order. It never reads at or behind limit, and it does
// not trust what it reads: a frame counts only if its checksums match.
type walker struct {
	file   vfs.File
	name   string
	salt   uint64 // 0 until known
	offset int64
	seq    uint64 // expected at offset
	limit  int64  // end of what may be read
	endSeq uint64 // sequence number at limit, 0 where it is not known (an unscanned tail)

	lastEnd int64 // end of the last sound frame, marks included
	markAt  int64 // offset of the mark that was just passed, 0 for none

	// Everything below proven was synced for certain, and the event there is provenSeq. 0 where
	// nothing has said so yet.
	proven    int64
	provenSeq uint64

	buffer      []byte // file content from bufferStart on
	bufferStart int64
	unreadable  map[int64]bool // pages that the disk did not read the last time, by offset; zeros stand for them
}

// errEnd says that a walk is at its limit.
var errEnd = errors.New("end of segment")

// readAhead is how much of a segment is read at once.
const readAhead = 256 << 10

// next returns the next chunk, or errEnd at the limit. Other errors are of the disk.
func (w *walker) next() (*chunk, error) {
	for w.offset < w.limit {
		header, payload, err := w.frameAt(w.offset)
		if err != nil {
			return nil, err
		}
		var c *chunk
		if payload != nil {
			c, err = w.sound(header, payload)
		} else {
			c, err = w.damaged()
		}
		if err != nil {
			return nil, err
		}
		if c == nil {
			return nil, errEnd
		}
		w.offset, w.seq = c.end, c.nextSeq()
		if len(c.records) > 0 || c.lost > 0 || len(c.damage) > 0 || c.unread {
			return c, nil
		}
	}
	return nil, errEnd
}

// readFault begins what is said of damage that may pass, because the disk did not read it.
const readFault = "the disk can't read it; "

// sound makes the chunk of a frame whose checksums match.
func (w *walker) sound(header frameHeader, payload []byte) (*chunk, error) {
	w.salt, w.lastEnd = header.salt, w.offset+header.size()
	c := &chunk{offset: w.offset, end: w.offset + header.size(), firstSeq: header.firstSeq}
	if w.seq != 0 && header.kind != frameMark && header.firstSeq > w.seq {
		// Frames are missing before this one, for example because a whole range was overwritten.
		reason := fmt.Sprintf("events %d to %d are missing before this frame",
			w.seq, header.firstSeq-1)
		c.damage = append(c.damage, w.corrupt(w.offset, reason))
		c.firstSeq, c.lost, c.end = w.seq, header.firstSeq-w.seq, w.offset
		return c, nil
	}
	w.prove(header)
	switch header.kind {
	case frameEvents:
		c.records = splitRecords(payload, int(header.count))
	case frameLost:
		c.lost = uint64(header.count)
	case frameMark:
		c.firstSeq = w.seq
	}
	if c.firstSeq < w.seq {
		w.dropRepeated(c)
	}
	return c, nil
}

// prove takes a sound frame's word for what was synced before it was written: all that stands
// before it, or all but a mark.
func (w *walker) prove(header frameHeader) {
	if upTo := header.durableUpTo; upTo == w.offset || upTo == w.markAt && upTo != 0 {
		w.proven, w.provenSeq = upTo, w.seq
	}
	w.markAt = 0
	if header.kind == frameMark {
		w.markAt = w.offset
	}
}

// behindProven drops the chunks that are proven to be on the disk.
func (w *walker) behindProven(chunks []*chunk) []*chunk {
	return slices.DeleteFunc(chunks, func(c *chunk) bool { return c.offset < w.proven })
}

// dropRepeated takes away records whose sequence numbers were there before. No writer makes such a
// frame; two events under one number could not be told apart when they are settled.
func (w *walker) dropRepeated(c *chunk) {
	reason := fmt.Sprintf("the frame begins at event %d, and event %d was to come",
		c.firstSeq, w.seq)
	c.damage = append(c.damage, w.corrupt(c.offset, reason))
	repeated := min(w.seq-c.firstSeq, uint64(len(c.records)))
	c.records = c.records[repeated:]
	c.lost -= min(c.lost, w.seq-c.firstSeq-repeated)
	c.firstSeq = w.seq
}

// frameAt returns the frame at the offset. payload is nil, without an error, where no valid frame
// is there.
func (w *walker) frameAt(offset int64) (frameHeader, []byte, error) {
	b, err := w.view(offset, frameHeaderBytes)
	if err != nil {
		return frameHeader{}, nil, err
	}
	header, ok := decodeFrameHeader(b, w.salt, offset)
	if !ok && w.salt != 0 && isNewerFrame(b, w.salt, offset) {
		return frameHeader{}, nil, newerFormat(w.name)
	}
	if !ok || header.kind > frameLost || offset+frameHeaderBytes+int64(header.payload) > w.limit {
		return frameHeader{}, nil, nil
	}
	payload, err := w.view(offset+frameHeaderBytes, int(header.payload))
	if err != nil {
		return frameHeader{}, nil, err
	}
	if len(payload) != int(header.payload) || checksum(payload) != header.payloadCRC ||
		!plausible(header) || header.kind == frameEvents && !fits(payload, int(header.count)) {
		return frameHeader{}, nil, nil
	}
	if payload == nil {
		payload = []byte{}
	}
	return header, payload, nil
}

// plausible reports whether a header can be of a frame that a writer has made: what has no events
// has no payload.
func plausible(header frameHeader) bool {
	if header.kind == frameEvents && header.count > 0 {
		return uint64(header.count)*(recordHeaderBytes+lengthBytes) <= uint64(header.payload)
	}
	return header.payload == 0
}

// lengthAt is an entry of the table at the end of a payload.
func lengthAt(payload []byte, count, i int) int64 {
	return int64(binary.LittleEndian.Uint32(payload[len(payload)-(count-i)*lengthBytes:]))
}

// fits reports whether the records of a payload are as long as its table says. Those of a frame in
// which they are not, though its checksum is right, are read one by one, by their own checksums.
func fits(payload []byte, count int) bool {
	rest := int64(len(payload) - count*lengthBytes)
	for i := 0; i < count && rest >= 0; i++ {
		rest -= recordHeaderBytes + lengthAt(payload, count, i)
	}
	return rest == 0
}

// splitRecords cuts the payload of a sound frame. Its checksum covers lengths and records.
func splitRecords(payload []byte, count int) []record {
	text := string(payload[:len(payload)-count*lengthBytes])
	records := make([]record, count)
	for i := range records {
		length := int(lengthAt(payload, count, i))
		records[i] = record{
			text:  text[recordHeaderBytes : recordHeaderBytes+length],
			bytes: int64(recordHeaderBytes + length + lengthBytes),
		}
		records[i].missing = records[i].text == lostRecord
		text = text[recordHeaderBytes+length:]
	}
	return records
}

// damaged saves what can be saved between the offset and the next sound frame, or the limit. It
// returns nil at the clean end of an unscanned tail: zeros to the limit.
func (w *walker) damaged() (*chunk, error) {
	next, nextSeq, synced, err := w.nextSound(w.offset)
	if err != nil {
		return nil, err
	}
	if next == w.offset {
		if w.couldNotRead(w.offset, w.limit) {
			return &chunk{
				offset: w.offset, end: w.limit, firstSeq: w.seq, torn: true, unread: true,
			}, nil
		}
		return nil, nil
	}
	if nextSeq == w.seq && synced <= w.offset {
		// A mark that was written and not synced before the next frame: nothing was promised here.
		return &chunk{offset: w.offset, end: next, firstSeq: w.seq}, nil
	}
	c := &chunk{offset: w.offset, end: next, firstSeq: w.seq, torn: nextSeq == 0}
	for at := w.offset; at < next; {
		part, end, err := w.salvage(at, next)
		if err != nil {
			return nil, err
		}
		c.addPart(part, nextSeq)
		at = end
	}
	c.unread = w.couldNotRead(c.offset, c.end) || c.torn && w.couldNotRead(c.offset, w.limit)
	if len(c.damage) == 0 {
		c.damage = append(c.damage, w.corrupt(w.offset, "damaged frame header"))
	}
	known := w.seq + uint64(len(c.records))
	if nextSeq != 0 && nextSeq < known {
		// The start that found this torn has counted what was whole of it, and nothing else.
		c.dropMissing()
		known = w.seq + uint64(len(c.records))
	}
	if nextSeq > known {
		c.lost = nextSeq - known
	} else if nextSeq != 0 && nextSeq < known {
		surplus := min(known-nextSeq, uint64(len(c.records)))
		c.records = c.records[:uint64(len(c.records))-surplus]
	}
	switch {
	case c.unread:
		for i := range c.damage {
			c.damage[i].Reason = readFault + c.damage[i].Reason
		}
	case c.torn, c.missing() == 0 && next == w.limit:
		// The last write of a life that was cut off, whether it is read now or was read at a later
		// start: it was never acknowledged, and what was whole of it is kept.
		c.damage = nil
		c.dropMissing()
	}
	return c, nil
}

// nextSound finds the next sound frame behind the offset, or the limit, with the sequence number
// there and how far the file was synced when the frame was written. In an unscanned tail without a
// further sound frame it returns the end of what is not zero, and 0 for the sequence number.
func (w *walker) nextSound(offset int64) (next int64, nextSeq uint64, synced int64, err error) {
	dataEnd := offset
	for at := offset; at < w.limit; at += sectorBytes {
		if at > offset {
			header, payload, err := w.frameAt(at)
			if err != nil {
				return 0, 0, 0, err
			}
			if payload != nil {
				w.salt = header.salt
				return at, header.firstSeq, header.durableUpTo, nil
			}
		}
		sector, err := w.view(at, sectorBytes)
		if err != nil {
			return 0, 0, 0, err
		}
		if !allZero(sector) {
			dataEnd = at + sectorBytes
		}
	}
	if w.endSeq == 0 {
		return min(dataEnd, w.limit), 0, w.limit, nil
	}
	return w.limit, w.endSeq, w.limit, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

func (w *walker) corrupt(offset int64, reason string) pillarbox.CorruptError {
	return pillarbox.CorruptError{File: w.name, Offset: offset, Reason: reason}
}
