package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pillarbox/internal/bus"
	"pillarbox/internal/config"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/otlp"
)

// lastSpans is how long a stop waits for the receiver of telemetry.
const lastSpans = 5 * time.Second

// receiverOf is a receiver of the configuration, under its key.
func receiverOf(key string, r config.Receiver) (otlp.Target, error) {
	to := otlp.Target{Endpoint: r.Endpoint, Protocol: r.Protocol, Headers: map[string]string{}}
	for name, value := range r.Headers {
		to.Headers[name] = string(value)
	}
	var err error
	if to.TLS, err = (bus.TLS{CA: r.TLS.CA, Cert: r.TLS.Cert, Key: r.TLS.Key}).Config(); err != nil {
		return to, fmt.Errorf("%s: %w", key, err)
	}
	return to, to.Check()
}

// checkReceivers reports what of the receivers of telemetry can't be used, beside what the
// configuration knows by itself.
func checkReceivers(cfg *config.Config) error {
	var errs []error
	for key, r := range map[string]config.Receiver{"tracing.otlp": cfg.Tracing.OTLP, "metrics.otlp": cfg.Metrics.OTLP} {
		if r.Endpoint != "" {
			_, err := receiverOf(key, r)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func telemetryOptions(logger *slog.Logger, metrics *telemetry.Metrics) otlp.Options {
	host, err := os.Hostname()
	if err != nil {
		logger.Warn("the name of this machine isn't known, and telemetry goes without it", telemetry.KeyErr, err)
	}
	return otlp.Options{Service: "pillarbox", Version: version(), Instance: cmp.Or(host, "unknown"), Logger: logger,
		Metrics: metrics}
}

// openTraces makes what records traces. Both are nil where nothing does.
func openTraces(ctx context.Context, cfg *config.Config, options otlp.Options) (*telemetry.Traces, *otlp.Spans, error) {
	if !cfg.Tracing.On() {
		return nil, nil, nil
	}
	to, err := receiverOf("tracing.otlp", cfg.Tracing.OTLP)
	if err != nil {
		return nil, nil, usageError{err}
	}
	spans, err := otlp.OpenSpans(ctx, to, options)
	if err != nil {
		return nil, nil, err
	}
	return telemetry.NewTraces(spans, telemetry.TraceOptions{Ratio: float64(cfg.Tracing.Ratio)}), spans, nil
}

// openPush begins to push metrics; nil where they are only scraped.
func openPush(ctx context.Context, cfg *config.Config, registry prometheus.Gatherer, options otlp.Options) (*otlp.Push, error) {
	if cfg.Metrics.OTLP.Endpoint == "" {
		return nil, nil
	}
	to, err := receiverOf("metrics.otlp", cfg.Metrics.OTLP)
	if err != nil {
		return nil, usageError{err}
	}
	return otlp.OpenPush(ctx, to, registry, cfg.Metrics.Every.Std(), options)
}

// closeTelemetry sends what is left. It is the last thing, so that what a stop does is told as well.
func (s *server) closeTelemetry() {
	ctx, cancel := context.WithTimeout(context.Background(), lastSpans)
	defer cancel()
	if s.spans != nil {
		if err := s.spans.Close(ctx); err != nil {
			s.logger.Warn("the last spans were not sent", telemetry.KeyErr, err)
		}
	}
	if s.push != nil {
		if err := s.push.Close(ctx); err != nil {
			s.logger.Warn("the last metrics were not pushed", telemetry.KeyErr, err)
		}
	}
}
