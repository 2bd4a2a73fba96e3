// Package bus makes messages of events for destinations that are brokers: what a message holds, its
// key and its headers, where the broker is and how a connection to it is proven.
//
// It promises that a message names its event by the same id however often it is sent, and that a
// setting which is wrong, or has no effect, is refused before anything is sent. It knows no broker,
// makes no connection and keeps nothing. It does not check that credentials are right.
package bus

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"pillarbox"
	"pillarbox/internal/jsontext"
)

// What a message holds.
const (
	FormatEvent       = "event"       // the event in JSON
	FormatCloudEvents = "cloudevents" // its body as it came, and attributes of CloudEvents as headers
)

// Formats lists them.
func Formats() []string { return []string{FormatEvent, FormatCloudEvents} }

// What the key of a message is.
const (
	KeyNone      = "none"
	KeyRequestID = "request_id"
	KeySource    = "source"
	keyHeader    = "header:" // and the name of a header of the event
	keyJSON      = "json:"   // and a pointer into its body
)

// MaxHeaders bounds the headers that a configuration adds.
const MaxHeaders = 64

// Options of messages and connections. Zero means the default.
type Options struct {
	Format  string            // FormatEvent where empty
	Key     string            // KeyRequestID where empty
	Headers map[string]string // of each message
	TLS     TLS
}

// TLS says how a connection is encrypted. CA, Cert and Key are files in PEM.
type TLS struct {
	Enabled   bool   // also where CA or Cert is set
	CA        string // of authorities; empty for those of the system
	Cert, Key string // that the broker is shown; empty for none
}

// SettingError says which setting is wrong, and why. It never holds a secret. It matches ErrInvalid.
type SettingError struct {
	Key    string // as in a configuration: url, headers.X-Name, auth.user, tls.ca, …
	Reason string
}

func (e *SettingError) Error() string { return e.Key + ": " + e.Reason }

// Unwrap returns ErrInvalid.
func (e *SettingError) Unwrap() error { return pillarbox.ErrInvalid }

// Wrong makes a SettingError.
func Wrong(key, format string, args ...any) error {
	return &SettingError{Key: key, Reason: fmt.Sprintf(format, args...)}
}

func (o Options) withDefaults() Options {
	o.Format = cmp.Or(o.Format, FormatEvent)
	o.Key = cmp.Or(o.Key, KeyRequestID)
	return o
}

func (o *Options) validate() error {
	if !slices.Contains(Formats(), o.Format) {
		return Wrong("format", "want one of %s", strings.Join(Formats(), ", "))
	}
	if err := checkKey(o.Key); err != nil {
		return err
	}
	return o.validateHeaders()
}

func checkKey(key string) error {
	name, isHeader := strings.CutPrefix(key, keyHeader)
	pointer, isJSON := strings.CutPrefix(key, keyJSON)
	switch {
	case isHeader && !httpguts.ValidHeaderFieldName(name):
		return Wrong("key", "%q is no name of a header", name)
	case isJSON:
		if err := jsontext.CheckPointer(pointer); err != nil {
			return Wrong("key", "%v", err)
		}
	case !isHeader && key != KeyNone && key != KeyRequestID && key != KeySource:
		return Wrong("key", "want request_id, source, header:NAME, json:/POINTER or none")
	}
	return nil
}

// reserved begin the names of headers that messages have anyway, or that mean something to a broker.
var reserved = []string{"content-type", "traceparent", "tracestate", headerID, "ce-", "ce_", "nats-"}

func (o *Options) validateHeaders() error {
	if len(o.Headers) > MaxHeaders {
		return Wrong("headers", "there are %d; want at most %d", len(o.Headers), MaxHeaders)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		value, lower := o.Headers[name], strings.ToLower(name)
		isReserved := func(begin string) bool { return strings.HasPrefix(lower, begin) }
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return Wrong("headers."+name, "is no name of a header")
		case slices.ContainsFunc(reserved, isReserved):
			return Wrong("headers."+name, "can't be set: each message has its own, or none")
		case value == "" || !httpguts.ValidHeaderFieldValue(value) || strings.TrimSpace(value) != value:
			return Wrong("headers."+name,
				"is empty, or has a space at an end or characters that can't stand in a header")
		}
	}
	return nil
}

// Config returns what a connection is encrypted by, and nil where it is not. The certificate and its
// key are read again with each handshake, so that a new one is taken without a restart.
func (t TLS) Config() (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		text, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, Wrong("tls.ca", "%v", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, Wrong("tls.ca", "there is no certificate in PEM in it")
		}
	}
	switch {
	case t.Cert == "" && t.Key == "":
		return config, nil
	case t.Cert == "":
		return nil, Wrong("tls.cert", "is not set, and there is a key")
	case t.Key == "":
		return nil, Wrong("tls.key", "is not set, and there is a certificate")
	}
	load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		return &pair, err
	}
	if _, err := load(nil); err != nil {
		return nil, Wrong("tls.cert", "%v", err)
	}
	config.GetClientCertificate = load
	return config, nil
}

// ParseURL reads SCHEME://HOST:PORT,HOST:PORT/NAME. A host without a port has the one that is given.
// Credentials, options and further parts of a path are refused.
func ParseURL(url string, port int) (hosts []string, name string, err error) {
	scheme, rest, _ := strings.Cut(url, ":")
	want := Wrong("url", "want %s://HOST:%d/NAME, with several hosts as HOST:%d,HOST:%d", scheme, port, port, port)
	rest, slashes := strings.CutPrefix(rest, "//")
	list, name, _ := strings.Cut(rest, "/")
	switch {
	case strings.Contains(rest, "@"):
		return nil, "", Wrong("url", "holds credentials; give them in auth")
	case strings.ContainsAny(rest, "?#"):
		return nil, "", Wrong("url", "has options after ? or #; there are none")
	case !slashes || list == "" || name == "" || strings.Contains(name, "/"):
		return nil, "", want
	}
	for _, host := range strings.Split(list, ",") {
		if h, p, splitErr := net.SplitHostPort(host); splitErr == nil {
			if n, numberErr := strconv.ParseUint(p, 10, 16); numberErr != nil || n == 0 || h == "" {
				return nil, "", want
			}
		} else if host == "" || strings.ContainsAny(host, ":[] ") && !isIPv6(host) {
			return nil, "", want
		} else {
			host = net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
		}
		hosts = append(hosts, host)
	}
	return hosts, name, nil
}

// isIPv6 reports whether a host is an address in brackets.
func isIPv6(host string) bool {
	inner, opened := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	return opened && closed && net.ParseIP(inner) != nil
}
