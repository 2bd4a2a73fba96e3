package webhook_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pillarbox/internal/engine/webhook"
)

// FuzzIsPublic: nothing that the standard library knows as special is public, in whatever form it
// comes, and an address that has another one in it is what that is.
func FuzzIsPublic(f *testing.F) {
	for text := range addresses {
		bytes := netip.MustParseAddr(text).As16()
		f.Add(bytes[:])
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		if len(bytes) < 16 {
			return
		}
		whole := [16]byte(bytes[:16])
		check := func(addr netip.Addr) {
			special := addr.Unmap()
			if webhook.IsPublic(addr) && (special.IsLoopback() || special.IsPrivate() || special.IsMulticast() || special.IsUnspecified() ||
				special.IsLinkLocalUnicast() || !special.IsGlobalUnicast()) {
				t.Errorf("%s is public", addr)
			}
			if webhook.IsPublic(addr.WithZone("eth0")) && addr.Is6() {
				t.Errorf("%s with a zone is public", addr)
			}
		}
		check(netip.AddrFrom16(whole))
		four := netip.AddrFrom4([4]byte(whole[12:]))
		check(four)
		for _, prefix := range []string{"::ffff:0:0", "64:ff9b::"} {
			in := netip.MustParseAddr(prefix).As16()
			copy(in[12:], whole[12:])
			if inside := netip.AddrFrom16(in); webhook.IsPublic(inside) != webhook.IsPublic(four) {
				t.Errorf("%s and %s differ", inside, four)
			}
		}
		for _, prefix := range []string{"2002::", "64:ff9b:1::", "2001::", "fc00::", "fe80::"} {
			in := netip.MustParseAddr(prefix).As16()
			copy(in[6:], whole[6:])
			if inside := netip.AddrFrom16(in); webhook.IsPublic(inside) {
				t.Errorf("%s is public", inside)
			}
		}
	})
}

// FuzzPrintable: whatever a receiver answers is one line of valid text within its limit.
func FuzzPrintable(f *testing.F) {
	f.Add("ok")
	f.Add("a\x00\x1b[31m\n\u202eb\xff")
	f.Add(strings.Repeat("\u00e4", 300))
	f.Fuzz(func(t *testing.T, text string) {
		got := webhook.Printable(text)
		if len(got) > webhook.MaxExcerpt || !utf8.ValidString(got) || strings.TrimSpace(got) != got ||
			strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q", got)
		}
	})
}

// FuzzRetryAfter: whatever the header says, the wait is between nothing and an hour.
func FuzzRetryAfter(f *testing.F) {
	for _, text := range []string{"1", "0", "-5", "1e9", "99999999999999999999999", "Sun, 29 Nov 2026 12:01:00 GMT", "Monday"} {
		f.Add(text, int64(1_795_953_600))
	}
	f.Fuzz(func(t *testing.T, text string, now int64) {
		if got := webhook.RetryAfterOf(text, time.Unix(now%(1<<40), 0)); got < 0 || got > webhook.MaxRetryAfter {
			t.Errorf("%q at %d: %v", text, now, got)
		}
	})
}
