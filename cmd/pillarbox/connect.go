package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"pillarbox/internal/config"
	"pillarbox/internal/httpapi"
)

// lookTime bounds the look for a running server.
const lookTime = 2 * time.Second

// connect finds what a command talks to: the server that --server names; else the server at the configured
// admin address, if it has the same data directory or none was chosen; else the data directory itself, or what the
// configuration names elsewhere, opened by this process behind the same API. done must be called in any case.
func (g *globalFlags) connect(ctx context.Context) (client *httpapi.Client, done func() error, err error) {
	nothing := func() error { return nil }
	cfg, err := g.load()
	if err != nil {
		return nil, nothing, err
	}
	base := g.serverFlag()
	chosen := base != ""
	if !chosen {
		base = "http://" + displayAddress(cfg.Admin.Listen)
	}
	remote, err := httpapi.NewClient(base, httpapi.ClientOptions{Token: g.adminToken(cfg)})
	if err != nil {
		return nil, nothing, usageError{err}
	}
	if chosen || g.serverHasData(ctx, remote, cfg) {
		return remote, nothing, nil
	}
	o, err := openOffice(ctx, cfg, quietLogger(), true)
	if err != nil {
		return nil, nothing, fmt.Errorf("%w (and no server with this data directory answers at %s)", err, base)
	}
	handler := httpapi.NewAdmin(desk{o}, httpapi.AdminOptions{Metrics: http.NotFoundHandler(), Logger: quietLogger()})
	local, err := httpapi.NewClient("http://localhost", httpapi.ClientOptions{HTTP: httpapi.InProcess(handler)})
	if err != nil {
		return nil, nothing, errors.Join(err, o.Close())
	}
	return local, o.Close, nil
}

// serverFlag is --server, or PILLARBOX_SERVER.
func (g *globalFlags) serverFlag() string {
	if g.server != "" {
		return g.server
	}
	return os.Getenv("PILLARBOX_SERVER")
}

func (g *globalFlags) adminToken(cfg *config.Config) string {
	if g.token != "" {
		return g.token
	}
	return string(cfg.Admin.Token)
}

// serverHasData reports whether a server answers that is the right one.
func (g *globalFlags) serverHasData(ctx context.Context, remote *httpapi.Client, cfg *config.Config) bool {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	status, err := remote.Status(ctx)
	if err != nil {
		return false
	}
	if o := (&office{config: cfg}); !o.local() {
		return sameDestinations(status, cfg)
	}
	chosen := cfg.Origin("data") != "default"
	wanted, err := filepath.Abs(cfg.Data)
	return !chosen || (err == nil && wanted == status.Data)
}

// sameDestinations reports whether the server delivers where the configuration says. It stands in for the data directory
// where there is none.
func sameDestinations(status *httpapi.Status, cfg *config.Config) bool {
	urls := map[string]string{}
	for _, destination := range status.Destinations {
		urls[destination.Destination] = destination.URL
	}
	for name, destination := range cfg.Destinations {
		if urls[name] != destination.URL {
			return false
		}
	}
	return len(urls) == len(cfg.Destinations)
}

// quietLogger lets only warnings through: a command's own output comes first.
func quietLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
