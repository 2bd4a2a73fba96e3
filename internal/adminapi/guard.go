package adminapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"pillarbox/internal/protocol"
)

// guard lets a request in, or returns why not. With a token, it must be there. Without one, the
// listener is on the loopback interface, and what has to be kept out are the browsers on this
// machine that run somebody else's page: a page whose name was made to point here (its Host gives
// it away), and one that posts across origins.
func (a *Handler) guard(r *http.Request) error {
	if a.opts.Token != "" {
		return a.checkToken(r.Header.Values("Authorization"))
	}
	if !a.knownHost(r.Host) {
		return &protocol.Error{Status: http.StatusForbidden,
			Detail: fmt.Sprintf("the host %q is not this listener; use localhost, a loopback address, or set admin.token", r.Host)}
	}
	if err := a.cross.Check(r); err != nil {
		return &protocol.Error{Status: http.StatusForbidden, Detail: err.Error()}
	}
	return nil
}

// checkToken compares digests, so that neither the time nor the length tells anything about the
// token.
func (a *Handler) checkToken(authorization []string) error {
	missing := &protocol.Error{
		Status: http.StatusUnauthorized, Challenge: `Bearer realm="pillarbox"`,
		Detail: "this needs the admin token: Authorization: Bearer TOKEN",
	}
	if len(authorization) != 1 {
		return missing
	}
	scheme, token, found := strings.Cut(authorization[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return missing
	}
	digest := sha256.Sum256([]byte(strings.TrimLeft(token, " ")))
	if subtle.ConstantTimeCompare(digest[:], a.token[:]) != 1 {
		return &protocol.Error{
			Status: http.StatusUnauthorized, Challenge: `Bearer realm="pillarbox", error="invalid_token"`,
			Detail: "this is not the admin token",
		}
	}
	return nil
}

// knownHost reports whether Host is a name or an address that nobody else can make a browser
// resolve to us.
func (a *Handler) knownHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if address, err := netip.ParseAddr(host); err == nil && address.Unmap().IsLoopback() {
		return true
	}
	return host != "" && slices.ContainsFunc(a.opts.Hosts,
		func(own string) bool { return strings.EqualFold(own, host) })
}
