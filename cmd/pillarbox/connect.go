package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"syscall"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/config"
	"pillarbox/internal/node"
	"pillarbox/internal/socket"
)

// lookTime bounds the look for a running server.
const lookTime = 2 * time.Second

// connect finds what a command talks to: the server that --server names; else the server at the
// configured admin address, if it has the same data directory or none was chosen; else the data
// directory itself, or what the configuration names elsewhere, opened by this process behind the
// same API. done must be called in any case.
func (g *globalFlags) connect(ctx context.Context) (client *adminclient.Client, done func() error,
	err error) {
	return g.connectTo(ctx, &engines{readOnly: true})
}

// connectToWrite is connect for what puts events into the queue.
func (g *globalFlags) connectToWrite(ctx context.Context) (client *adminclient.Client, done func() error,
	err error) {
	return g.connectTo(ctx, &engines{mustExist: true})
}

func (g *globalFlags) connectTo(ctx context.Context, e *engines) (client *adminclient.Client, done func() error,
	err error) {
	nothing := func() error { return nil }
	cfg, err := g.load()
	if err != nil {
		return nil, nothing, err
	}
	remote, runs, err := g.reach(ctx, cfg)
	if err != nil {
		return nil, nothing, err
	}
	if runs {
		return remote, nothing, nil
	}
	e.config, e.logger = cfg, quietLogger()
	n, err := openNode(ctx, e, node.Options{})
	if err != nil {
		return nil, nothing, fmt.Errorf("%w (and no server with this data directory answers at %s, which --admin sets)", err, remote.Base())
	}
	local, err := adminclient.New("http://localhost",
		adminclient.Options{HTTP: adminclient.InProcess(n.AdminHandler(adminapi.Options{
			Actor: thisUser(), Metrics: http.NotFoundHandler()}))})
	if err != nil {
		return nil, nothing, errors.Join(err, n.Close())
	}
	return local, n.Close, nil
}

// thisUser is who a command works for, in the trail.
func thisUser() string {
	if who, err := user.Current(); err == nil {
		return "user " + who.Username
	}
	return fmt.Sprintf("user %d", os.Getuid())
}

// connectServer is connect for what only a running server can do.
func (g *globalFlags) connectServer(ctx context.Context, what string) (*adminclient.Client, error) {
	cfg, err := g.load()
	if err != nil {
		return nil, err
	}
	remote, runs, err := g.reach(ctx, cfg)
	if err == nil && !runs {
		err = fmt.Errorf("%s needs a running server, and none with this data directory answers at %s; start one with \"pillarbox serve\", or name one with --server: %w", what, remote.Base(), pillarbox.ErrUnavailable)
	}
	return remote, err
}

// reach makes a client for the server that --server names, or else for the configured admin
// address, and reports whether the right server runs there. One that was named is not looked for.
func (g *globalFlags) reach(ctx context.Context,
	cfg *config.Config) (remote *adminclient.Client, runs bool, err error) {
	remote, chosen, err := g.remote(cfg)
	if err != nil || chosen {
		return remote, chosen, err
	}
	runs, err = g.serverHasData(ctx, remote, cfg)
	return remote, runs, err
}

// remote makes a client for the server that --server names, or else for the configured admin
// address, and reports whether one was named. Nothing is asked yet.
func (g *globalFlags) remote(cfg *config.Config) (remote *adminclient.Client, chosen bool, err error) {
	base := g.serverFlag()
	chosen = base != ""
	to := target{}
	if !chosen {
		base = "http://" + node.DisplayAddress(cfg.Admin.Listen)
		if cfg.Admin.TLS.On() {
			base, to.own = "https://"+node.DisplayAddress(cfg.Admin.Listen), cfg.Admin.TLS.Certificates
		}
		if _, known := socket.Path(cfg.Admin.Listen); known {
			base = cfg.Admin.Listen
		}
	}
	opts := adminclient.Options{Token: string(cfg.Admin.Token)}
	if _, known := socket.Path(base); !known {
		transport, err := g.transport(to, 0)
		if err != nil {
			return nil, false, err
		}
		opts.HTTP = &http.Client{Transport: transport}
	}
	remote, err = adminclient.New(base, opts)
	if err != nil {
		return nil, false, usageError{err}
	}
	return remote, chosen, nil
}

// serverFlag is --server, or PILLARBOX_SERVER.
func (g *globalFlags) serverFlag() string {
	if g.server != "" {
		return g.server
	}
	return os.Getenv(config.ServerEnv)
}

// serverHasData reports whether a server answers that is the right one. Only where nothing listens
// there is none for sure: whoever takes any other error for that works on the wrong data, or runs
// into the server's lock.
func (g *globalFlags) serverHasData(ctx context.Context, remote *adminclient.Client,
	cfg *config.Config) (bool, error) {
	looking, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	status, err := remote.Status(looking)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT): // the latter of a socket
		return false, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return false, fmt.Errorf("the server at %s does not answer within %v; try again, name another with --server, or stop it to look at the data directory itself: %w", remote.Base(), lookTime, pillarbox.ErrUnavailable)
	case err != nil:
		return false, fmt.Errorf("look for a server at %s: %w; name the right one with --server, or another address with --admin", remote.Base(), withToken(err))
	}
	if !needsData(cfg) {
		return sameDestinations(status, cfg), nil
	}
	chosen := cfg.Origin("data") != config.OriginDefault
	wanted, err := filepath.Abs(cfg.Data)
	return !chosen || (err == nil && wanted == status.Data), nil
}

// asUsageError is an error that a server answered with, as this command's own: what a server can't
// read was wrong usage.
func asUsageError(err error) error {
	var refused *adminclient.ProblemError
	if errors.As(err, &refused) && refused.Status == http.StatusBadRequest {
		return usageError{err}
	}
	return withToken(err)
}

// withToken says where the token is set, where a server asks for one.
func withToken(err error) error {
	var refused *adminclient.ProblemError
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		return fmt.Errorf("%w; set PILLARBOX_ADMIN_TOKEN, or admin.token in the configuration, to the token of the server", err)
	}
	return err
}

// sameDestinations reports whether the server delivers where the configuration says. It stands in
// for the data directory where there is none.
func sameDestinations(status *adminapi.Status, cfg *config.Config) bool {
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
	return slog.New(slog.NewTextHandler(newScreen(os.Stderr),
		&slog.HandlerOptions{Level: slog.LevelWarn}))
}
