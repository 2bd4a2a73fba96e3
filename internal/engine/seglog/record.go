package seglog

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"unsafe"

	"pillarbox"
)

// The fields of a record: a tag, the length as an unsigned varint, the bytes. Fields that are empty
// are left out. Tags from 128 on may be skipped by a reader that does not know them; below, an
// unknown tag means that the record can't be understood. 13 and 14 were reserved once, and are not
// used.
const (
	tagTimestamp     = 1 // 8 bytes, microseconds, little endian
	tagRequestID     = 2 // text
	tagRequestUUID   = 3 // 16 bytes: a UUID in its canonical text form
	tagSource        = 4
	tagMethod        = 5
	tagPath          = 6
	tagQuery         = 7
	tagContentType   = 8
	tagRemoteAddr    = 9
	tagTraceparent   = 10
	tagHeader        = 11 // varint length of the name, name, value; repeated, in order
	tagBody          = 12
	tagLost          = 127 // the whole record stands for an event that a repair could not save; it has no value
	tagFirstSkipable = 128
	tagIdempotency   = 128 // 16 bytes of the key's digest, 8 of the fingerprint's, little endian
	tagFacts         = 129 // to 135: one for each of pillarbox.FactNames, in their order
	tagAttribute     = 136 // as tagHeader: varint length of the name, name, value; repeated, sorted by name
)

// lostRecord keeps the place of an event in a frame that was repaired, so that the others keep
// their sequence numbers.
const lostRecord = string(rune(tagLost)) + "\x00"

// appendRecord appends the fields of the event, without the record's header.
func appendRecord(b []byte, event *pillarbox.Event) []byte {
	b = append(b, tagTimestamp, 8)
	b = binary.LittleEndian.AppendUint64(b, uint64(event.Timestamp))
	if uuid, ok := parseUUID(event.RequestID); ok {
		b = append(b, tagRequestUUID, 16)
		b = append(b, uuid[:]...)
	} else {
		b = appendField(b, tagRequestID, event.RequestID)
	}
	b = appendField(b, tagSource, event.Source)
	b = appendField(b, tagMethod, event.Method)
	b = appendField(b, tagPath, event.Path)
	b = appendField(b, tagQuery, event.Query)
	b = appendField(b, tagContentType, event.ContentType)
	b = appendField(b, tagRemoteAddr, event.RemoteAddr)
	b = appendField(b, tagTraceparent, event.Traceparent)
	for _, field := range event.Header {
		b = appendPair(b, tagHeader, field.Name, field.Value)
	}
	if len(event.Body) > 0 {
		b = binary.AppendUvarint(append(b, tagBody), uint64(len(event.Body)))
		b = append(b, event.Body...)
	}
	if !event.Idempotency.IsZero() {
		b = append(b, tagIdempotency, idempotencyBytes)
		b = append(b, event.Idempotency.Key[:]...)
		b = binary.LittleEndian.AppendUint64(b, event.Idempotency.Fingerprint)
	}
	if event.Facts != nil {
		b = appendFacts(b, event.Facts)
	}
	return b
}

func appendFacts(b []byte, facts *pillarbox.Facts) []byte {
	for i, text := range facts.Texts() {
		b = appendField(b, tagFacts+byte(i), *text)
	}
	for _, a := range facts.Attributes {
		b = appendPair(b, tagAttribute, a.Name, a.Value)
	}
	return b
}

// appendPair appends a field that is a name and a value.
func appendPair(b []byte, tag byte, name, value string) []byte {
	size := uvarintSize(len(name)) + len(name) + len(value)
	b = binary.AppendUvarint(append(b, tag), uint64(size))
	b = binary.AppendUvarint(b, uint64(len(name)))
	return append(append(b, name...), value...)
}

// readPair undoes appendPair.
func readPair(what, text string) (name, value string, err error) {
	length, n := uvarint(text)
	if n <= 0 || length > uint64(len(text)-n) {
		return "", "", fmt.Errorf("%s name is cut short: %w", what, pillarbox.ErrCorrupt)
	}
	return text[n : n+int(length)], text[n+int(length):], nil
}

const idempotencyBytes = 16 + 8

func appendField(b []byte, tag byte, value string) []byte {
	if value == "" {
		return b
	}
	b = binary.AppendUvarint(append(b, tag), uint64(len(value)))
	return append(b, value...)
}

func uvarintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// recordSizeBound is at least the size of the event's record, header and length entry included.
func recordSizeBound(event *pillarbox.Event) int64 {
	const perField = 1 + binary.MaxVarintLen32
	size := recordHeaderBytes + lengthBytes + 11*perField + 8 + idempotencyBytes +
		len(event.RequestID) + len(event.Source) + len(event.Method) + len(event.Path) +
		len(event.Query) + len(event.ContentType) + len(event.RemoteAddr) +
		len(event.Traceparent) + len(event.Body)
	for _, field := range event.Header {
		size += 2*perField + len(field.Name) + len(field.Value)
	}
	if event.Facts != nil {
		size += (pillarbox.FactCount+2*len(event.Facts.Attributes))*perField + event.Facts.Bytes()
	}
	return int64(size)
}

