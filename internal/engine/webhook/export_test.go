package webhook

import (
	"net"
	"net/netip"
	"time"
)

// What tests look at from outside.
func IsPublic(addr netip.Addr) bool                         { return isPublic(addr) }
func Printable(text string) string                          { return printable(text) }
func RetryAfterOf(text string, now time.Time) time.Duration { return retryAfter(text, now) }

// MaxExcerpt is the longest text of Printable, in bytes.
const MaxExcerpt = maxExcerpt

// ResolveWith makes a sink look names up in another way.
func ResolveWith(s *Sink, resolver *net.Resolver) {
	d := dialer(s.opts.AllowPrivate)
	d.Resolver = resolver
	s.client.DialContext = d.DialContext
}
