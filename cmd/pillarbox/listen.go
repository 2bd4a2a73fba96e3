package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"

	"pillarbox/internal/admission"
	"pillarbox/internal/config"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/express"
	"pillarbox/internal/framing"
	"pillarbox/internal/httpapi"
	"pillarbox/internal/run"
	"pillarbox/internal/telemetry"
)

// listenAdmin binds the admin address and makes the service that answers there.
func (s *server) listenAdmin() (run.Service, error) {
	listener, err := listen("admin.listen", s.config.Admin.Listen)
	if err != nil {
		return run.Service{}, err
	}
	s.addrs.admin = listener.Addr().String()
	return s.web("admin", admission.Listen(listener, admission.Options{MaxConnections: s.may.admin}), s.newAdmin(min(s.config.Admin.MaxFollowers, s.may.admin/2))), nil
}

// listenPublic binds the public address and makes the service that answers there: an event loop for what is simple,
// where that is possible and wanted, and net/http for everything else. Everything on the loop waits for one append: that
// of a disk takes a fraction of a millisecond, but that of a queue across a network may take seconds.
func (s *server) listenPublic() (run.Service, error) {
	listener, err := listen("listen", s.config.Listen.Address)
	if err != nil {
		return run.Service{}, err
	}
	s.addrs.public = listener.Addr().String()
	s.public = httpapi.NewPublic(s.acceptor, s.publicOptions())
	s.setSources(s.config)
	limits := s.config.HTTP
	tcp, ok := listener.(*net.TCPListener)
	if !ok || !s.config.Listen.Express || express.Possible() != nil || !catalog.Local(s.config.Queue.URL) {
		return s.web("public", admission.Listen(listener, admission.Options{
			MaxConnections: s.may.public, MaxPerAddress: limits.MaxPerAddress, Closed: s.connectionClosed,
			Full: func() {
				s.logger.Warn("newcomers wait: there are as many connections as there may be (http.max_connections)", telemetry.KeyConnections, s.may.public)
			},
		}), s.public), nil
	}
	front, err := express.New(tcp, express.Options{
		Acceptor: s.acceptor.Inline(), AcceptTimeout: s.config.Queue.CommitTimeout.Std(), Route: s.expressRoute, Problem: s.public.Problem,
		MaxHeaderBytes: int(limits.MaxHeaderBytes), MaxConnections: s.may.public, MaxPerAddress: limits.MaxPerAddress, Closed: s.connectionClosed, MaxInFlightBytes: int64(limits.MaxInFlightBytes),
		ReadHeaderTimeout: limits.ReadHeaderTimeout.Std(), ReadTimeout: limits.ReadTimeout.Std(),
		WriteTimeout: limits.WriteTimeout.Std(), IdleTimeout: limits.IdleTimeout.Std(), MinBodyRate: int64(limits.MinBodyRate), BodyGrace: limits.BodyGrace.Std(), Logger: s.logger,
	})
	if err != nil {
		return run.Service{}, fmt.Errorf("begin the event loop (listen.express): %w", err)
	}
	return inFrontOf(front, s.web("public", front.HandedOver(), s.public)), nil
}

// connectionClosed counts a connection that was closed to keep to a limit.
func (s *server) connectionClosed(reason admission.Reason) {
	s.metrics.ConnectionClosed(string(reason))
}

// inFrontOf makes one service of the event loop and of the web server that gets what is not simple. It is drained
// first, because what it still hands over is to be answered.
func inFrontOf(front *express.Server, web run.Service) run.Service {
	return run.Service{
		Name: web.Name,
		Run: func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			answering := make(chan error, 1)
			go func() { answering <- web.Run(ctx) }()
			err := front.Run(ctx)
			if err != nil {
				cancel() // one is no use without the other
			}
			return errors.Join(err, <-answering)
		},
		Drain: func(ctx context.Context) error { return errors.Join(front.Drain(ctx), web.Drain(ctx)) },
		Close: func() error { return errors.Join(front.Close(), web.Close()) },
	}
}

// setSources gives the public listener its paths.
func (s *server) setSources(cfg *config.Config) {
	s.public.SetSources(publicSources(cfg))
	routes := map[string]*express.Route{}
	for _, simple := range s.public.Simple() {
		routes[simple.Path] = &express.Route{Source: simple.Source, MaxBody: simple.MaxBody, Admit: simple.Admit, Metrics: simple.Metrics}
	}
	s.routes.Store(&routes)
}

func (s *server) expressRoute(path string) *express.Route { return (*s.routes.Load())[path] }

// listen binds the address that a key of the configuration holds.
func listen(key, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("address %s is taken by another program; stop it, or choose another with --%s or %s in the configuration", address, strings.TrimSuffix(key, ".listen"), key)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("address %s needs more rights; choose a port from 1024 on with %s", address, key)
	}
	return nil, fmt.Errorf("listen on %s (%s): %w", address, key, err)
}

// web makes the service of a web server. Both listeners have the same rules of framing: a proxy may stand before either.
func (s *server) web(name string, listener net.Listener, handler http.Handler) run.Service {
	limits := s.config.HTTP
	// Long answers, as of an audit or of somebody who follows, end with the drain and not before.
	requests, endRequests := context.WithCancel(context.Background())
	web := &http.Server{
		Handler: handler, ReadHeaderTimeout: limits.ReadHeaderTimeout.Std(), ReadTimeout: limits.ReadTimeout.Std(),
		WriteTimeout: limits.WriteTimeout.Std(), IdleTimeout: limits.IdleTimeout.Std(),
		ErrorLog:    slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return requests },
	}
	return run.Service{
		Name: name,
		Run: func(ctx context.Context) error {
			defer context.AfterFunc(ctx, func() { endRequests(); _ = web.Close() })() // Serve returns the error
			if err := framing.Serve(web, listener, framing.Options{
				MaxHeaderBytes: int(limits.MaxHeaderBytes), MinBodyRate: int64(limits.MinBodyRate), BodyGrace: limits.BodyGrace.Std(),
			}); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
		Drain: func(ctx context.Context) error {
			if name == "admin" {
				endRequests()
			}
			return web.Shutdown(ctx)
		},
		Close: func() error { endRequests(); return nil },
	}
}
