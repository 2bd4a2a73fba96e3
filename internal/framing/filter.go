package framing

import "bytes"

// Limits of a chunked body. They are net/http's or below, so that what passes here passes there.
const (
	maxChunkLine    = 1 << 10  // of a size with its extensions
	maxChunkDigits  = 16       // hexadecimal, with leading zeros: there are senders that pad
	maxChunkSize    = 1 << 62  // bytes
	maxTrailerBytes = 4 << 10  // of all trailers of a request
	defaultMaxHead  = 32 << 10 // where nothing is set
)

var (
	errChunkLine    = refusal("a chunk does not begin with its size, ended by CRLF")
	errChunkEnd     = refusal("a chunk does not end with CRLF")
	errTrailer      = refusal("a trailer is not of the form name: value, ended by CRLF")
	errTrailerName  = refusal("a trailer says what only a header can say")
	errTrailerBytes = refusal("the trailers are too long")
)

// place is where in a request a Filter stands.
type place int

const (
	before    place = iota // its first byte
	inHead                 // until the empty line
	inBody                 // of a known length
	inSize                 // of a chunk
	inChunk                // its bytes
	afterLine              // the CRLF behind them
	inTrailer              // until the empty line
)

// Filter follows the bytes of a connection through all of its requests. The zero value stands
// before the first one, with the default limit.
type Filter struct {
	MaxHead int // bytes of a head; 0 is 32 KiB

	place    place
	scan     Scan  // of the head, or of the line, that is not complete
	left     int64 // bytes of the body or chunk that are to come
	trailers int   // bytes of them
	skipped  bool  // an empty line before this request
	heads    int64 // that were good
	head     Head
}

// Between reports whether the next byte is the first of a request.
func (f *Filter) Between() bool { return f.place == before }

// InHead reports whether a head has begun and is not complete.
func (f *Filter) InHead() bool { return f.place == inHead }

// Heads is how many heads were settled.
func (f *Filter) Heads() int64 { return f.heads }

// Step judges what stands at the start of b: n bytes of it are settled, and are to be passed on, or
// to be left out where skip is true. With 0, more has to come: the next call has the same bytes and
// those behind them. An error is final.
func (f *Filter) Step(b []byte) (n int, skip bool, err error) {
	if len(b) == 0 {
		return 0, false, nil
	}
	switch f.place {
	case before:
		return f.begin(b)
	case inHead:
		n, err = f.headEnd(b)
	case inBody, inChunk:
		n = f.bytes(b)
	case inSize:
		n, err = f.line(b, maxChunkLine, errChunkLine, f.size)
	case afterLine:
		n, err = f.chunkEnd(b)
	case inTrailer:
		n, err = f.line(b, maxTrailerBytes-f.trailers, errTrailerBytes, f.trailer)
	}
	return n, false, err
}

// begin looks at the first byte of a request, or at the one empty line that may stand before it
// (RFC 9112, section 2.2).
func (f *Filter) begin(b []byte) (n int, skip bool, err error) {
	switch {
	case b[0] == '\r' && !f.skipped && len(b) == 1:
		return 0, false, nil
	case b[0] == '\r' && !f.skipped && b[1] == '\n':
		f.skipped = true
		return 2, true, nil
	case !tokens[b[0]]:
		return 0, false, errBefore
	}
	f.place, f.scan = inHead, Scan{}
	n, err = f.headEnd(b)
	return n, false, err
}

func (f *Filter) headEnd(b []byte) (int, error) {
	limit := f.MaxHead
	if limit <= 0 {
		limit = defaultMaxHead
	}
	complete, err := f.scan.Next(b[:min(len(b), limit)])
	switch {
	case err != nil:
		return 0, err
	case !complete && len(b) > limit:
		return 0, ErrHeadTooLarge
	case !complete:
		return 0, nil
	}
	if _, err := f.head.Read(b); err != nil {
		return 0, err
	}
	f.skipped, f.scan = false, Scan{}
	f.heads++
	switch {
	case f.head.Chunked:
		f.place, f.trailers = inSize, 0
	case f.head.Length > 0:
		f.place, f.left = inBody, f.head.Length
	default:
		f.place = before
	}
	return f.head.Size, nil
}

func (f *Filter) bytes(b []byte) int {
	n := int(min(int64(len(b)), f.left))
	if f.left -= int64(n); f.left == 0 && f.place == inBody {
		f.place = before
	} else if f.left == 0 {
		f.place = afterLine
	}
	return n
}

// line waits for a whole line and lets it be judged.
func (f *Filter) line(b []byte, limit int, tooLong error,
	judge func(line []byte) error) (int, error) {
	end := bytes.IndexByte(b[f.scan.at:], '\n')
	if end < 0 {
		f.scan.at = len(b)
		if len(b) >= limit {
			return 0, tooLong
		}
		return 0, nil
	}
	end += f.scan.at
	f.scan = Scan{}
	switch {
	case end == 0 || b[end-1] != '\r':
		return 0, errLineEnd
	case end >= limit:
		return 0, tooLong
	}
	return end + 1, judge(b[:end-1])
}

// size reads the line before a chunk: its size, and extensions that nobody wants (RFC 9112, section
// 7.1).
func (f *Filter) size(line []byte) error {
	digits, size := 0, int64(0)
	for digits < len(line) {
		value, ok := hex(line[digits])
		if !ok {
			break
		}
		if digits++; digits > maxChunkDigits || size > maxChunkSize>>4 {
			return errChunkLine
		}
		size = size<<4 | int64(value)
	}
	extensions := line[digits:]
	if digits == 0 || len(extensions) > 0 && extensions[0] != ';' || !isText(extensions) {
		return errChunkLine
	}
	if f.place, f.left = inChunk, size; size == 0 {
		f.place = inTrailer
	}
	return nil
}

func hex(c byte) (value byte, ok bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func (f *Filter) chunkEnd(b []byte) (int, error) {
	switch {
	case b[0] != '\r' || len(b) > 1 && b[1] != '\n':
		return 0, errChunkEnd
	case len(b) == 1:
		return 0, nil
	}
	f.place = inSize
	return 2, nil
}

// trailer reads one line behind the last chunk. The names that say where a request ends can't say
// it here.
func (f *Filter) trailer(line []byte) error {
	if len(line) == 0 {
		f.place = before
		return nil
	}
	f.trailers += len(line) + 2
	field, ok := cutField(line)
	if !ok {
		return errTrailer
	}
	for _, name := range []string{"content-length", "transfer-encoding", "host", "trailer"} {
		if EqualFold(field.Name, name) {
			return errTrailerName
		}
	}
	return nil
}
