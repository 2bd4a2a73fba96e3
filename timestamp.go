package pillarbox

import (
	"sync/atomic"
	"time"
)

// timestampLayout has exactly six decimals and a literal Z, so that text order is time order.
const timestampLayout = "2006-01-02T15:04:05.000000Z"

// The years 0000 to 9999 are what RFC 3339 can write in four digits.
const (
	minTimestamp = Timestamp(-62167219200_000000)
	maxTimestamp = Timestamp(253402300799_999999)
)

// Timestamp is an instant in microseconds since 1970-01-01T00:00:00Z. Its text form is RFC 3339 in
// UTC with exactly six decimals. The zero value means "not set" and is written as the year 1970.
type Timestamp int64

// TimestampOf cuts t to the microsecond.
func TimestampOf(t time.Time) Timestamp { return Timestamp(t.UnixMicro()) }

// ParseTimestamp reads the text form. Other RFC 3339 forms are refused, because a key that can be
// written in two ways is not a key.
func ParseTimestamp(text string) (Timestamp, error) {
	t, err := time.Parse(timestampLayout, text)
	if err != nil || t.Format(timestampLayout) != text {
		return 0, Invalid("timestamp %q: want the form %s", text, timestampLayout)
	}
	return TimestampOf(t), nil
}

// Time returns the instant in UTC.
func (t Timestamp) Time() time.Time { return time.UnixMicro(int64(t)).UTC() }

// AppendText appends the text form to b. Instants outside the years 0000 to 9999 are an error.
func (t Timestamp) AppendText(b []byte) ([]byte, error) {
	if t < minTimestamp || t > maxTimestamp {
		return b, Invalid("timestamp of %d microseconds is outside the years 0000 to 9999",
			int64(t))
	}
	second, micros := int64(t)/1e6, int64(t)%1e6
	if micros < 0 {
		second, micros = second-1, micros+1e6
	}
	last := lastSecond.Load()
	if last == nil || last.second != second {
		last = &secondText{second: second}
		time.Unix(second, 0).UTC().AppendFormat(last.text[:0], timestampLayout[:len(last.text)])
		lastSecond.Store(last)
	}
	b = append(b, last.text[:]...)
	var digits [6]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + micros%10)
		micros /= 10
	}
	return append(append(b, digits[:]...), 'Z'), nil
}

// secondText is the text form of a second, up to the decimals.
type secondText struct {
	second int64
	text   [len("2006-01-02T15:04:05.")]byte
}

// lastSecond is the second that was written last: every receipt and every row has a timestamp, most
// are of the same second as the one before, and to make its text takes ten times as long as to copy
// it.
var lastSecond atomic.Pointer[secondText]

// MarshalText returns the text form.
func (t Timestamp) MarshalText() ([]byte, error) {
	return t.AppendText(make([]byte, 0, len(timestampLayout)))
}

// UnmarshalText reads the text form.
func (t *Timestamp) UnmarshalText(text []byte) error {
	parsed, err := ParseTimestamp(string(text))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}

func (t Timestamp) String() string { return t.Time().Format(timestampLayout) }
