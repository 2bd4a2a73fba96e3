package source_test

import (
	"net/netip"
	"testing"

	"pillarbox/internal/protocol"
	"pillarbox/internal/source"
)

// TestWhereRequestsComeFrom: an address in any of its forms is what it is, and what is no address is
// in no network.
func TestWhereRequestsComeFrom(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("fe80::/10")}
	allowing := source.New(source.Settings{Name: "app", Path: "/app", Allow: networks}, source.Options{})
	denying := source.New(source.Settings{Name: "app", Path: "/app", Deny: networks}, source.Options{})
	for _, c := range []struct {
		address         string
		within, nowhere bool
	}{
		{"203.0.113.0", true, false}, {"203.0.113.255", true, false}, {"203.0.114.0", false, false},
		{"::ffff:203.0.113.7", true, false}, {"::203.0.113.7", false, false}, {"2001:db8:1::1", true, false},
		{"2001:db9::1", false, false}, {"fe80::1%eth0", true, false}, {"", false, true}, {"@", false, true},
		{"203.0.113.7:80", false, true},
	} {
		head := &source.Head{Method: "POST", Path: "/app", RemoteAddr: c.address}
		for _, s := range []struct {
			*source.Source
			open bool
		}{{allowing, c.within}, {denying, !c.within && !c.nowhere}} {
			grant, _, err := s.AdmitOne(head, nil)
			if (err == nil) != s.open || (grant.Source() != nil) != s.open || !s.open && protocol.StatusOf(err) != 403 {
				t.Errorf("%q is answered with %v, want open %v", c.address, err, s.open)
			}
		}
	}
	head := &source.Head{Method: "POST", Path: "/app", RemoteAddr: "203.0.113.7"}
	if n := testing.AllocsPerRun(100, func() { _, _ = allowing.Admit(head) }); n != 0 {
		t.Errorf("it takes %v allocations", n)
	}
}
