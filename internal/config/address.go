package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// MaxAddresses is how many items allow and deny of a source may have together: each request is held
// against all of them.
const MaxAddresses = 256

// Prefixes are the networks of a list of a configuration that Load has returned.
func Prefixes(list []string) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, text := range list {
		if prefix, err := parsePrefix(text); err == nil {
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes
}

// parsePrefix reads a network as in 203.0.113.0/24, or a single address.
func parsePrefix(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil || prefix.Addr().Is4In6():
		return prefix, fmt.Errorf("want a network or an address, as in 203.0.113.0/24, 2001:db8::/32 or 203.0.113.7")
	case prefix != prefix.Masked():
		return prefix, fmt.Errorf("has bits behind its first %d; want %s for the network, or %s alone for the address", prefix.Bits(), prefix.Masked(), prefix.Addr())
	}
	return prefix, nil
}

// addresses checks from where requests of a source may come.
func (c *checker) addresses(key string, source Source) {
	deny := c.prefixes(key+".deny", source.Deny, nil)
	c.prefixes(key+".allow", source.Allow, deny)
	if n := len(source.Allow) + len(source.Deny); n > MaxAddresses {
		c.fail(key, "allow and deny have %d items together; want at most %d", n, MaxAddresses)
	}
}

// prefixes checks one list, but for the item unix of trusted_proxies. What is within another item of it, or denied, has no effect.
func (c *checker) prefixes(key string, list []string, denied []netip.Prefix) (prefixes []netip.Prefix) {
	for i, text := range list {
		item := c.itemOf(key, i)
		if key == "trusted_proxies" && text == Unix {
			continue
		}
		prefix, err := parsePrefix(text)
		if err != nil {
			c.fail(item, "%s %w", c.said(item, text), err)
			continue
		}
		covers := func(other netip.Prefix) bool {
			return other.Bits() <= prefix.Bits() && other.Contains(prefix.Addr())
		}
		if slices.ContainsFunc(prefixes, covers) {
			c.fail(item, "%s has no effect: it is within another item of the list", c.said(item, text))
		} else if slices.ContainsFunc(denied, covers) {
			c.fail(item, "%s has no effect: deny has all of it", c.said(item, text))
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes
}
