package seglog

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"unsafe"

	"pillarbox"
	"pillarbox/internal/atrest"
)

// tagBox is the one field of a record that is encrypted: a box with all its other fields. A record
// keeps its box wherever it is copied to, so that what has no key can check, mend and copy it.
const tagBox = 126

// boxOverhead is at most how much longer a record is for being sealed.
const boxOverhead = 1 + binary.MaxVarintLen32 + atrest.Overhead

// sizeBound is at least the size of the event's record in this log.
func (c *core) sizeBound(event *pillarbox.Event) int64 {
	if c.opts.AtRest.Seals() {
		return recordSizeBound(event) + boxOverhead
	}
	return recordSizeBound(event)
}

// appendBox appends the fields of a record, sealed.
func appendBox(b, fields []byte, keys *atrest.Keys) ([]byte, error) {
	b = binary.AppendUvarint(append(b, tagBox), uint64(len(fields)+atrest.Overhead))
	return keys.Seal(b, fields, atrest.Record)
}

// boxOf returns the box of a record that is sealed; false for any other record.
func boxOf(text string) (box string, boxed bool) {
	if len(text) == 0 || text[0] != tagBox {
		return "", false
	}
	length, n := uvarint(text[1:])
	if n <= 0 || length != uint64(len(text)-1-n) {
		return "", true // as no box is: it does not open
	}
	return text[1+n:], true
}

// openRecord returns the fields of a record, and appends them to plain where they were sealed.
// Errors: *atrest.NoKeyError; ErrCorrupt.
func openRecord(text string, plain []byte, keys *atrest.Keys) (string, []byte, error) {
	box, boxed := boxOf(text)
	if !boxed {
		return text, plain, nil
	}
	start := len(plain)
	opened, err := keys.Open(plain, unsafe.Slice(unsafe.StringData(box), len(box)), atrest.Record)
	if err != nil {
		return "", plain, err
	}
	return unsafe.String(unsafe.SliceData(opened[start:]), len(opened)-start), opened, nil
}

// openAndDecode reads one record, sealed or not. Errors: *atrest.NoKeyError; ErrCorrupt.
func openAndDecode(text string, keys *atrest.Keys) (*pillarbox.Event, error) {
	fields, _, err := openRecord(text, nil, keys)
	if err != nil {
		return nil, err
	}
	return decodeRecord(fields)
}

// open takes the records of a chunk out of their boxes. Those whose key is not at hand are missing for
// as long, like those on a page that the disk can't read; those that were changed are damaged.
func (c *chunk) open(keys *atrest.Keys, name string) {
	size := 0
	for _, rec := range c.records {
		if box, boxed := boxOf(rec.text); boxed {
			size += len(box)
		}
	}
	if size == 0 {
		return
	}
	plain := make([]byte, 0, size) // of all of them, which are used and forgotten together
	said := map[bool]bool{}
	for i := range c.records {
		rec := &c.records[i]
		text, rest, err := openRecord(rec.text, plain, keys)
		if plain = rest; err == nil {
			rec.text = text
			continue
		}
		absent := isNoKey(err)
		rec.missing, c.unread = true, c.unread || absent
		if !said[absent] {
			said[absent] = true
			c.damage = append(c.damage, pillarbox.CorruptError{File: name, Offset: c.offset,
				Reason: fmt.Sprintf("record %d of %d: %v", i+1, len(c.records), err)})
		}
	}
}

// boxed reports whether a record of the chunk is in a box.
func (c *chunk) boxed() bool {
	for _, rec := range c.records {
		if _, boxed := boxOf(rec.text); boxed {
			return true
		}
	}
	return false
}

// boxed reports whether a record of the tail is in a box.
func (t *tail) boxed() bool {
	if t != nil {
		for _, c := range t.chunks {
			if c.boxed() {
				return true
			}
		}
	}
	return false
}

func isNoKey(err error) bool {
	var absent *atrest.NoKeyError
	return errors.As(err, &absent)
}

// encodeState is the payload of a state's frame, and whether it is sealed.
func encodeState(content *stateFrame, keys *atrest.Keys) (payload []byte, boxed bool, err error) {
	payload, err = json.Marshal(content)
	if err == nil && keys.Seals() {
		boxed = true
		payload, err = keys.Seal(nil, payload, atrest.State)
	}
	if err != nil {
		return nil, false, fmt.Errorf("encode delivery state: %w", err)
	}
	return payload, boxed, nil
}

// decodeState undoes encodeState. The frame is nil where the payload is none of ours; the error is a
// *atrest.NoKeyError.
func decodeState(payload []byte, boxed bool, keys *atrest.Keys) (*stateFrame, error) {
	if boxed {
		var err error
		if payload, err = keys.Open(nil, payload, atrest.State); isNoKey(err) {
			return nil, err
		} else if err != nil {
			return nil, nil
		}
	}
	frame := &stateFrame{}
	if json.Unmarshal(payload, frame) != nil || !frame.plausible() {
		return nil, nil
	}
	return frame, nil
}
