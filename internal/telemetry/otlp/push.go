package otlp

import (
	"context"
	"errors"
	"fmt"
	"time"

	prombridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/prometheus/client_golang/prometheus"
)

// DefaultPushEvery is how often metrics are pushed.
const DefaultPushEvery = time.Minute

// Push sends all metrics of a registry again and again.
type Push struct{ provider *sdkmetric.MeterProvider }

// OpenPush begins to push what is gathered; every is how often, by default DefaultPushEvery. The
// receiver need not be there. Errors: ErrInvalid.
func OpenPush(ctx context.Context, to Target, from prometheus.Gatherer, every time.Duration, options Options) (*Push, error) {
	if err := to.Check(); err != nil {
		return nil, err
	}
	options = options.withDefaults()
	exporter, err := to.metrics(ctx)
	if err != nil {
		return nil, fmt.Errorf("prepare to push metrics to %s: %w", to.Endpoint, err)
	}
	if every <= 0 {
		every = DefaultPushEvery
	}
	told := &pushed{Exporter: exporter, options: options, failing: failing{to: to.Endpoint, what: "metrics", logger: options.Logger}}
	reader := sdkmetric.NewPeriodicReader(told, sdkmetric.WithInterval(every), sdkmetric.WithTimeout(to.timeout()+time.Second),
		sdkmetric.WithProducer(prombridge.NewMetricProducer(prombridge.WithGatherer(from))))
	return &Push{sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(options.resource()))}, nil
}

// Close pushes once more, for as long as ctx lasts.
func (p *Push) Close(ctx context.Context) error {
	if err := p.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("push metrics for the last time: %w", err)
	}
	return nil
}

// metrics makes the exporter of metrics. It dials nobody.
func (t *Target) metrics(ctx context.Context) (sdkmetric.Exporter, error) {
	host, secure := t.host()
	if t.Protocol == HTTP {
		options := []otlpmetrichttp.Option{otlpmetrichttp.WithEndpointURL(t.at("metrics")), otlpmetrichttp.WithHeaders(t.Headers),
			otlpmetrichttp.WithTimeout(t.timeout()), otlpmetrichttp.WithProxy(noProxy), otlpmetrichttp.WithCompression(otlpmetrichttp.GzipCompression)}
		if secure {
			options = append(options, otlpmetrichttp.WithTLSClientConfig(t.tls()))
		}
		return otlpmetrichttp.New(ctx, options...)
	}
	options := []otlpmetricgrpc.Option{otlpmetricgrpc.WithEndpoint(host), otlpmetricgrpc.WithHeaders(t.Headers),
		otlpmetricgrpc.WithTimeout(t.timeout()), otlpmetricgrpc.WithDialOption(grpc.WithNoProxy()), otlpmetricgrpc.WithCompressor("gzip")}
	if secure {
		options = append(options, otlpmetricgrpc.WithTLSCredentials(credentials.NewTLS(t.tls())))
	} else {
		options = append(options, otlpmetricgrpc.WithInsecure())
	}
	return otlpmetricgrpc.New(ctx, options...)
}

// pushed counts pushes, and tells of those that fail. Metrics are sums: what one push has not brought,
// the next one does.
type pushed struct {
	sdkmetric.Exporter
	options Options
	failing failing
}

// Export implements sdkmetric.Exporter. It returns no error: nobody else is to tell of it.
func (p *pushed) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	err := p.Exporter.Export(ctx, metrics)
	if errors.Is(err, context.Canceled) {
		return err // a stop
	}
	p.options.Metrics.Pushed(err == nil)
	if err != nil {
		p.failing.note(err)
		return nil
	}
	p.failing.good()
	return nil
}
