package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"pillarbox/internal/acme"
	"pillarbox/internal/certificate"
	"pillarbox/internal/config"
	"pillarbox/internal/run"
)

// certificates are those of both listeners.
type certificates struct {
	public, admin *store
	acme          *acme.Manager // nil where none are made
}

// store is one that may be nil, for a listener without TLS.
type store struct{ *certificate.Store }

// openCertificates reads the files of all certificates.
func openCertificates(cfg *config.Config, logger *slog.Logger) (*certificates, error) {
	c := &certificates{}
	public := certificate.Options{Name: "tls", ClientCA: cfg.TLS.ClientCA, Logger: logger}
	if made := cfg.TLS.ACME; len(made.Domains) > 0 {
		c.acme = acme.New(acme.Options{Domains: made.Domains, Email: made.Email, Directory: made.Directory,
			Dir: filepath.Join(cfg.Data, acmeDir), Logger: logger})
		alone := len(cfg.TLS.Certificates) == 0
		public.Protocols = []string{acme.Protocol}
		public.More = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.acme.GetCertificate(hello, alone)
		}
	}
	var err, adminErr error
	c.public, err = openStore(public, cfg.TLS.Certificates)
	c.admin, adminErr = openStore(certificate.Options{Name: "admin.tls", Logger: logger}, cfg.Admin.TLS.Certificates)
	if err := errors.Join(placedAll(cfg, err), placedAll(cfg, adminErr)); err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// placedAll is placed for each of the errors that one joins.
func placedAll(cfg *config.Config, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return placed(cfg, err)
	}
	var errs []error
	for _, one := range joined.Unwrap() {
		errs = append(errs, placed(cfg, one))
	}
	return errors.Join(errs...)
}

// acmeDir is where accounts and certificates of ACME are, below the data directory.
const acmeDir = "acme"

func openStore(opts certificate.Options, pairs []config.KeyPair) (*store, error) {
	if len(pairs) == 0 && opts.More == nil {
		return nil, nil
	}
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
	if c.acme != nil {
		states = append(states, c.acme.States()...)
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
	if c.acme != nil { // the public listener answers by now
		services = append(services, run.Service{Name: "acme", Run: c.acme.Run})
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
		if !state.NotAfter.IsZero() && !state.NotAfter.After(time.Now()) {
			errs = append(errs, placed(cfg, fmt.Errorf("%s.certificates: %s %s", state.Name, state.File, state.Problem)))
		}
	}
	return errors.Join(errs...)
}
