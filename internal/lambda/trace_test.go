package lambda_test

import (
	"fmt"
	"testing"

	"pillarbox/internal/source"
)

// TestTraceGoesOn from the header of the gateway, unless the client has a trace of its own.
func TestTraceGoesOn(t *testing.T) {
	const root, trace = "1-6744a1b2-0123456789abcdef01234567", "6744a1b20123456789abcdef01234567"
	for _, c := range []struct{ client, gateway, want string }{
		{"", "Root=" + root + ";Parent=53995c3f42cd8ad8;Sampled=1", "00-" + trace +
			"-53995c3f42cd8ad8-01"},
		{"", "Root=" + root + ";Parent=53995c3f42cd8ad8;Sampled=0", "00-" + trace +
			"-53995c3f42cd8ad8-00"},
		{"", "Parent=53995c3f42cd8ad8; Root=" + root, "00-" + trace + "-53995c3f42cd8ad8-00"},
		{"", "Root=" + root, "00-" + trace + "-89abcdef01234567-00"},
		{"", "Root=" + root + ";Parent=short;Sampled=?", "00-" + trace + "-89abcdef01234567-00"},
		{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Root=" + root,
			"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		{"00-xyz", "Root=" + root + ";Parent=53995c3f42cd8ad8", "00-" + trace + "-53995c3f42cd8ad8-00"},
		{"", "", ""}, {"", "Root=", ""}, {"", "Root=2-6744a1b2-0123456789abcdef01234567", ""},
		{"", "Root=1-6744a1b2-0123", ""},
		{"", "Root=1-zzzzzzzz-0123456789abcdef01234567", ""},
		{"", "Root=1-00000000-000000000000000000000000", ""},
	} {
		f := newFront(t, source.Settings{})
		f.call(fmt.Appendf(nil, `{"httpMethod":"POST","path":"/app","headers":{"traceparent":%q,"x-amzn-trace-id":%q}}`, c.client, c.gateway))
		if got := f.queued()[0].Traceparent; got != c.want {
			t.Errorf("client %q, gateway %q: %q, want %q", c.client, c.gateway, got, c.want)
		}
	}
}
