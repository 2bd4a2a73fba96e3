package seglog

import (
	"encoding/binary"
	"fmt"
	"slices"

	"pillarbox"
)

func (c *chunk) dropMissing() {
	c.records = slices.DeleteFunc(c.records, func(rec record) bool { return rec.missing })
}

// part is what was saved at one damaged frame: its records in order, with a place for each that is
// missing.
type part struct {
	first   uint64 // sequence number of the first record, 0 where the header does not say
	records []record
	damage  []pillarbox.CorruptError
}

// maxGap bounds the places that are kept for missing events of one damaged range, so that what a
// header says can't fill the memory. Where there are more, they are counted behind the others.
const maxGap = 1 << 20

// addPart puts the records of a frame where their header says, so that each event has the sequence
// number that it was given, whatever is missing before it. nextSeq is that of the next sound frame,
// 0 where there is none.
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

// salvage reads single records at a damaged frame. It returns the offset from which to go on
// looking.
func (w *walker) salvage(at, limit int64) (p part, end int64, err error) {
	region, err := w.view(at, int(limit-at))
	if err != nil {
		return part{}, 0, err
	}
	header, ok := decodeFrameHeader(region, w.salt, at)
	ok = ok && header.kind == frameEvents && plausible(header)
	if ok && frameHeaderBytes+int64(header.payload) <= int64(len(region)) {
		p.first = header.firstSeq
		p.records, p.damage = w.salvageByTable(header,
			region[frameHeaderBytes:frameHeaderBytes+int(header.payload)])
		return p, at + header.size(), nil
	}
	most := len(region)
	if ok { // the frame ends behind the region: its header says how many there are, and where their table is
		region = region[:min(int64(len(region)), frameHeaderBytes+int64(header.payload)-int64(header.count)*lengthBytes)]
		most = int(header.count)
	}
	used := frameHeaderBytes
	for len(p.records) < most {
		text, ok := w.recordAt(region[min(used, len(region)):], 0)
		if !ok {
			break
		}
		p.records = append(p.records,
			record{text: text, bytes: int64(recordHeaderBytes + len(text) + lengthBytes)})
		used += recordHeaderBytes + len(text)
	}
	if len(p.records) == 0 {
		return part{}, at + sectorBytes, nil
	}
	reason := fmt.Sprintf("damaged frame header; %d of its records are sound", len(p.records))
	p.damage = append(p.damage, w.corrupt(at, reason))
	return p, at + alignUp(int64(used)), nil
}

// salvageByTable reads the records of a frame whose header is sound and whose payload is not. A
// record's length stands twice, so that one wrong length costs no more than its own record.
func (w *walker) salvageByTable(
	header frameHeader, payload []byte,
) (records []record, damage []pillarbox.CorruptError) {
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
			records = append(records,
				record{text: text, bytes: int64(recordHeaderBytes + len(text) + lengthBytes)})
			at += recordHeaderBytes + len(text)
			continue
		}
		offset := header.offset + frameHeaderBytes + int64(at)
		damage = append(damage,
			w.corrupt(offset, fmt.Sprintf("record %d of %d is damaged", i+1, header.count)))
		records = append(records, record{missing: true})
		at += recordHeaderBytes + w.damagedLength(body[at:], listed, table, i)
	}
	if len(damage) == 0 {
		damage = append(damage,
			w.corrupt(header.offset, "damaged frame; all of its records are sound"))
	}
	return records, damage
}

// damagedLength decides how long a damaged record is: the length that makes a sound record follow,
// or, for the last one, the one in the table.
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
