// Package decode takes the Content-Encoding from a body: gzip, deflate and zstd (RFC 9110, section
// 8.4; RFC 8878).
//
// It promises that what it returns is all that was encoded, to the last byte and with its checksum
// right, or an error; and that no body takes more memory than its limit, or is more than MaxRatio
// times as large as what came, whatever a client has made. It knows no front.
package decode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"pillarbox/internal/protocol"
)

const (
	// MaxRatio is how many times as large as what came a body may get. Texts reach 10 to 50; deflate
	// can reach 1,032 (zlib's documentation, "Maximum Expansion Factor"), which only zeros do.
	MaxRatio = 250
	// FreeBytes may come of any body, whatever its ratio: as much as a source takes by default.
	FreeBytes = 1 << 20
	// maxWindow bounds the memory of one zstd decoder beside the body, in bytes (RFC 8878, section
	// 3.1.1.1.2, recommends that decoders take at least 8 MiB).
	maxWindow = 8 << 20
)

// Encodings lists what can be decoded, as the header Accept-Encoding does.
const Encodings = "gzip, deflate, zstd"

// Encoding is a coding of bodies; the zero value is none.
type Encoding string

// The codings of bodies.
const (
	Identity Encoding = ""
	Gzip     Encoding = "gzip"
	Deflate  Encoding = "deflate" // the format of zlib, as RFC 9110 has it
	Zstd     Encoding = "zstd"
)

// Parse reads the lines of Content-Encoding. Errors: 415, for what is not known and for one coding
// upon another.
func Parse(lines []string) (found Encoding, err error) {
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			coding, known := byName(strings.TrimSpace(name))
			switch {
			case !known:
				return Identity, unsupported("Content-Encoding %q is not supported; send the body as it is, or as one of %s", strings.TrimSpace(name), Encodings)
			case coding != Identity && found != Identity:
				return Identity, unsupported("a body with one Content-Encoding upon another is not supported; use one of %s", Encodings)
			case coding != Identity:
				found = coding
			}
		}
	}
	return found, nil
}

func byName(name string) (coding Encoding, known bool) {
	switch strings.ToLower(name) {
	case "", "identity":
		return Identity, true
	case "gzip", "x-gzip": // RFC 9110, section 8.4.1.3
		return Gzip, true
	case "deflate":
		return Deflate, true
	case "zstd":
		return Zstd, true
	}
	return Identity, false
}

func unsupported(format string, arguments ...any) error {
	return &protocol.Error{Status: http.StatusUnsupportedMediaType, Accept: Encodings,
		Detail: fmt.Sprintf(format, arguments...)}
}

// Limits bound one body.
type Limits struct {
	Bytes int64  // of the decoded body
	Name  string // of that limit
	// Room is asked for memory before it is taken; nil: there is enough. Its errors are passed on.
	Room func(bytes int64) error
}

// Body decodes a body. Errors: 400 for one that is broken, 413 for one that is over a limit, and
// those of Room.
func Body(coding Encoding, encoded []byte, limits Limits) ([]byte, error) {
	if coding == Identity {
		return encoded, nil
	}
	r := readers[coding].Get().(reader)
	defer readers[coding].Put(r)
	if err := r.Reset(bytes.NewReader(encoded)); err != nil {
		return nil, broken(coding, err)
	}
	most := min(limits.Bytes, max(FreeBytes, MaxRatio*int64(len(encoded))))
	body, err := readAll(r, int64(len(encoded)), most, limits.Room)
	var over *overError
	switch {
	case errors.As(err, &over) && most < limits.Bytes:
		return nil, &protocol.Error{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf(
			"the body is more than %d times as large as its %s, which is what an attack looks like; nothing was stored", MaxRatio, coding)}
	case errors.As(err, &over):
		return nil, protocol.TooLarge(limits.Bytes, limits.Name)
	case errors.Is(err, errRoom):
		return nil, errors.Unwrap(err)
	case err != nil:
		return nil, broken(coding, err)
	}
	return body, nil
}

func broken(coding Encoding, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = errors.New("it ends too early")
	}
	return &protocol.Error{Status: http.StatusBadRequest,
		Detail: fmt.Sprintf("the body is no %s as its Content-Encoding says: %v; nothing was stored", coding, err)}
}

// overError says that there is more than there may be.
type overError struct{}

func (*overError) Error() string { return "over the limit" }

// errRoom marks an error of Room.
var errRoom = errors.New("no room")

type roomError struct{ error }

func (e roomError) Unwrap() error      { return e.error }
func (roomError) Is(target error) bool { return target == errRoom }

// readAll reads to the end, in memory that grows with what is there.
func readAll(from io.Reader, encoded, most int64, room func(int64) error) ([]byte, error) {
	size := min(max(4*encoded, 512), most+1)
	var body []byte
	for {
		if len(body) == cap(body) {
			if int64(len(body)) > most {
				return nil, &overError{}
			}
			if room != nil {
				if err := room(size - int64(cap(body))); err != nil {
					return nil, roomError{err}
				}
			}
			body = append(make([]byte, 0, size), body...)
			size = min(2*size, most+1)
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > most:
			return nil, &overError{}
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		}
	}
}

// reader is a decoder that is used again.
type reader interface {
	io.Reader
	Reset(from io.Reader) error
}

// readers are made when they are needed: one of zstd has tables of a hundred kilobytes.
var readers = map[Encoding]*sync.Pool{
	Gzip:    {New: func() any { return new(gzip.Reader) }},
	Deflate: {New: func() any { return new(zlibReader) }},
	Zstd: {New: func() any {
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow),
			zstd.WithDecoderLowmem(true))
		if err != nil {
			panic("pillarbox: bug: " + err.Error())
		}
		return decoder
	}},
}

// zlibReader is a zlib reader that can be made before there is anything to read.
type zlibReader struct{ io.Reader }

// Reset begins anew.
func (r *zlibReader) Reset(from io.Reader) (err error) {
	if again, ok := r.Reader.(zlib.Resetter); ok {
		return again.Reset(from, nil)
	}
	r.Reader, err = zlib.NewReader(from)
	return err
}
