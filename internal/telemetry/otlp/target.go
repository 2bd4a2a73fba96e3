package otlp

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"pillarbox"
)

// The protocols of a Target.
const (
	HTTP = "http" // protobuf over HTTP
	GRPC = "grpc"
)

// DefaultTimeout is how long one call of a receiver may take, with its retries.
const DefaultTimeout = 10 * time.Second

// Target is a receiver.
type Target struct {
	Endpoint string            // its base: http:// or https://, a host, and a path where HTTP has one before /v1/...
	Protocol string            // HTTP or GRPC
	Headers  map[string]string // of each call
	TLS      *tls.Config       // nil: the system's authorities
	Timeout  time.Duration     // of one call; default DefaultTimeout
}

// Check reports why a target can't be used, or nil. Errors: ErrInvalid.
func (t *Target) Check() error {
	to, err := url.Parse(t.Endpoint)
	switch {
	case err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https":
		return pillarbox.Invalid("%q is no address of a receiver; want http://HOST:PORT or https://HOST:PORT", t.Endpoint)
	case to.User != nil || to.RawQuery != "" || to.Fragment != "":
		return pillarbox.Invalid("the address of a receiver has no user, query or fragment; put credentials into headers")
	case t.Protocol == GRPC && strings.Trim(to.Path, "/") != "":
		return pillarbox.Invalid("%q has a path, which gRPC has none of; leave it out, or use the protocol %s", t.Endpoint, HTTP)
	case t.Protocol != HTTP && t.Protocol != GRPC:
		return pillarbox.Invalid("the protocol is %q; want %s or %s", t.Protocol, HTTP, GRPC)
	}
	return nil
}

// at is the address of one signal over HTTP.
func (t *Target) at(signal string) string {
	return strings.TrimSuffix(t.Endpoint, "/") + "/v1/" + signal
}

func (t *Target) timeout() time.Duration {
	if t.Timeout <= 0 {
		return DefaultTimeout
	}
	return t.Timeout
}

// tls is never nil, so that no file that the environment names takes its place.
func (t *Target) tls() *tls.Config {
	if t.TLS == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return t.TLS
}

// noProxy lets no proxy of the environment stand in between, as with webhooks.
func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// host is where gRPC dials, and whether that is in TLS.
func (t *Target) host() (host string, secure bool) {
	to, err := url.Parse(t.Endpoint)
	if err != nil {
		panic("pillarbox: bug: a target was not checked: " + err.Error())
	}
	return to.Host, to.Scheme == "https"
}

// traces makes the exporter of spans. It dials nobody.
func (t *Target) traces(ctx context.Context) (sdktrace.SpanExporter, error) {
	host, secure := t.host()
	if t.Protocol == HTTP {
		options := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(t.at("traces")), otlptracehttp.WithHeaders(t.Headers),
			otlptracehttp.WithTimeout(t.timeout()), otlptracehttp.WithProxy(noProxy), otlptracehttp.WithCompression(otlptracehttp.GzipCompression)}
		if secure {
			options = append(options, otlptracehttp.WithTLSClientConfig(t.tls()))
		}
		return otlptrace.New(ctx, otlptracehttp.NewClient(options...))
	}
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(host), otlptracegrpc.WithHeaders(t.Headers),
		otlptracegrpc.WithTimeout(t.timeout()), otlptracegrpc.WithDialOption(grpc.WithNoProxy()), otlptracegrpc.WithCompressor("gzip")}
	if secure {
		options = append(options, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(t.tls())))
	} else {
		options = append(options, otlptracegrpc.WithInsecure())
	}
	return otlptrace.New(ctx, otlptracegrpc.NewClient(options...))
}
