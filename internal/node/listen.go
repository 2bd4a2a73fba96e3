package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"pillarbox/internal/admission"
	"pillarbox/internal/express"
	"pillarbox/internal/framing"
	"pillarbox/internal/run"
	"pillarbox/internal/telemetry"
)

// admin makes the service of the admin listener. Followers leave half of its connections to others.
func (s *server) admin() run.Service {
	listener := admission.Listen(s.Admin, admission.Options{MaxConnections: s.may.admin})
	handler := s.AdminHandler(s.AdminToken, min(s.MaxFollowers, s.may.admin/2), s.MetricsHandler)
	return s.web("admin", listener, handler)
}

// public makes the service of the public listener: an event loop for what is simple, where that is
// possible and wanted, and net/http for everything else. Everything on the loop waits for one
// append: that of a disk takes a fraction of a millisecond, but that of a queue across a network
// may take seconds.
func (s *server) public() (run.Service, error) {
	handler := s.PublicHandler(s.Limits)
	tcp, ok := s.Public.(*net.TCPListener)
	if !ok || !s.EventLoop || express.Possible() != nil || !s.queue.Traits().Local {
		return s.web("public", admission.Listen(s.Public, admission.Options{
			MaxConnections: s.may.public, MaxPerAddress: s.Limits.MaxPerAddress, Closed: s.connectionClosed,
			Full: func() {
				s.logger.Warn("newcomers wait: there are as many connections as there may be (http.max_connections)", telemetry.KeyConnections, s.may.public)
			},
		}), handler), nil
	}
	limits := s.Limits
	front, err := express.New(tcp, express.Options{
		Acceptor: s.ingest.Inline(), Sources: s.sources, Memory: s.memory, AcceptTimeout: limits.AppendTimeout, Problem: handler.Problem,
		MaxHeaderBytes: limits.MaxHeaderBytes, MaxConnections: s.may.public, MaxPerAddress: limits.MaxPerAddress, Closed: s.connectionClosed,
		ReadHeaderTimeout: limits.ReadHeaderTimeout, ReadTimeout: limits.ReadTimeout, WriteTimeout: limits.WriteTimeout, IdleTimeout: limits.IdleTimeout,
		MinBodyRate: limits.MinBodyRate, BodyGrace: limits.BodyGrace, Logger: s.logger,
	})
	if err != nil {
		return run.Service{}, fmt.Errorf("begin the event loop (listen.express): %w", err)
	}
	return inFrontOf(front, s.web("public", front.HandedOver(), handler)), nil
}

// connectionClosed counts a connection that was closed to keep to a limit.
func (s *server) connectionClosed(reason admission.Reason) {
	s.opts.Metrics.ConnectionClosed(string(reason))
}

// inFrontOf makes one service of the event loop and of the web server that gets what is not simple.
// It is drained first, because what it still hands over is to be answered.
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

// web makes the service of a web server. Both listeners have the same rules of framing: a proxy may
// stand before either.
func (s *server) web(name string, listener net.Listener, handler http.Handler) run.Service {
	limits := s.Limits
	// Long answers, as of an audit or of somebody who follows, end with the drain and not before.
	requests, endRequests := context.WithCancel(context.Background())
	web := &http.Server{
		Handler: handler, ReadHeaderTimeout: limits.ReadHeaderTimeout, ReadTimeout: limits.ReadTimeout,
		WriteTimeout: limits.WriteTimeout, IdleTimeout: limits.IdleTimeout,
		ErrorLog:    slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return requests },
	}
	return run.Service{
		Name: name,
		Run: func(ctx context.Context) error {
			defer context.AfterFunc(ctx, func() { endRequests(); _ = web.Close() })() // Serve returns the error
			if err := framing.Serve(web, listener, framing.Options{
				MaxHeaderBytes: limits.MaxHeaderBytes, MinBodyRate: limits.MinBodyRate, BodyGrace: limits.BodyGrace,
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
