package seglog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// chunk is one readable piece of a segment: the records of a frame, or what could be saved of a damaged range.
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

// walker reads the frames of one segment in order. It never reads at or behind limit, and it does not trust
// what it reads: a frame counts only if its checksums match.
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

	// Everything below proven was synced for certain, and the event there is provenSeq. 0 where nothing has said so yet.
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
		c.damage = append(c.damage, w.corrupt(w.offset, fmt.Sprintf("events %d to %d are missing before this frame", w.seq, header.firstSeq-1)))
		c.firstSeq, c.lost, c.end = w.seq, header.firstSeq-w.seq, w.offset
		return c, nil
	}
	w.prove(header)
	switch header.kind {
	case frameEvents:
		var ok bool
		if c.records, ok = splitRecords(payload, int(header.count)); !ok {
			c.lost = uint64(header.count)
			c.damage = append(c.damage, w.corrupt(w.offset, "the records do not fit their frame, whose checksum is right; whoever wrote it had a bug"))
		}
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

// prove takes a sound frame's word for what was synced before it was written: all that stands before it, or all but a mark.
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

// dropRepeated takes away records whose sequence numbers were there before. No writer makes such a frame; two
// events under one number could not be told apart when they are settled.
func (w *walker) dropRepeated(c *chunk) {
	c.damage = append(c.damage, w.corrupt(c.offset, fmt.Sprintf("the frame begins at event %d, and event %d was to come", c.firstSeq, w.seq)))
	repeated := min(w.seq-c.firstSeq, uint64(len(c.records)))
	c.records = c.records[repeated:]
	c.lost -= min(c.lost, w.seq-c.firstSeq-repeated)
	c.firstSeq = w.seq
}

// frameAt returns the frame at the offset. payload is nil, without an error, where no valid frame is there.
func (w *walker) frameAt(offset int64) (frameHeader, []byte, error) {
	b, err := w.view(offset, frameHeaderBytes)
	if err != nil {
		return frameHeader{}, nil, err
	}
	header, ok := decodeFrameHeader(b, w.salt, offset)
	if !ok || header.kind > frameLost || offset+frameHeaderBytes+int64(header.payload) > w.limit {
		return frameHeader{}, nil, nil
	}
	payload, err := w.view(offset+frameHeaderBytes, int(header.payload))
	if err != nil {
		return frameHeader{}, nil, err
	}
	if len(payload) != int(header.payload) || checksum(payload) != header.payloadCRC || !plausible(header) {
		return frameHeader{}, nil, nil
	}
	if payload == nil {
		payload = []byte{}
	}
	return header, payload, nil
}

func plausible(header frameHeader) bool {
	if header.kind == frameEvents {
		return uint64(header.count)*(recordHeaderBytes+lengthBytes) <= uint64(header.payload)
	}
	return header.payload == 0
}

// splitRecords cuts the payload of a sound frame. Its checksum covers lengths and records.
func splitRecords(payload []byte, count int) (records []record, ok bool) {
	lengths := payload[len(payload)-count*lengthBytes:]
	text := string(payload[:len(payload)-count*lengthBytes])
	records = make([]record, count)
	for i := range records {
		length := int(binary.LittleEndian.Uint32(lengths[i*lengthBytes:]))
		if recordHeaderBytes+length > len(text) {
			return nil, false
		}
		records[i] = record{text: text[recordHeaderBytes : recordHeaderBytes+length], bytes: int64(recordHeaderBytes + length + lengthBytes)}
		records[i].missing = records[i].text == lostRecord
		text = text[recordHeaderBytes+length:]
	}
	return records, true
}

// damaged saves what can be saved between the offset and the next sound frame, or the limit. It returns nil
// at the clean end of an unscanned tail: zeros to the limit.
func (w *walker) damaged() (*chunk, error) {
	next, nextSeq, synced, err := w.nextSound(w.offset)
	if err != nil {
		return nil, err
	}
	if next == w.offset {
		if w.couldNotRead(w.offset, w.limit) {
			return &chunk{offset: w.offset, end: w.limit, firstSeq: w.seq, torn: true, unread: true}, nil
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
		// The last write of a life that was cut off, whether it is read now or was read at a later start:
		// it was never acknowledged, and what was whole of it is kept.
		c.damage = nil
		c.dropMissing()
	}
	return c, nil
}

func (c *chunk) dropMissing() {
	c.records = slices.DeleteFunc(c.records, func(rec record) bool { return rec.missing })
}

// part is what was saved at one damaged frame: its records in order, with a place for each that is missing.
type part struct {
	first   uint64 // sequence number of the first record, 0 where the header does not say
	records []record
	damage  []pillarbox.CorruptError
}

// maxGap bounds the places that are kept for missing events of one damaged range, so that what a header says can't fill the
// memory. Where there are more, they are counted behind the others.
const maxGap = 1 << 20

// addPart puts the records of a frame where their header says, so that each event has the sequence number that it was given,
// whatever is missing before it. nextSeq is that of the next sound frame, 0 where there is none.
func (c *chunk) addPart(p part, nextSeq uint64) {
	c.damage = append(c.damage, p.damage...)
	at := c.firstSeq + uint64(len(c.records))
	fits := nextSeq == 0 || p.first+uint64(len(p.records)) <= nextSeq
	if p.first > at && p.first-at <= maxGap && fits {
		for range p.first - at {
			c.records = append(c.records, record{missing: true})
		}
	}
	c.records = append(c.records, p.records...)
}

// nextSound finds the next sound frame behind the offset, or the limit, with the sequence number there and
// how far the file was synced when the frame was written. In an unscanned tail without a further sound frame
// it returns the end of what is not zero, and 0 for the sequence number.
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

// salvage reads single records at a damaged frame. It returns the offset from which to go on looking.
func (w *walker) salvage(at, limit int64) (p part, end int64, err error) {
	region, err := w.view(at, int(limit-at))
	if err != nil {
		return part{}, 0, err
	}
	header, ok := decodeFrameHeader(region, w.salt, at)
	if ok && header.kind == frameEvents && frameHeaderBytes+int64(header.payload) <= int64(len(region)) && plausible(header) {
		p.first = header.firstSeq
		p.records, p.damage = w.salvageByTable(header, region[frameHeaderBytes:frameHeaderBytes+int(header.payload)])
		return p, at + header.size(), nil
	}
	used := frameHeaderBytes
	for {
		text, ok := w.recordAt(region[min(used, len(region)):], 0)
		if !ok {
			break
		}
		p.records = append(p.records, record{text: text, bytes: int64(recordHeaderBytes + len(text) + lengthBytes)})
		used += recordHeaderBytes + len(text)
	}
	if len(p.records) == 0 {
		return part{}, at + sectorBytes, nil
	}
	p.damage = append(p.damage, w.corrupt(at, fmt.Sprintf("damaged frame header; %d of its records are sound", len(p.records))))
	return p, at + alignUp(int64(used)), nil
}

// salvageByTable reads the records of a frame whose header is sound and whose payload is not. A record's
// length stands twice, so that one wrong length costs no more than its own record.
func (w *walker) salvageByTable(header frameHeader, payload []byte) (records []record, damage []pillarbox.CorruptError) {
	table := payload[len(payload)-int(header.count)*lengthBytes:]
	body := payload[:len(payload)-len(table)]
	at := 0
	for i := range int(header.count) {
		if at >= len(body) {
			records = append(records, record{missing: true})
			continue
		}
		listed := int(binary.LittleEndian.Uint32(table[i*lengthBytes:]))
		text, ok := w.recordAt(body[at:], 0)
		if !ok {
			text, ok = w.recordAt(body[at:], listed)
		}
		if ok {
			records = append(records, record{text: text, bytes: int64(recordHeaderBytes + len(text) + lengthBytes)})
			at += recordHeaderBytes + len(text)
			continue
		}
		offset := header.offset + frameHeaderBytes + int64(at)
		damage = append(damage, w.corrupt(offset, fmt.Sprintf("record %d of %d is damaged", i+1, header.count)))
		records = append(records, record{missing: true})
		at += recordHeaderBytes + w.damagedLength(body[at:], listed, table, i)
	}
	if len(damage) == 0 {
		damage = append(damage, w.corrupt(header.offset, "damaged frame; all of its records are sound"))
	}
	return records, damage
}

// damagedLength decides how long a damaged record is: the length that makes a sound record follow, or, for
// the last one, the one in the table.
func (w *walker) damagedLength(body []byte, listed int, table []byte, i int) int {
	own := listed
	if len(body) >= recordHeaderBytes {
		own = int(binary.LittleEndian.Uint32(body))
	}
	following := 0
	if (i+1)*lengthBytes < len(table) {
		following = int(binary.LittleEndian.Uint32(table[(i+1)*lengthBytes:]))
	}
	for _, length := range []int{listed, own} {
		behind := recordHeaderBytes + length
		if length < 0 || behind > len(body) {
			continue
		}
		if _, ok := w.recordAt(body[behind:], 0); ok {
			return length
		}
		if _, ok := w.recordAt(body[behind:], following); ok {
			return length
		}
	}
	return listed
}

// recordAt reads one record. length 0 means the record's own length.
func (w *walker) recordAt(b []byte, length int) (string, bool) {
	if len(b) < recordHeaderBytes || w.salt == 0 {
		return "", false
	}
	if length == 0 {
		length = int(binary.LittleEndian.Uint32(b))
	}
	if length <= 0 || length > len(b)-recordHeaderBytes {
		return "", false
	}
	body := b[recordHeaderBytes : recordHeaderBytes+length]
	if recordChecksum(w.salt, body) != binary.LittleEndian.Uint32(b[4:]) {
		return "", false
	}
	return string(body), true
}

// view returns up to n bytes at offset, fewer at the limit. The slice is valid until the next call.
func (w *walker) view(offset int64, n int) ([]byte, error) {
	n = int(min(int64(n), w.limit-offset))
	if n <= 0 {
		return nil, nil
	}
	from := offset - w.bufferStart
	if from < 0 || from+int64(n) > int64(len(w.buffer)) {
		if err := w.fill(offset, n); err != nil {
			return nil, err
		}
		from = 0
	}
	return w.buffer[from:min(from+int64(n), int64(len(w.buffer)))], nil
}

func (w *walker) fill(offset int64, n int) error {
	n = int(min(max(int64(n), readAhead), w.limit-offset))
	if cap(w.buffer) < n {
		w.buffer = make([]byte, n)
	}
	read, err := w.file.ReadAt(w.buffer[:n], offset)
	if vfs.IsUnreadable(err) || err == nil && len(w.unreadable) > 0 {
		read, err = w.fillPages(w.buffer[:n], offset)
	}
	w.buffer, w.bufferStart = w.buffer[:read], offset
	if err != nil && !errors.Is(err, io.EOF) {
		w.buffer = w.buffer[:0]
		return fmt.Errorf("read %s at %d: %w", w.name, offset, unavailable(err))
	}
	return nil
}

// pageTries is how often a page is read at once before it counts as unreadable for now.
const pageTries = 3

// fillPages reads page by page, and puts zeros in the place of those that the disk can't read: the checksums say what that
// costs. The kernel reads whole pages, so nothing smaller can be saved.
func (w *walker) fillPages(b []byte, offset int64) (read int, err error) {
	for read < len(b) {
		at := offset + int64(read)
		page := at &^ (pageBytes - 1)
		n := int(min(page+pageBytes-at, int64(len(b)-read)))
		got, err := w.file.ReadAt(b[read:read+n], at)
		for range pageTries - 1 {
			if !vfs.IsUnreadable(err) {
				break
			}
			got, err = w.file.ReadAt(b[read:read+n], at)
		}
		switch {
		case vfs.IsUnreadable(err):
			if w.unreadable == nil {
				w.unreadable = map[int64]bool{}
			}
			w.unreadable[page] = true
			clear(b[read : read+n])
			got = n
		case err != nil:
			return read + got, err
		default:
			delete(w.unreadable, page)
		}
		read += got
	}
	return read, nil
}

// couldNotRead reports whether zeros stand for a part of the range.
func (w *walker) couldNotRead(from, to int64) bool {
	for page := range w.unreadable {
		if page < to && page+pageBytes > from {
			return true
		}
	}
	return false
}

func (w *walker) corrupt(offset int64, reason string) pillarbox.CorruptError {
	return pillarbox.CorruptError{File: w.name, Offset: offset, Reason: reason}
}
