package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pillarbox/internal/proxy"
	"pillarbox/internal/socket"
)

const (
	// MaxCertificates is how many certificates a listener may have: each handshake may look at all of
	// them.
	MaxCertificates = 100

	// MaxListeners is how many addresses the public listener may have.
	MaxListeners = 64

	// SystemdScheme begins the address of listeners that systemd has opened: systemd:NAME.
	SystemdScheme = "systemd:"
)

// public checks the public listener, and who stands in front of it.
func (c *checker) public() {
	listen := c.config.Listen
	if n := len(listen.Address); n == 0 || n > MaxListeners {
		c.fail("listen", "has %d addresses; want 1 to %d, such as :8080", n, MaxListeners)
	}
	overTCP, overUnix := false, false
	for i, address := range listen.Address {
		key := c.itemOf("listen", i)
		if slices.Contains(listen.Address[:i], address) {
			c.fail(key, "%s is there twice", c.said(key, address))
		}
		if err := checkListen(address); err != nil {
			c.fail(key, "%s: %w", c.said(key, address), err)
		}
		_, isSocket := socket.Path(address)
		isSystemd := strings.HasPrefix(address, SystemdScheme) // may be of either kind
		overTCP, overUnix = overTCP || isSystemd || !isSocket, overUnix || isSystemd || isSocket
	}
	c.certificates("tls", c.config.TLS.Certificates)
	if c.config.TLS.On() && !overTCP {
		c.fail("tls", "has no effect: it is for addresses of TCP, and listen has none")
	}
	c.acme()
	if listen.SocketMode != Default().Listen.SocketMode && !overUnix {
		c.fail("listen.socket_mode", "has no effect: listen has no unix socket")
	}
	c.clientCA()
	c.readyPath()
	c.proxies(overUnix)
}

// itemOf is the key of an item of a list, or, where the item stands alone in the place of the list,
// of the list.
func (c *checker) itemOf(key string, i int) string {
	item := fmt.Sprintf("%s[%d]", key, i)
	if _, marked := c.config.marks[item]; !marked {
		return key
	}
	return item
}

// checkListen reports why nobody can listen at an address, or nil.
func checkListen(address string) error {
	if name, found := strings.CutPrefix(address, SystemdScheme); found {
		if name == "" || strings.ContainsAny(name, ": ") {
			return errors.New("want the FileDescriptorName of a socket unit, as in systemd:pillarbox")
		}
		return nil
	}
	if path, known := socket.Path(address); known {
		return socket.Check(path)
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return errors.New("want host:port or :port, unix:/path, or systemd:NAME")
	}
	return nil
}

// certificates checks the names of files; they are opened by whoever starts or checks all of it.
func (c *checker) certificates(key string, pairs []KeyPair) {
	key += ".certificates"
	if len(pairs) > MaxCertificates {
		c.fail(key, "there are %d; want at most %d", len(pairs), MaxCertificates)
	}
	for i, pair := range pairs {
		item := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case pair.Cert == "" || pair.Key == "":
			c.fail(item, "want both cert and key, as in {cert: cert.pem, key: key.pem}")
		case slices.Contains(pairs[:i], pair):
			c.fail(item, "has no effect: the same files are there before")
		}
	}
}

// MaxDomains bounds tls.acme.domains: each has a certificate of its own.
const MaxDomains = 100

var domainForm = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// acme checks the names that certificates are made for.
func (c *checker) acme() {
	acme := c.config.TLS.ACME
	if len(acme.Domains) > MaxDomains {
		c.fail("tls.acme.domains", "has %d names; want at most %d", len(acme.Domains), MaxDomains)
	}
	for i, domain := range acme.Domains {
		key := c.itemOf("tls.acme.domains", i)
		switch {
		case strings.HasPrefix(domain, "*."):
			c.fail(key, "%s: a wildcard can't be proven by TLS; name each domain, or use tls.certificates", c.said(key, domain))
		case !domainForm.MatchString(domain) || len(domain) > 253 || net.ParseIP(domain) != nil:
			c.fail(key, "%s: want a domain in lower case, such as hooks.example.org", c.said(key, domain))
		case slices.Contains(acme.Domains[:i], domain):
			c.fail(key, "%s is there twice", c.said(key, domain))
		}
	}
	if acme.Email != "" && !strings.Contains(acme.Email, "@") {
		c.fail("tls.acme.email", "%s is no address", c.said("tls.acme.email", acme.Email))
	}
	if directory, err := url.Parse(acme.Directory); acme.Directory != "" &&
		(err != nil || directory.Scheme != "https" || directory.Host == "" || directory.User != nil) {
		c.fail("tls.acme.directory", "want a URL such as https://acme-v02.api.letsencrypt.org/directory")
	}
	for _, key := range []struct{ name, value string }{{"email", acme.Email}, {"directory", acme.Directory}} {
		if key.value != "" && len(acme.Domains) == 0 {
			c.fail("tls.acme."+key.name, "has no effect without tls.acme.domains")
		}
	}
}

