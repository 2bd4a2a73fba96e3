package webhook

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// special4 are the IPv4 networks that no public service is in: IANA's registry of special-purpose
// addresses (RFC 6890), and multicast.
var special4 = prefixes(
	"0.0.0.0/8",       // this network; 0.0.0.0 is this machine
	"10.0.0.0/8",      // private
	"100.64.0.0/10",   // of carriers (CGNAT), and the metadata of some clouds
	"127.0.0.0/8",     // this machine
	"169.254.0.0/16",  // link-local, and the metadata of most clouds
	"172.16.0.0/12",   // private
	"192.0.0.0/24",    // of protocols, and the metadata of some clouds
	"192.0.2.0/24",    // for documentation
	"192.88.99.0/24",  // relays of 6to4
	"192.168.0.0/16",  // private
	"198.18.0.0/15",   // for benchmarks
	"198.51.100.0/24", // for documentation
	"203.0.113.0/24",  // for documentation
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, and broadcast

	"168.63.129.16/32", // the host of a machine on Azure, at an address that looks public
)

// global6 is where public IPv6 addresses are. Everything else is special: this machine, link-local,
// unique local (private), multicast, NAT64 of a network's own, IPv4 in old forms, and what nobody
// has been given yet.
var global6 = netip.MustParsePrefix("2000::/3")

// special6 are the networks in global6 that no public service is in. Teredo, in the first one, and
// 6to4 have an IPv4 address in them, and reach it.
var special6 = prefixes(
	"2001::/23",     // of protocols, Teredo among them
	"2001:db8::/32", // for documentation
	"2002::/16",     // 6to4
	"3fff::/20",     // for documentation
)

// nat64 is how a network without IPv4 reaches public IPv4 addresses, which are the last four bytes
// (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// isPublic reports whether an address is one of the public internet. An address with a zone is not,
// nor is the zero value. IPv4 in IPv6 is what it reaches.
func isPublic(addr netip.Addr) bool {
	if addr.Zone() != "" {
		return false
	}
	addr = addr.Unmap()
	if nat64.Contains(addr) {
		bytes := addr.As16()
		addr = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	if addr.Is4() {
		return !inAny(special4, addr)
	}
	return global6.Contains(addr) && !inAny(special6, addr)
}

func inAny(networks []netip.Prefix, addr netip.Addr) bool {
	for _, network := range networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// privateError says that a connection was refused because of its address.
type privateError struct{ addr string }

func (e *privateError) Error() string {
	return fmt.Sprintf("the address %s is not public, and requests to private addresses are refused; allow_private: true allows them for this destination", e.addr)
}

// refusePrivate stands between resolving and connecting: it gets the address that is really
// connected to, whatever name, proxy or answer of DNS it comes from.
func refusePrivate(_ context.Context, network, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" || !isPublic(at.Addr()) {
		return &privateError{address}
	}
	return nil
}

// isPrivateHost reports whether a host of a URL is certainly not public, without asking anybody.
func isPrivateHost(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && !isPublic(addr)
}

// dialer connects to public addresses only, unless private ones are allowed.
func dialer(allowPrivate bool) *net.Dialer {
	d := &net.Dialer{Timeout: connectTime, KeepAlive: keepAlive}
	if !allowPrivate {
		d.ControlContext = refusePrivate
	}
	return d
}
