package proxy

import (
	"net/netip"
	"strings"

	"pillarbox"
	"pillarbox/internal/admission"
)

// Unix is the address of whoever comes over a unix socket: there is no other.
const Unix = admission.Unix

// The headers that may say who a request is from.
const (
	XForwardedFor = "X-Forwarded-For"
	Forwarded     = "Forwarded" // RFC 7239
)

// MaxHops is how many addresses of a header are walked. A request that has come through more is
// from the last of them.
const MaxHops = 32

// Trusted are the proxies that are believed. It never changes. A nil one trusts nobody.
type Trusted struct {
	networks []netip.Prefix
	unix     bool
	header   string
}

// NewTrusted trusts proxies in these networks, and with unix those at a unix socket. header is the
// one that they write: the other one may be of anybody, and is never looked at. It is empty where
// they write none. It returns nil where nobody is trusted.
func NewTrusted(networks []netip.Prefix, unix bool, header string) *Trusted {
	if len(networks) == 0 && !unix {
		return nil
	}
	return &Trusted{networks: networks, unix: unix, header: header}
}

// Trusts reports whether what comes from an address is of a trusted proxy.
func (t *Trusted) Trusts(address string) bool {
	if t == nil {
		return false
	}
	if address == Unix {
		return t.unix
	}
	parsed, err := netip.ParseAddr(address)
	return err == nil && t.trusts(parsed)
}

func (t *Trusted) trusts(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	for _, network := range t.networks {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// Client is who a request is from that came from an address with a header: the address, or, where
// that is a trusted proxy, the last address in the header that is none. What can't be read ends the
// walk: the hop that has written it is the last one that is known.
func (t *Trusted) Client(address string, header pillarbox.Header) string {
	if t == nil || t.header == "" || !t.Trusts(address) {
		return address
	}
	hops := 0
	for i := len(header) - 1; i >= 0; i-- {
		if header[i].Name != t.header {
			continue
		}
		for rest := header[i].Value; rest != ""; {
			var hop string
			rest, hop = lastItem(rest, t.header == Forwarded)
			found, ok := t.hop(hop)
			if hops++; !ok || hops > MaxHops {
				return address
			}
			if address = found.Unmap().WithZone("").String(); !t.trusts(found) {
				return address
			}
		}
	}
	return address
}

// hop reads one item of the header.
func (t *Trusted) hop(item string) (netip.Addr, bool) {
	if t.header == Forwarded {
		node, ok := forwardedFor(item)
		if !ok {
			return netip.Addr{}, false
		}
		item = node
	}
	return parseNode(strings.Trim(item, " \t"))
}

// lastItem cuts the item behind the last comma off a list. With quoted, a comma within a quoted
// string is none.
func lastItem(list string, quoted bool) (rest, item string) {
	if !quoted || !strings.Contains(list, `"`) {
		at := strings.LastIndexByte(list, ',')
		return list[:max(at, 0)], list[at+1:]
	}
	at, inside, escaped := -1, false, false
	for i := range len(list) {
		switch c := list[i]; {
		case escaped:
			escaped = false
		case inside && c == '\\':
			escaped = true
		case c == '"':
			inside = !inside
		case c == ',' && !inside:
			at = i
		}
	}
	if inside {
		return "", "" // a quote that is not closed: nothing of the list can be read
	}
	return list[:max(at, 0)], list[at+1:]
}

// forwardedFor is the node of the parameter "for" of one item (RFC 7239, section 4). The item may
// have it once.
func forwardedFor(item string) (node string, ok bool) {
	for _, pair := range splitPairs(item) {
		name, value, found := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !found || !strings.EqualFold(name, "for") {
			continue
		}
		if ok {
			return "", false
		}
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		node, ok = value, !strings.ContainsAny(value, `"\`)
	}
	return node, ok
}

// splitPairs splits at semicolons that are not quoted.
func splitPairs(item string) (pairs []string) {
	start, inside := 0, false
	for i := range len(item) {
		switch {
		case item[i] == '"':
			inside = !inside
		case item[i] == ';' && !inside:
			pairs = append(pairs, item[start:i])
			start = i + 1
		}
	}
	return append(pairs, item[start:])
}

// parseNode reads an address with or without a port: 192.0.2.1, 192.0.2.1:80, 2001:db8::1,
// [2001:db8::1] and [2001:db8::1]:80.
func parseNode(node string) (netip.Addr, bool) {
	if address, err := netip.ParseAddr(node); err == nil {
		return address, true
	}
	if inner, found := strings.CutPrefix(node, "["); found {
		if inner, found = strings.CutSuffix(inner, "]"); found {
			address, err := netip.ParseAddr(inner)
			return address, err == nil && address.Is6()
		}
	}
	if both, err := netip.ParseAddrPort(node); err == nil {
		return both.Addr(), true
	}
	return netip.Addr{}, false
}