// clientCA checks that client certificates are asked for where a source wants them, and only there.
func (c *checker) clientCA() {
	wanted := ""
	for name, source := range c.config.Sources {
		if slices.ContainsFunc(source.Auth, func(way Auth) bool { return way.ClientCert.isSet() }) {
			wanted = name
		}
	}
	ca := c.config.TLS.ClientCA
	switch {
	case ca == "" && wanted != "":
		c.fail("sources."+wanted+".auth", "client_cert lets nobody in without tls.client_ca, the file of the authorities that sign the certificates of clients")
	case ca != "" && !c.config.TLS.On():
		c.fail("tls.client_ca", "has no effect without tls.certificates or tls.acme")
	case ca != "" && wanted == "":
		c.fail("tls.client_ca", "has no effect: no source has auth: [{client_cert: {names: [...]}}]")
	}
}

func (c *checker) readyPath() {
	at := c.config.Listen.ReadyPath
	if at == "" {
		return
	}
	if !cleanPath(at) || at == "/" {
		c.fail("listen.ready_path", "%s: want a path such as /ready, without a slash at its end and without any of ?#%%", c.said("listen.ready_path", at))
	}
	for name, source := range c.config.Sources {
		if at == source.Path || at == strings.TrimSuffix(source.Path, "/")+batchSuffix {
			c.fail("listen.ready_path", "the source %q has the same path, or its batches have", name)
		}
	}
}

// Unix is the item of trusted_proxies for whoever comes over a unix socket.
const Unix = proxy.Unix

// proxies checks who is believed, and what.
func (c *checker) proxies(overUnix bool) {
	listen, trusted := c.config.Listen, c.config.TrustedProxies
	for i, item := range trusted {
		if item != Unix {
			continue
		}
		if key := c.itemOf("trusted_proxies", i); !overUnix {
			c.fail(key, "%q has no effect: listen has no unix socket", item)
		} else if slices.Contains(trusted[:i], item) {
			c.fail(key, "%q is there twice", item)
		}
	}
	c.prefixes("trusted_proxies", trusted, nil)
	if len(trusted) > MaxAddresses {
		c.fail("trusted_proxies", "has %d items; want at most %d", len(trusted), MaxAddresses)
	}
	header := c.config.ForwardedHeader
	c.oneOf("forwarded_header", header, proxy.XForwardedFor, proxy.Forwarded, "")
	for i, address := range listen.ProxyProtocol {
		key := c.itemOf("listen.proxy_protocol", i)
		if !slices.Contains(listen.Address, address) {
			c.fail(key, "%s is none of the addresses of listen", c.said(key, address))
		} else if slices.Contains(listen.ProxyProtocol[:i], address) {
			c.fail(key, "%s is there twice", c.said(key, address))
		}
	}
	switch {
	case len(listen.ProxyProtocol) > 0 && len(trusted) == 0:
		c.fail("listen.proxy_protocol", "lets nobody in without trusted_proxies, which says who may come with such a header")
	case len(trusted) > 0 && header == "" && len(listen.ProxyProtocol) == 0:
		c.fail("trusted_proxies", "has no effect: with neither forwarded_header nor listen.proxy_protocol, nothing is believed of them")
	case header != "" && header != Default().ForwardedHeader && len(trusted) == 0:
		c.fail("forwarded_header", "has no effect: trusted_proxies names nobody who is believed")
	}
}