// decodeRecord reads the fields of one record. All of the event is part of text, the body too:
// nobody may change it.
func decodeRecord(text string) (*pillarbox.Event, error) {
	event := &pillarbox.Event{}
	return event, decodeInto(event, text)
}

// decodeInto is decodeRecord into an event that is empty.
func decodeInto(event *pillarbox.Event, text string) error {
	for len(text) > 0 {
		tag := text[0]
		length, n := uvarint(text[1:])
		if n <= 0 || length > uint64(len(text)-1-n) {
			return fmt.Errorf("field %d is cut short: %w", tag, pillarbox.ErrCorrupt)
		}
		value := text[1+n : 1+n+int(length)]
		text = text[1+n+int(length):]
		if err := setField(event, tag, value); err != nil {
			return err
		}
	}
	if event.RequestID == "" {
		return fmt.Errorf("record without a request id: %w", pillarbox.ErrCorrupt)
	}
	return nil
}

func setField(event *pillarbox.Event, tag byte, value string) error {
	switch tag {
	case tagTimestamp:
		if len(value) != 8 {
			return fmt.Errorf("timestamp of %d bytes: %w", len(value), pillarbox.ErrCorrupt)
		}
		event.Timestamp = pillarbox.Timestamp(binary.LittleEndian.Uint64([]byte(value)))
	case tagRequestID:
		event.RequestID = value
	case tagRequestUUID:
		if len(value) != 16 {
			return fmt.Errorf("request id of %d bytes: %w", len(value), pillarbox.ErrCorrupt)
		}
		event.RequestID = formatUUID([16]byte([]byte(value)))
	case tagSource:
		event.Source = value
	case tagMethod:
		event.Method = value
	case tagPath:
		event.Path = value
	case tagQuery:
		event.Query = value
	case tagContentType:
		event.ContentType = value
	case tagRemoteAddr:
		event.RemoteAddr = value
	case tagTraceparent:
		event.Traceparent = value
	case tagHeader:
		name, rest, err := readPair("header", value)
		if err != nil {
			return err
		}
		event.Header = append(event.Header, pillarbox.HeaderField{Name: name, Value: rest})
	case tagBody:
		event.Body = unsafe.Slice(unsafe.StringData(value), len(value))
	case tagIdempotency:
		if len(value) != idempotencyBytes {
			return fmt.Errorf("idempotency key of %d bytes: %w", len(value), pillarbox.ErrCorrupt)
		}
		event.Idempotency.Key = [16]byte([]byte(value[:16]))
		event.Idempotency.Fingerprint = binary.LittleEndian.Uint64([]byte(value[16:]))
	default:
		if tag < tagFirstSkipable {
			return fmt.Errorf("field %d is not known: %w", tag, pillarbox.ErrCorrupt)
		}
		return setFact(event, tag, value)
	}
	return nil
}

// setFact reads a field that may be skipped. One that is not known is of a newer writer.
func setFact(event *pillarbox.Event, tag byte, value string) error {
	if tag < tagFacts || tag > tagAttribute {
		return nil
	}
	if event.Facts == nil {
		event.Facts = &pillarbox.Facts{}
	}
	if tag != tagAttribute {
		*event.Facts.Texts()[tag-tagFacts] = value
		return nil
	}
	name, value, err := readPair("attribute", value)
	if err == nil {
		event.Facts.Attributes.Set(name, value)
	}
	return err
}

// uvarint is binary.Uvarint for a string.
func uvarint(text string) (value uint64, n int) {
	var shift uint
	for i := 0; i < len(text) && i < binary.MaxVarintLen64; i++ {
		c := text[i]
		if c < 0x80 {
			return value | uint64(c)<<shift, i + 1
		}
		value |= uint64(c&0x7f) << shift
		shift += 7
	}
	return 0, 0
}

// parseUUID reads the canonical form in lower case only, so that formatUUID gives back the same
// text.
func parseUUID(text string) (uuid [16]byte, ok bool) {
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return uuid, false
	}
	wrong := byte(0)
	for i, at := range hexIndexes {
		high, low := hexDigits[text[at]], hexDigits[text[at+1]]
		wrong |= high | low
		uuid[i] = high<<4 | low&15
	}
	return uuid, wrong < 16
}

// hexIndexes are where the bytes of a UUID stand in its text.
var hexIndexes = [16]uint8{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// hexDigits are the values of hex digits in lower case; 255 is none. Each record has 32 of them to
// be read.
var hexDigits = func() (digits [256]byte) {
	for c := range digits {
		digits[c] = 255
	}
	for i, c := range []byte("0123456789abcdef") {
		digits[c] = byte(i)
	}
	return digits
}()

func formatUUID(uuid [16]byte) string {
	var text [36]byte
	hex.Encode(text[0:8], uuid[0:4])
	hex.Encode(text[9:13], uuid[4:6])
	hex.Encode(text[14:18], uuid[6:8])
	hex.Encode(text[19:23], uuid[8:10])
	hex.Encode(text[24:36], uuid[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
