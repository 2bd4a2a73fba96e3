package proxy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"

	"pillarbox"
	"pillarbox/internal/proxy"
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// TestAHeaderIsWalkedFromTheRight, to the first address that is none of a trusted proxy.
func TestAHeaderIsWalkedFromTheRight(t *testing.T) {
	networks := prefixes("10.0.0.0/8", "2001:db8:1::/48")
	for _, c := range []struct {
		header string // that is trusted
		from   string
		lines  []string // name, value
		want   string
	}{
		{proxy.XForwardedFor, "10.0.0.1", nil, "10.0.0.1"},
		{proxy.XForwardedFor, "192.0.2.9", []string{proxy.XForwardedFor, "192.0.2.1"}, "192.0.2.9"},
		{proxy.XForwardedFor, "10.0.0.1", []string{proxy.XForwardedFor, "192.0.2.1"}, "192.0.2.1"},
		{proxy.XForwardedFor, "10.0.0.1", []string{proxy.XForwardedFor, " 192.0.2.1\t"}, "192.0.2.1"},
		{proxy.XForwardedFor, "10.0.0.1", []string{proxy.XForwardedFor, "spoofed, 192.0.2.1,10.9.9.9"}, "192.0.2.1"},
		{proxy.XForwardedFor, "10.0.0.1", []string{proxy.XForwardedFor, "10.2.0.1, 10.3.0.1"}, "10.2.0.1"},
		{proxy.XForwardedFor, "10.0.0.1", []string{proxy.XForwardedFor, "192.0.2.1, nonsense"}, "10.0.0.1"},
		{proxy.XForwardedFor, "10.0.0.1", []string{proxy.XForwardedFor, "192.0.2.1,"}, "10.0.0.1"},
		{proxy.XForwardedFor, "10.0.0.1", []string{proxy.XForwardedFor, "[2001:db8:2::1]:443"}, "2001:db8:2::1"},
		{proxy.XForwardedFor, "10.0.0.1", []string{proxy.XForwardedFor, "[192.0.2.1]"}, "10.0.0.1"},
		{proxy.XForwardedFor, "10.0.0.1", []string{proxy.XForwardedFor, "::ffff:192.0.2.1"}, "192.0.2.1"},
		{proxy.XForwardedFor, "::ffff:10.0.0.1", []string{proxy.XForwardedFor, "192.0.2.1"}, "192.0.2.1"},
		{proxy.XForwardedFor, "10.0.0.1", []string{proxy.Forwarded, "for=192.0.2.1"}, "10.0.0.1"},
		{proxy.XForwardedFor, "10.0.0.1", []string{proxy.XForwardedFor, "1.1.1.1", "A", "b", proxy.XForwardedFor, "10.1.1.1"}, "1.1.1.1"},
		{proxy.Forwarded, "10.0.0.1", []string{proxy.XForwardedFor, "192.0.2.1"}, "10.0.0.1"},
		{proxy.Forwarded, "10.0.0.1", []string{proxy.Forwarded, "for=192.0.2.1"}, "192.0.2.1"},
		{proxy.Forwarded, "10.0.0.1", []string{proxy.Forwarded, `For="[2001:db8:2::1]:4711";proto=https`}, "2001:db8:2::1"},
		{proxy.Forwarded, "10.0.0.1", []string{proxy.Forwarded, `by=x;for="192.0.2.1:80" , for=10.1.1.1;host="a,b;for=1.1.1.1"`}, "192.0.2.1"},
		{proxy.Forwarded, "10.0.0.1", []string{proxy.Forwarded, "for=192.0.2.1, for=_hidden"}, "10.0.0.1"},
		{proxy.Forwarded, "10.0.0.1", []string{proxy.Forwarded, "for=192.0.2.1, for=unknown"}, "10.0.0.1"},
		{proxy.Forwarded, "10.0.0.1", []string{proxy.Forwarded, "for=192.0.2.1;for=192.0.2.2"}, "10.0.0.1"},
		{proxy.Forwarded, "10.0.0.1", []string{proxy.Forwarded, `for="192.0.2.1`}, "10.0.0.1"},
		{proxy.Forwarded, "10.0.0.1", []string{proxy.Forwarded, "by=192.0.2.1"}, "10.0.0.1"},
		{"", "10.0.0.1", []string{proxy.XForwardedFor, "192.0.2.1"}, "10.0.0.1"},
		{proxy.XForwardedFor, proxy.Unix, []string{proxy.XForwardedFor, "192.0.2.1"}, "192.0.2.1"},
		{proxy.XForwardedFor, "10.0.0.1", []string{proxy.XForwardedFor, "192.0.2.1" + strings.Repeat(",10.0.0.2", proxy.MaxHops)}, "10.0.0.2"},
		{proxy.XForwardedFor, "10.0.0.1", []string{proxy.XForwardedFor, "192.0.2.1" + strings.Repeat(",10.0.0.2", proxy.MaxHops-1)}, "192.0.2.1"},
	} {
		var header pillarbox.Header
		for i := 0; i < len(c.lines); i += 2 {
			header = append(header, pillarbox.HeaderField{Name: c.lines[i], Value: c.lines[i+1]})
		}
		if got := proxy.NewTrusted(networks, true, c.header).Client(c.from, header); got != c.want {
			t.Errorf("from %s, %v: %s, want %s", c.from, c.lines, got, c.want)
		}
	}
	var nobody *proxy.Trusted
	if nobody.Trusts("10.0.0.1") || proxy.NewTrusted(nil, false, "x") != nil || proxy.NewTrusted(networks, false, "").Trusts(proxy.Unix) {
		t.Error("somebody is trusted whom nobody has named")
	}
}

