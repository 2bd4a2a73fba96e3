package source

import (
	"cmp"
	"crypto/tls"
	"slices"
	"strings"
)

// Certificate is who a client is by its certificate, which the authority of the listener has signed.
type Certificate struct {
	Names []string // DNS names and e-mail addresses; of a certificate without any name, its common name
	URIs  []string // such as spiffe://example.org/billing
}

// CertificateOf is the certificate that a client has proven in a handshake; nil for none.
func CertificateOf(state *tls.ConnectionState) *Certificate {
	if state == nil || len(state.VerifiedChains) == 0 {
		return nil
	}
	leaf := state.VerifiedChains[0][0]
	c := &Certificate{}
	for _, name := range leaf.DNSNames {
		c.Names = append(c.Names, strings.ToLower(name))
	}
	c.Names = append(c.Names, leaf.EmailAddresses...)
	for _, uri := range leaf.URIs {
		c.URIs = append(c.URIs, uri.String())
	}
	if len(c.Names)+len(c.URIs) == 0 && leaf.Subject.CommonName != "" {
		c.Names = []string{leaf.Subject.CommonName}
	}
	return c
}

// CertificateRule says which certificates open a source. It never changes.
type CertificateRule struct {
	Names []string // whole names, or "*" for every certificate
	URIs  []string // whole URIs; one with /* at its end is for all below
}

// Match reports whether a certificate opens the source, and by what: its name or its URI.
func (r *CertificateRule) Match(c *Certificate) (caller string, ok bool) {
	if r == nil || c == nil {
		return "", false
	}
	for _, uri := range c.URIs {
		for _, want := range r.URIs {
			below, all := strings.CutSuffix(want, "*")
			if uri == want || all && strings.HasPrefix(uri, below) {
				return uri, true
			}
		}
	}
	for _, name := range c.Names {
		if slices.ContainsFunc(r.Names, func(want string) bool { return strings.EqualFold(want, name) }) {
			return name, true
		}
	}
	if slices.Contains(r.Names, "*") {
		return cmp.Or(slices.Concat(c.URIs, c.Names, []string{"certificate"})...), true
	}
	return "", false
}
