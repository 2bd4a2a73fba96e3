package signature

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"pillarbox"
)

// one returns the value of a header that must stand there once.
func one(header pillarbox.Header, name string) (string, error) {
	found, value := false, ""
	for i := range header {
		if header[i].Name != name && !strings.EqualFold(header[i].Name, name) {
			continue
		}
		if found {
			return "", Malformed
		}
		found, value = true, header[i].Value
	}
	if value == "" {
		return "", Missing
	}
	return value, nil
}

func has(header pillarbox.Header, name string) bool {
	for i := range header {
		if header[i].Name == name || strings.EqualFold(header[i].Name, name) {
			return true
		}
	}
	return false
}

// The encodings of a signature.
const (
	Hex       = "hex"
	Base64    = "base64"
	Base64URL = "base64url"
)

// Encodings lists them.
func Encodings() []string { return []string{Hex, Base64, Base64URL} }

// maxText is the longest text of a signature, in bytes: 64 bytes in hexadecimal.
const maxText = 2 * maxSize

// The base64 that is read: without bits that say nothing.
var (
	base64Std = base64.RawStdEncoding.Strict()
	base64URL = base64.RawURLEncoding.Strict()
)

// form is how a signature is written.
type form struct {
	encoding string
	strict   bool // as the sender's documents say: small digits, base64 with padding
}

// decode reads a signature of len(to) bytes. Nothing that is longer or shorter is looked at.
func (f form) decode(to []byte, text string) bool {
	var buffer [maxText]byte
	if f.encoding == Hex {
		if len(text) != hex.EncodedLen(len(to)) || f.strict && strings.ContainsAny(text, "ABCDEF") {
			return false
		}
		_, err := hex.Decode(to, buffer[:copy(buffer[:], text)])
		return err == nil
	}
	by := base64Std
	if f.encoding == Base64URL {
		by = base64URL
	}
	bare := strings.TrimRight(text, "=")
	padded := len(text) == base64.StdEncoding.EncodedLen(len(to))
	if len(bare) != by.EncodedLen(len(to)) || !padded && (f.strict || len(text) != len(bare)) {
		return false
	}
	n, err := by.Decode(to, buffer[:copy(buffer[:], bare)])
	return err == nil && n == len(to)
}

// candidates are the signatures of one request.
type candidates struct {
	sums  [MaxSignatures][maxSize]byte
	sizes [MaxSignatures]int
	n     int
}

// add reads a signature of so many bytes. What can't be read can't match, and is left out.
func (c *candidates) add(size int, f form, text string) {
	if f.decode(c.sums[c.n][:size], text) {
		c.sizes[c.n] = size
		c.n++
	}
}

// any reports whether one of that size matches.
func (c *candidates) any(size int, matches func(signature []byte) bool) bool {
	for i := range c.n {
		if c.sizes[i] == size && matches(c.sums[i][:size]) {
			return true
		}
	}
	return false
}

// The formats of a signed time.
const (
	Unix       = "unix"
	UnixMillis = "unix_ms"
	RFC3339    = "rfc3339"
)

// TimestampFormats lists them.
func TimestampFormats() []string { return []string{Unix, UnixMillis, RFC3339} }

// maxDigits is the longest number of a time: seconds and milliseconds of any date that a clock
// shows, and far from where they overflow.
const maxDigits = 15

// readTime reads a signed time. A number has no sign, no zeros in front, no spaces.
func readTime(format, text string) (time.Time, error) {
	if format == RFC3339 {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return time.Time{}, Malformed
		}
		return at, nil
	}
	if len(text) == 0 || len(text) > maxDigits || text[0] == '0' {
		return time.Time{}, Malformed
	}
	number := int64(0)
	for i := range len(text) {
		digit := text[i] - '0'
		if digit > 9 {
			return time.Time{}, Malformed
		}
		number = number*10 + int64(digit)
	}
	if format == UnixMillis {
		return time.UnixMilli(number), nil
	}
	return time.Unix(number, 0), nil
}

// near refuses a time that is further from now than the tolerance.
func near(signed, now time.Time, tolerance time.Duration) error {
	switch age := now.Sub(signed); {
	case age < -tolerance:
		return TooNew
	case age > tolerance:
		return TooOld
	}
	return nil
}

// checkID refuses an id that can't be one, or that holds what ends it in the signed text: with it,
// one signed text could be read as two.
func checkID(id, end string) error {
	if len(id) > MaxID || end != "" && strings.Contains(id, end) {
		return Malformed
	}
	return nil
}
