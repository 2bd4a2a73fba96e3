package config

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Tracing says which requests are recorded as traces, and where their spans are sent to.
type Tracing struct {
	Ratio Ratio    `yaml:"ratio"` // of requests that come without a trace context
	OTLP  Receiver `yaml:"otlp"`
}

// On reports whether anything is recorded.
func (t Tracing) On() bool { return t.OTLP.Endpoint != "" }

// Metrics says how metrics are kept, and where they are pushed to, beside being there to be scraped.
type Metrics struct {
	NativeHistograms bool     `yaml:"native_histograms"`
	Every            Duration `yaml:"every"` // between two pushes
	OTLP             Receiver `yaml:"otlp"`
}

// Receiver takes spans or metrics by OpenTelemetry's protocol.
type Receiver struct {
	Endpoint string            `yaml:"endpoint"` // http:// or https://; empty for none
	Protocol string            `yaml:"protocol"` // http or grpc
	Headers  map[string]Secret `yaml:"headers,rare"`
	TLS      ReceiverTLS       `yaml:"tls"`
}

// ReceiverTLS is how a receiver and we prove who we are, as files in PEM.
type ReceiverTLS struct {
	CA   string `yaml:"ca"`   // of authorities; empty for those of the system
	Cert string `yaml:"cert"` // of ours; empty for none
	Key  string `yaml:"key"`
}

// The values of Receiver.Protocol.
const (
	ReceiverHTTP = "http"
	ReceiverGRPC = "grpc"
)

// Ratio is a part of a whole, from 0 to 1.
type Ratio float64

var errRatio = errors.New("want a number from 0 (none) to 1 (all), such as 0.01")

// UnmarshalText reads the text form. The error does not repeat the text.
func (r *Ratio) UnmarshalText(text []byte) error {
	value, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(value >= 0 && value <= 1) { // not a number is neither
		return errRatio
	}
	*r = Ratio(value)
	return nil
}

// String returns the text form.
func (r Ratio) String() string { return strconv.FormatFloat(float64(r), 'f', -1, 64) }

// receiver checks one, and that nothing is said of one that is not there.
func (c *checker) receiver(key string, r Receiver) {
	c.oneOf(key+".protocol", r.Protocol, ReceiverHTTP, ReceiverGRPC)
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		c.notRedacted(key+".headers."+name, r.Headers[name])
	}
	c.headers(key+".headers", slices.Sorted(maps.Keys(r.Headers)))
	if (r.TLS.Cert == "") != (r.TLS.Key == "") {
		c.fail(key+".tls", "has a certificate or its key alone; set %s.tls.cert and %s.tls.key, or neither", key, key)
	}
	if r.Endpoint == "" && (len(r.Headers) > 0 || r.TLS != ReceiverTLS{}) {
		c.fail(c.firstSet(key), "has no effect: nothing is sent without %s.endpoint; set that, or leave this out", key)
	}
	if r.Endpoint == "" {
		return
	}
	c.endpoint(key, r)
}

func (c *checker) endpoint(key string, r Receiver) {
	at := key + ".endpoint"
	to, err := url.Parse(r.Endpoint)
	switch {
	case err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https":
		c.fail(at, "%s: want http://HOST:PORT or https://HOST:PORT, as in http://localhost:4318", c.said(at, r.Endpoint))
	case to.User != nil || to.RawQuery != "" || to.Fragment != "":
		c.fail(at, "has a user, a query or a fragment, which the address of a receiver has none of; put credentials into %s.headers", key)
	case r.Protocol == ReceiverGRPC && strings.Trim(to.Path, "/") != "":
		c.fail(at, "%s: has a path, and gRPC has none; leave it out, or use protocol: %s", c.said(at, r.Endpoint), ReceiverHTTP)
	case strings.HasSuffix(strings.TrimSuffix(to.Path, "/"), "/v1/traces"), strings.HasSuffix(strings.TrimSuffix(to.Path, "/"), "/v1/metrics"):
		c.fail(at, "%s: ends with the path of one signal, which is added to it; leave that out", c.said(at, r.Endpoint))
	case to.Scheme == "http" && r.TLS != (ReceiverTLS{}):
		c.fail(at, "%s: is not in TLS, and %s.tls is set; use https://, or leave that out", c.said(at, r.Endpoint), key)
	}
}
