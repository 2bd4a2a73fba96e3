package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ByteSize is a number of bytes. Its text form is a whole number with an optional unit: B, KB, MB,
// GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).
type ByteSize int64

// byteUnits is in the order of preference for the text form where two are equally short.
var byteUnits = []struct {
	name string
	size ByteSize
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

var errSize = errors.New("want a whole number of bytes with an optional unit, such as 1000, 64KiB, 5MB or 10GiB")

// UnmarshalText reads the text form. Negative sizes, and sizes of 8 EiB and more, are errors. The
// error does not repeat the text.
func (b *ByteSize) UnmarshalText(text []byte) error {
	digits, unit := string(text), ByteSize(1)
	for _, candidate := range byteUnits {
		if before, found := strings.CutSuffix(digits, candidate.name); found {
			digits, unit = strings.TrimSpace(before), candidate.size
			break
		}
	}
	count, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || count > math.MaxInt64/uint64(unit) {
		return errSize
	}
	*b = ByteSize(count) * unit
	return nil
}

// String returns the shortest exact text form.
func (b ByteSize) String() string {
	plain := strconv.FormatInt(int64(b), 10)
	if b == 0 {
		return plain
	}
	var shortest string
	for _, unit := range byteUnits[:len(byteUnits)-1] {
		if b%unit.size != 0 {
			continue
		}
		text := strconv.FormatInt(int64(b/unit.size), 10) + unit.name
		if shortest == "" || len(text) < len(shortest) {
			shortest = text
		}
	}
	if shortest == "" || len(plain) < len(shortest) {
		return plain
	}
	return shortest
}

// MarshalText returns the shortest exact text form.
func (b ByteSize) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// Duration is a span of time. Its text form is that of time.ParseDuration, with days of 24 hours in
// front: 14d, 1d12h, 90s, 10ms.
type Duration time.Duration

const day = 24 * time.Hour

var errDuration = errors.New("want a duration such as 10ms, 90s, 1h30m or 14d")

// UnmarshalText reads the text form. Negative durations are errors. The error does not repeat the
// text.
func (d *Duration) UnmarshalText(text []byte) error {
	rest, total := string(text), time.Duration(0)
	if before, after, found := strings.Cut(rest, "d"); found {
		days, err := strconv.ParseUint(before, 10, 16)
		if err != nil {
			return errDuration
		}
		total, rest = time.Duration(days)*day, cmp.Or(after, "0")
	}
	part, err := time.ParseDuration(rest)
	if err != nil || strings.ContainsAny(rest, "+-") || part > math.MaxInt64-total {
		return errDuration
	}
	*d = Duration(total + part)
	return nil
}

// String returns the text form without parts that are zero.
func (d Duration) String() string {
	span := time.Duration(d)
	text := ""
	if span >= day {
		text = strconv.FormatInt(int64(span/day), 10) + "d"
		span %= day
	}
	if span == 0 && text != "" {
		return text
	}
	// time.Duration writes 1h0m0s.
	rest := span.String()
	if trimmed, cut := strings.CutSuffix(rest, "m0s"); cut {
		rest = trimmed + "m"
	}
	if trimmed, cut := strings.CutSuffix(rest, "h0m"); cut {
		rest = trimmed + "h"
	}
	return text + rest
}

// MarshalText returns the text form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Std returns the span as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// FileMode is the mode of a file. Its text form is octal, as in 0660.
type FileMode uint32

var errMode = errors.New("want the permissions of a file in octal, such as 0600 or 0660")

// UnmarshalText reads the text form.
func (m *FileMode) UnmarshalText(text []byte) error {
	mode, err := strconv.ParseUint(string(text), 8, 9)
	if err != nil {
		return errMode
	}
	*m = FileMode(mode)
	return nil
}

// String returns the text form.
func (m FileMode) String() string { return fmt.Sprintf("0%03o", uint32(m)) }

// MarshalText returns the text form.
func (m FileMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }
