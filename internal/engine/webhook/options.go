package webhook

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"pillarbox"
	"pillarbox/internal/evidence"
	"pillarbox/internal/signature"
)

// What a request holds.
const (
	SendEvent = "event"  // one event in JSON
	SendBody  = "body"   // the body of one event as it came, with its content type
	SendLines = "ndjson" // a batch, one event a line
	SendArray = "array"  // a batch as an array
)

// Sends lists them.
func Sends() []string { return []string{SendEvent, SendLines, SendArray, SendBody} }

// Limits and defaults.
const (
	// DefaultConcurrency is how many requests are in flight at most: what a small receiver bears.
	DefaultConcurrency = 16
	// MaxConcurrency bounds Concurrency: each request in flight is a connection and a goroutine.
	MaxConcurrency = 1024
	// MaxRate bounds Rate, in requests a second: ten times what a machine sends.
	MaxRate = 1_000_000
	// MaxHeaders bounds the headers that a configuration adds.
	MaxHeaders = 64
	// MaxRetryAfter bounds how long an answer can keep us away: an hour, so that a wrong date in a
	// header is no outage of days.
	MaxRetryAfter = time.Hour

	connectTime   = 10 * time.Second // for a connection, and as long for TLS
	keepAlive     = 15 * time.Second // between probes of TCP, and of HTTP/2
	pingTime      = 10 * time.Second // after which HTTP/2 without an answer is cut
	idleTime      = 90 * time.Second // for which a connection is kept without a request
	defaultTime   = 30 * time.Second // of a Write without a deadline
	tokenTime     = 10 * time.Second // of a request for a token
	drainTime     = time.Second      // for the rest of an answer, once its status is known
	tooManyWait   = time.Second      // after 429 without Retry-After
	maxDrain      = 64 << 10         // bytes of an answer that are read, so that its connection can be kept
	maxHeader     = 64 << 10         // bytes of the head of an answer
	maxExcerpt    = 256              // bytes of an answer that an error shows
	minGiveUp     = 8                // outages in a row that end a Write
	fewOf         = 10               // one in so many is few
	bufferSize    = 16 << 10         // of a connection, each way
	tokenLeeway   = 10 * time.Second // before its end, a token is not used any more
	agent         = "pillarbox"
	batchIDPrefix = "batch_"
)

// Options of a Sink. Zero means the default.
type Options struct {
	Send           string // SendEvent where empty
	Concurrency    int    // requests in flight at most, of all Writes together
	Rate           int    // requests a second at most; 0 for no limit
	SigningSecrets []string
	Headers        map[string]string // of each request
	OAuth2         OAuth2
	Proxy          Proxy
	TLS            TLS
	AllowPrivate   bool             // connect to addresses that are not public, too
	Now            func() time.Time // the date, for signatures; time.Now where nil
}

// OAuth2 is how a token is got: the grant of client credentials (RFC 6749, section 4.4). Without a
// TokenURL there is none.
type OAuth2 struct {
	TokenURL, ClientID, ClientSecret string
	Scopes                           []string
}

// Proxy stands between us and the receiver. Without a URL there is none; the environment is not asked.
type Proxy struct {
	URL            string // http, https or socks5
	User, Password string
}

// TLS are files in PEM. They are read when the sink is opened; the certificate and its key again
// with each handshake, so that a new one is taken without a restart.
type TLS struct {
	CA        string // of authorities; empty for those of the system
	Cert, Key string // that the receiver is shown; empty for none
}

// SettingError says which setting is wrong, and why. It never holds a secret. It matches ErrInvalid.
type SettingError struct {
	Key    string // as in a configuration: url, signing_secrets[0], headers.X-Name, proxy, tls.ca, …
	Reason string
}

func (e *SettingError) Error() string { return e.Key + ": " + e.Reason }

// Unwrap returns ErrInvalid.
func (e *SettingError) Unwrap() error { return pillarbox.ErrInvalid }

func wrong(key, format string, args ...any) error {
	return &SettingError{Key: key, Reason: fmt.Sprintf(format, args...)}
}