// block is a header of version 2.
func block(command, family byte, addresses string, extensions ...string) string {
	all := addresses + strings.Join(extensions, "")
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family, 0, 0)
	binary.BigEndian.PutUint16(b[14:], uint16(len(all)))
	return string(b) + all
}

const (
	addresses4 = "\xcb\x00\x71\x07\xc0\x00\x02\x01\x00\x01\x00\x02"
	addresses6 = " \x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + " \x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x00\x01\x00\x02"
)

// summed is a header with an extension that has the right sum.
func summed() string {
	b := []byte(block(0x21, 0x11, addresses4, "\x03\x00\x04\x00\x00\x00\x00"))
	binary.BigEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return string(b)
}

// headers are those of both versions, with the client that they name: "-" for none, and nothing
// where they are bad.
var headers = map[string]string{
	"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n":                "203.0.113.7",
	"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n":                "2001:db8::1",
	"PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n":                     "203.0.113.7",
	"PROXY UNKNOWN\r\n":                                             "-",
	"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n":                         "-",
	"PROXY UNKNOWN " + strings.Repeat("x", 91) + "\r\n":             "-",
	"PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n":             "",
	"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\n":                        "",
	"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\n\r\n":                    "",
	"PROXY TCP4  203.0.113.7 192.0.2.1 1 2\r\n":                     "",
	"PROXY TCP4 203.0.113.7 192.0.2.1 1 2 3\r\n":                    "",
	"PROXY TCP4 203.0.113.7 192.0.2.1 1\r\n":                        "",
	"PROXY TCP4 203.0.113.7 192.0.2.1 01 2\r\n":                     "",
	"PROXY TCP4 203.0.113.7 192.0.2.1 1 65536\r\n":                  "",
	"PROXY TCP4 203.0.113.007 192.0.2.1 1 2\r\n":                    "",
	"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n":                    "",
	"PROXY TCP6 203.0.113.7 192.0.2.1 1 2\r\n":                      "",
	"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n":                           "",
	"PROXY UDP4 203.0.113.7 192.0.2.1 1 2\r\n":                      "",
	"proxy TCP4 203.0.113.7 192.0.2.1 1 2\r\n":                      "",
	"POST /app HTTP/1.1\r\nHost: a\r\n\r\n":                         "",
	"PROXY TCP4 203.0.113.7":                                        "",
	"":                                                              "",
	block(0x21, 0x11, addresses4):                                   "203.0.113.7",
	block(0x21, 0x21, addresses6):                                   "2001:db8::1",
	block(0x21, 0x31, strings.Repeat("a", 216)):                     "-",
	block(0x21, 0x00, ""):                                           "-",
	block(0x20, 0x00, ""):                                           "-",
	block(0x20, 0x11, addresses4):                                   "-",
	block(0x20, 0xff, "x"):                                          "-",
	block(0x21, 0x11, addresses4, "\x04\x00\x02ab", "\x05\x00\x00"): "203.0.113.7",
	block(0x21, 0x11, addresses4, "\x04\x00\x02a"):                  "",
	block(0x21, 0x11, addresses4, "\x04\x00"):                       "",
	block(0x21, 0x11, addresses4, "\x03\x00\x04\x00\x00\x00\x00"):   "",
	block(0x21, 0x11, addresses4, "\x03\x00\x02ab"):                 "",
	summed():                                                 "203.0.113.7",
	block(0x21, 0x11, addresses4[:11]):                       "",
	block(0x21, 0x21, addresses4):                            "",
	block(0x21, 0x12, addresses4):                            "",
	block(0x22, 0x11, addresses4):                            "",
	block(0x11, 0x11, addresses4):                            "",
	block(0x21, 0x11, addresses4)[:20]:                       "",
	block(0x21, 0x00, strings.Repeat("x", proxy.MaxBlock)):   "-",
	block(0x21, 0x00, strings.Repeat("x", proxy.MaxBlock+1)): "",
	"\r\n\r\n\x00\r\nQUIX\n\x21\x11\x00\x0c" + addresses4:    "",
}

// TestHeadersOfPROXYAreReadStrictly, however they come, and not a byte behind them.
func TestHeadersOfPROXYAreReadStrictly(t *testing.T) {
	const behind = "POST /app"
	for text, want := range headers {
		for name, pieces := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader} {
			whole := strings.NewReader(text + behind)
			if want == "" {
				whole = strings.NewReader(text)
			}
			client, err := proxy.ReadHeader(pieces(whole))
			got := client.String()
			if err == nil && !client.IsValid() {
				got = "-"
			}
			if err != nil {
				got = ""
			}
			if got != want || err != nil && !errors.Is(err, proxy.ErrProtocol) {
				t.Errorf("%s: %.60q: %s, %v; want %s", name, text, got, err, want)
			}
			if rest, _ := io.ReadAll(whole); err == nil && string(rest) != behind {
				t.Errorf("%s: %.60q: behind it is %q", name, text, rest)
			}
		}
	}
}

// FuzzHeader: whatever comes, no more is read than the limits allow, and what is taken is an address.
func FuzzHeader(f *testing.F) {
	for text := range headers {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r := bytes.NewReader(text)
		client, err := proxy.ReadHeader(r)
		if used := len(text) - r.Len(); used > 16+proxy.MaxBlock {
			t.Errorf("%d bytes were read", used)
		}
		if err != nil && client.IsValid() || client.Zone() != "" {
			t.Errorf("%v, %v", client, err)
		}
	})
}
