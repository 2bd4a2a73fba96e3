package pillarbox_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pillarbox"
)

func TestCauseLeavesOutWhatDiffers(t *testing.T) {
	for message, want := range map[string]string{
		"refused 20 times, the last time with: HTTP 500: request 0b1d": "HTTP 500: request HEX",
		"refused for good: HTTP 422: no user 1234":                     "HTTP 422: no user N",
		`null value in column "name" violates not-null`:                `null value in column "name" violates not-null`,
		`invalid input "2026-13-01" for type date (SQLSTATE 22007)`:    `invalid input "…" for type date (SQLSTATE 22007)`,
		"event 019a0d5e-1b2c-7000-8000-000000000001 is too large":      "event ID is too large",
		"dial tcp 10.0.0.7:5432: connection refused":                   "dial tcp N: connection refused",
		"at 2026-11-29T21:49:19.036497Z the disk was full":             "at TIME the disk was full",
		"line 7,  column 12": "line N, column N",
		"a deadbeef face":    "a deadbeef face",
		"":                   "",
	} {
		if got := pillarbox.Cause(message); got != want {
			t.Errorf("%q: %q, want %q", message, got, want)
		}
	}
}

func FuzzCause(f *testing.F) {
	f.Add("refused 20 times, the last time with: \"x\" 1.2.3")
	f.Add(strings.Repeat("é", 300))
	f.Fuzz(func(t *testing.T, message string) {
		cause := pillarbox.Cause(message)
		if len(cause) > pillarbox.MaxCause || !utf8.ValidString(cause) {
			t.Errorf("%q: %q", message, cause)
		}
	})
}

func BenchmarkCause(b *testing.B) {
	for b.Loop() {
		pillarbox.Cause("refused 20 times, the last time with: HTTP 500: request 019a0d5e-1b2c-7000-8000-000000000001 of customer 1234 failed")
	}
}