func (o Options) withDefaults() Options {
	o.Send = cmp.Or(o.Send, SendEvent)
	o.Concurrency = cmp.Or(o.Concurrency, DefaultConcurrency)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// isBatch reports whether a request holds a batch.
func (o *Options) isBatch() bool { return o.Send == SendLines || o.Send == SendArray }

func (o *Options) validate(to *url.URL) error {
	switch {
	case !slices.Contains(Sends(), o.Send):
		return wrong("send", "want one of %s", strings.Join(Sends(), ", "))
	case o.Concurrency < 1 || o.Concurrency > MaxConcurrency:
		return wrong("concurrency", "is %d; want 1 to %d", o.Concurrency, MaxConcurrency)
	case o.Rate < 0 || o.Rate > MaxRate:
		return wrong("rate", "is %d; want 1 to %d, or 0 for no limit", o.Rate, MaxRate)
	}
	if err := o.validateHeaders(to); err != nil {
		return err
	}
	return o.validateOAuth2(to)
}

// reserved are headers that requests have anyway, or that are of the connection.
var reserved = []string{
	"Content-Type", "Idempotency-Key", signature.HeaderID, signature.HeaderTimestamp, signature.HeaderSignature,
	"Proxy-Authorization", "Accept-Encoding", "Traceparent", "Tracestate",
}

func (o *Options) validateHeaders(to *url.URL) error {
	if len(o.Headers) > MaxHeaders {
		return wrong("headers", "there are %d; want at most %d", len(o.Headers), MaxHeaders)
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		value := o.Headers[name]
		key, canonical := "headers."+name, http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return wrong(key, "is no name of a header")
		case seen[canonical]:
			return wrong(key, "is there twice: small and capital letters make no difference")
		case slices.Contains(reserved, canonical), evidence.IsOfConnection(canonical),
			strings.HasPrefix(canonical, factPrefix):
			return wrong(key, "can't be set: each request has its own, or none")
		case value == "" || !httpguts.ValidHeaderFieldValue(value) || strings.TrimSpace(value) != value:
			return wrong(key, "is empty, or has a space at an end or characters that can't stand in a header")
		case canonical == "Authorization" && o.OAuth2.TokenURL != "":
			return wrong(key, "can't be set beside oauth2, which sets it")
		case evidence.IsSecret(canonical) && to.Scheme == "http" && !o.AllowPrivate:
			return wrong(key, "is a credential, and http: is read by everybody on the way; use https:")
		}
		seen[canonical] = true
	}
	return nil
}

func (o *Options) validateOAuth2(to *url.URL) error {
	c := o.OAuth2
	if c.TokenURL == "" {
		if c.ClientID != "" || c.ClientSecret != "" || len(c.Scopes) > 0 {
			return wrong("oauth2.token_url", "is not set, so that the rest of oauth2 has no effect")
		}
		return nil
	}
	at, err := parseURL("oauth2.token_url", c.TokenURL, o.AllowPrivate)
	switch {
	case err != nil:
		return err
	case (at.Scheme == "http" || to.Scheme == "http") && !o.AllowPrivate:
		return wrong("oauth2.token_url", "credentials and tokens over http: are read by everybody on the way; use https: for it and for url")
	case c.ClientID == "":
		return wrong("oauth2.client_id", "is not set")
	case c.ClientSecret == "":
		return wrong("oauth2.client_secret", "is not set")
	}
	return nil
}

// parseURL reads an address that requests go to. Errors hold nothing of it.
func parseURL(key, text string, allowPrivate bool) (*url.URL, error) {
	at, err := url.Parse(text)
	switch {
	case err != nil || at.Scheme != "https" && at.Scheme != "http" || at.Hostname() == "":
		return nil, wrong(key, "want https://HOST/PATH or http://HOST/PATH")
	case at.User != nil:
		return nil, wrong(key, "holds credentials; give them in headers or oauth2")
	case at.Fragment != "":
		return nil, wrong(key, "has a fragment (#), which is never sent; leave it out")
	case !allowPrivate && isPrivateHost(at.Hostname()):
		return nil, wrong(key, "is at a private address; allow_private: true allows that, at any port")
	}
	return at, nil
}

// proxyURL returns nil where there is none. The connection to it is subject to the rule of addresses
// like any other; what it connects to is its own business.
func (o *Options) proxyURL() (*url.URL, error) {
	p := o.Proxy
	if p.URL == "" {
		if p.User != "" || p.Password != "" {
			return nil, wrong("proxy.url", "is not set, so that the rest of proxy has no effect")
		}
		return nil, nil
	}
	at, err := url.Parse(p.URL)
	switch {
	case err != nil || !slices.Contains([]string{"http", "https", "socks5"}, at.Scheme) || at.Hostname() == "" ||
		at.Path != "" && at.Path != "/" || at.RawQuery != "":
		return nil, wrong("proxy", "want http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT")
	case at.User != nil:
		return nil, wrong("proxy", "holds credentials; give them as user and password: proxy: { url: …, user: …, password: … }")
	case p.Password != "" && p.User == "":
		return nil, wrong("proxy.user", "is not set, and there is a password")
	case !o.AllowPrivate && isPrivateHost(at.Hostname()):
		return nil, wrong("proxy", "is at a private address; allow_private: true allows that. The proxy then has to say where requests may go: it, and not pillarbox, looks names up")
	}
	if p.User != "" {
		at.User = url.UserPassword(p.User, p.Password)
	}
	return at, nil
}

func (o *Options) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.TLS.CA != "" {
		text, err := os.ReadFile(o.TLS.CA)
		if err != nil {
			return nil, wrong("tls.ca", "%v", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, wrong("tls.ca", "there is no certificate in PEM in it")
		}
	}
	cert, key := o.TLS.Cert, o.TLS.Key
	switch {
	case cert == "" && key == "":
		return config, nil
	case cert == "":
		return nil, wrong("tls.cert", "is not set, and there is a key")
	case key == "":
		return nil, wrong("tls.key", "is not set, and there is a certificate")
	}
	load := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert, key)
		return &pair, err
	}
	if _, err := load(); err != nil {
		return nil, wrong("tls.cert", "%v", err)
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return config, nil
}
