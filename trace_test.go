package pillarbox_test

import (
	"strings"
	"testing"

	"pillarbox"
)

// TestTracestateIsHandedOnWholeOrNotAtAll joins its lines, and leaves out what is malformed.
func TestTracestateIsHandedOnWholeOrNotAtAll(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{"a=1"}, "a=1"},
		{[]string{"a=1", "", "b=2"}, "a=1,b=2"},
		{[]string{strings.Repeat("a", pillarbox.MaxTracestate)}, strings.Repeat("a", pillarbox.MaxTracestate)},
		{[]string{strings.Repeat("a", pillarbox.MaxTracestate+1)}, ""},
		{[]string{"a=1", "b=\xff"}, ""},
		{[]string{"a=1\t"}, ""},
	} {
		header := pillarbox.Header{{Name: "Traceparent", Value: "00"}}
		for _, line := range c.lines {
			header = append(header, pillarbox.HeaderField{Name: "Tracestate", Value: line})
		}
		if got := header.Tracestate(); got != c.want {
			t.Errorf("%q: got %q, want %q", c.lines, got, c.want)
		}
	}
}
