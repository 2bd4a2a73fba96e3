package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"pillarbox/internal/certificate"
	"pillarbox/internal/config"
	"pillarbox/internal/run"
)

// certificates are those of both listeners.
type certificates struct{ public, admin *store }

// store is one that may be nil, for a listener without TLS.
type store struct{ *certificate.Store }

// openCertificates reads the files of all certificates.
func openCertificates(cfg *config.Config, logger *slog.Logger) (*certificates, error) {
	public, err := openStore("tls", cfg.TLS.Certificates, cfg.TLS.ClientCA, logger)
	admin, adminErr := openStore("admin.tls", cfg.Admin.TLS.Certificates, "", logger)
	if err := errors.Join(err, adminErr); err != nil {
		return nil, usageError{placed(cfg, err)}
	}
	return &certificates{public, admin}, nil
}

func openStore(key string, pairs []config.KeyPair, clientCA string, logger *slog.Logger) (*store, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	opts := certificate.Options{Name: key, ClientCA: clientCA, Logger: logger}
	for _, pair := range pairs {
		opts.Pairs = append(opts.Pairs, certificate.Pair{Cert: pair.Cert, Key: pair.Key})
	}
	opened, err := certificate.Open(opts)
	if err != nil {
		return nil, err
	}
	return &store{opened}, nil
}

func (s *store) config() *tls.Config {
	if s == nil {
		return nil
	}
	return s.Config()
}

func (c *certificates) all() (stores []*store) {
	for _, s := range []*store{c.public, c.admin} {
		if s != nil {
			stores = append(stores, s)
		}
	}
	return stores
}

// states are how all certificates are.
func (c *certificates) states() (states []certificate.State) {
	for _, s := range c.all() {
		states = append(states, s.States()...)
	}
	return states
}

// look takes what has changed in the files, at once.
func (c *certificates) look() {
	for _, s := range c.all() {
		s.Look()
	}
}

// services look at the files.
func (c *certificates) services() (services []run.Service) {
	for _, s := range c.all() {
		services = append(services, run.Service{Name: "certificates",
			Run: func(ctx context.Context) error { return s.Run(ctx) }})
	}
	return services
}

// checkCertificates reads the files of all certificates, and refuses one that clients refuse.
func checkCertificates(cfg *config.Config) error {
	opened, err := openCertificates(cfg, nil)
	if err != nil {
		return err
	}
	var errs []error
	for _, state := range opened.states() {
		if !state.NotAfter.After(time.Now()) {
			errs = append(errs, errors.New(state.File+" "+state.Problem))
		}
	}
	return errors.Join(errs...)
}
