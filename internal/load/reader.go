package load

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

// maxHead bounds the head of an answer.
const maxHead = 16 << 10

var (
	errHead    = errors.New("the head of an answer is malformed")
	errLength  = errors.New("an answer has no usable Content-Length")
	errTooLong = fmt.Errorf("the head of an answer is longer than %d bytes", maxHead)
	errSurplus = errors.New("bytes follow an answer that nobody asked for")
)

// reader takes the bytes of one connection as they come, and finds where answers end. It holds one
// answer at a time, because a connection has one request under way.
type reader struct {
	head   []byte // of an answer whose head is not complete yet
	rest   int64  // bytes of the body that are still to come
	inBody bool
	status int
	last   bool // the server closes the connection after this answer
}

// feed takes what was read. It reports whether the answer is complete.
func (r *reader) feed(b []byte) (complete bool, err error) {
	if !r.inBody {
		if b, err = r.feedHead(b); err != nil || !r.inBody {
			return false, err
		}
	}
	r.rest -= int64(len(b))
	switch {
	case r.rest < 0:
		return false, errSurplus
	case r.rest > 0:
		return false, nil
	}
	r.inBody, r.head = false, r.head[:0]
	return true, nil
}

// feedHead returns what follows the head, once the head is complete.
func (r *reader) feedHead(b []byte) (rest []byte, err error) {
	head := b
	if len(r.head) > 0 {
		r.head = append(r.head, b...)
		head = r.head
	}
	end := bytes.Index(head, []byte("\r\n\r\n"))
	switch {
	case end < 0 && len(head) > maxHead:
		return nil, errTooLong
	case end < 0:
		if len(r.head) == 0 {
			r.head = append(r.head, b...)
		}
		return nil, nil
	}
	if err := r.parse(head[:end+2]); err != nil {
		return nil, err
	}
	r.inBody = true
	return head[end+4:], nil
}

// parse reads a head, each line of which ends with CRLF.
func (r *reader) parse(head []byte) error {
	const version = "HTTP/1.1 "
	if len(head) < len(version)+5 || string(head[:len(version)]) != version {
		return errHead
	}
	status, ok := number(head[len(version) : len(version)+3])
	if after := head[len(version)+3]; !ok || status < 200 || status > 599 || after != ' ' &&
		after != '\r' {
		return errHead
	}
	r.status, r.rest, r.last = int(status), -1, false
	_, lines, _ := bytes.Cut(head, []byte("\r\n"))
	for len(lines) > 0 {
		line, after, _ := bytes.Cut(lines, []byte("\r\n"))
		if err := r.field(line); err != nil {
			return err
		}
		lines = after
	}
	if r.status == 204 || r.status == 304 {
		r.rest = 0 // these have no body, whatever the head says
	}
	if r.rest < 0 {
		return errLength
	}
	return nil
}

func (r *reader) field(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return errHead
	}
	name, value := line[:colon], bytes.TrimSpace(line[colon+1:])
	switch len(name) { // most fields are told apart by their length alone
	case len("Connection"):
		r.last = r.last || bytes.EqualFold(name, []byte("Connection")) &&
			bytes.EqualFold(value, []byte("close"))
	case len("Content-Length"):
		if !bytes.EqualFold(name, []byte("Content-Length")) {
			return nil
		}
		length, ok := number(value)
		if !ok || r.rest >= 0 && r.rest != length {
			return errLength
		}
		r.rest = length
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			return errLength
		}
	}
	return nil
}

// number reads decimal digits and nothing else.
func number(digits []byte) (n int64, ok bool) {
	for _, digit := range digits {
		if digit < '0' || digit > '9' || n > math.MaxInt32 {
			return 0, false
		}
		n = n*10 + int64(digit-'0')
	}
	return n, len(digits) > 0
}
