package adminapi

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"pillarbox/internal/protocol"
)

// guard lets a request in, or returns why not. With a token, it must be there. Without one, the
// listener is on the loopback interface or a socket, and what has to be kept out are the browsers
// on this machine that run somebody else's page: a page whose name was made to point here (its Host
// gives it away), and one of another site, whatever its method: a GET may cost an audit, or be read
// through a hole in the browser.
func (a *Handler) guard(r *http.Request) (who access, err error) {
	if len(a.tokens) > 0 {
		if who, err = a.checkToken(r); err != nil {
			return access{}, err
		}
	} else if !overSocket(r) && !a.knownHost(r.Host) {
		return access{}, &protocol.Error{Status: http.StatusForbidden,
			Detail: fmt.Sprintf("the host %q is not this listener; use localhost, a loopback address, or set admin.token", r.Host)}
	} else {
		who = access{actor: a.opts.Actor, scope: ScopeAdmin}
	}
	return who, checkSite(r)
}

// overSocket reports whether a request came over a unix socket, which no browser can reach: its
// host means nothing.
func overSocket(r *http.Request) bool {
	address, known := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return known && address.Network() == "unix"
}

// checkSite refuses what a page of another site has a browser ask for. Who is no browser says
// nothing of sites. Another port of this machine is another site: anybody's program may serve it.
func checkSite(r *http.Request) error {
	sites := r.Header.Values("Sec-Fetch-Site")
	foreign := slices.IndexFunc(sites,
		func(site string) bool { return site != "same-origin" && site != "none" })
	switch {
	case foreign >= 0:
		return refuseSite("Sec-Fetch-Site: " + sites[foreign])
	case len(sites) > 0:
		return nil
	}
	for _, origin := range r.Header.Values("Origin") { // of a browser that does not tell more
		parsed, err := url.Parse(origin)
		if err != nil || parsed.Host == "" || !strings.EqualFold(parsed.Host, r.Host) {
			return refuseSite("Origin: " + origin)
		}
	}
	return nil
}

func refuseSite(why string) error {
	return &protocol.Error{Status: http.StatusForbidden,
		Detail: fmt.Sprintf("a page of another site asks for this (%.100s), and may not; open the address in a window of its own, or use the pillarbox command", why)}
}

const bearerRealm = `Bearer realm="pillarbox"`

// checkToken finds out who sends a request: by its token, or by the cookie of a session. What a
// session changes has to say that a page of ours asks for it.
func (a *Handler) checkToken(r *http.Request) (access, error) {
	missing := &protocol.Error{
		Status: http.StatusUnauthorized, Challenge: bearerRealm,
		Detail: "this needs the admin token: Authorization: Bearer TOKEN",
	}
	authorization := r.Header.Values("Authorization")
	if len(authorization) == 0 {
		cookie, err := r.Cookie(CookieName)
		if err != nil {
			return access{}, missing
		}
		who, ok := a.sessions.find(cookie.Value, a.opts.Now())
		if !ok {
			missing.Detail = "the session is over; log in again (POST " + SessionPath + "), or send the admin token: Authorization: Bearer TOKEN"
			return access{}, missing
		}
		return who, ofOurPage(r)
	}
	if len(authorization) != 1 {
		return access{}, missing
	}
	scheme, token, found := strings.Cut(authorization[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return access{}, missing
	}
	who, ok := a.token(strings.TrimLeft(token, " "))
	if !ok {
		a.failedLogin(r)
		return access{}, &protocol.Error{
			Status: http.StatusUnauthorized, Challenge: bearerRealm + `, error="invalid_token"`,
			Detail: "this is not the admin token",
		}
	}
	return who, nil
}

// ofOurPage refuses what changes something with a cookie and does not say which page asks for it:
// every browser does. Where it says so, checkSite looks at it.
func ofOurPage(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead ||
		len(r.Header.Values("Sec-Fetch-Site")) > 0 || len(r.Header.Values("Origin")) > 0 {
		return nil
	}
	return &protocol.Error{Status: http.StatusForbidden,
		Detail: "the request comes with a cookie and does not say from which page (Sec-Fetch-Site, Origin); send the admin token instead"}
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
