package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/admission"
	"pillarbox/internal/dashboard"
	"pillarbox/internal/express"
	"pillarbox/internal/framing"
	"pillarbox/internal/opening"
	"pillarbox/internal/run"
	"pillarbox/internal/telemetry"
)

// admin makes the service of the admin listener. Followers leave half of its connections to others;
// pages that are kept up to date take four fifths of the rest.
func (s *server) admin() run.Service {
	listener := admission.Listen(s.Admin, admission.Options{MaxConnections: s.may.admin})
	if s.AdminTLS != nil {
		listener = opening.Listen(listener, opening.New(opening.Options{TLS: s.AdminTLS,
			Timeout: s.Limits.ReadHeaderTimeout, Failed: s.openingFailed}))
	}
	followers := min(s.MaxFollowers, s.may.admin/2)
	handler := s.AdminHandler(adminapi.Options{Token: s.AdminToken, Tokens: s.AdminTokens,
		MaxFollowers: followers, Metrics: s.MetricsHandler, Configuration: s.Configuration, History: s.History, Alerts: s.Alerts})
	pages := dashboard.New(dashboard.Options{API: handler, MaxViewers: (s.may.admin - followers) * 4 / 5, Logger: s.logger, Now: s.clock.Now})
	return s.web("admin", listener, pages, nil)
}

// public makes the service of the public listeners: an event loop for what is simple, where that is
// possible and wanted, and net/http for everything else. Everything on the loop waits for one
// append: that of a disk takes a fraction of a millisecond, but that of a queue across a network
// may take seconds.
func (s *server) public() (run.Service, error) {
	handler := s.publicHandler(s.Limits, s.Serving)
	web := s.retired(handler)
	if !s.EventLoop || express.Possible() != nil || !s.queue.Traits().Local {
		return s.web("public", s.onNetHTTP(), web, handler.Waits), nil
	}
	limits := s.Limits
	front, err := express.New(s.onLoop(), express.Options{
		Acceptor: s.ingest.Inline(), Sources: s.sources, Memory: s.memory, Trusted: s.Trusted,
		AcceptTimeout: limits.AppendTimeout, Problem: handler.Problem,
		MaxHeaderBytes: limits.MaxHeaderBytes, MaxConnections: s.may.public, MaxPerAddress: limits.MaxPerAddress, Closed: s.connectionClosed,
		ReadHeaderTimeout: limits.ReadHeaderTimeout, ReadTimeout: limits.ReadTimeout, WriteTimeout: limits.WriteTimeout, IdleTimeout: limits.IdleTimeout,
		MinBodyRate: limits.MinBodyRate, BodyGrace: limits.BodyGrace, Logger: s.logger, Traces: s.opts.Traces, Access: s.Access,
	})
	if err != nil {
		return run.Service{}, fmt.Errorf("begin the event loop (listen.express): %w", err)
	}
	s.retireFront = front.Retire
	return inFrontOf(front, s.web("public", front.HandedOver(), web, handler.Waits)), nil
}

// retired lets each answer of a server that is about to stop be the last one of its connection, as
// express.Server.Retire does: over HTTP/2, net/http says GOAWAY for it.
func (s *server) retired(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.retiring.Load() {
			w.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(w, r)
	})
}

// onLoop are the listeners as the event loop wants them.
func (s *server) onLoop() (listeners []express.Listener) {
	for _, front := range s.Public {
		listeners = append(listeners, express.Listener{Listener: front.Listener, Opener: s.opener(front, nil)})
	}
	return listeners
}

// onNetHTTP is one listener of all, as net/http wants it. The limits hold for all of them together.
func (s *server) onNetHTTP() net.Listener {
	limits := admission.NewLimits(admission.Options{
		MaxConnections: s.may.public, MaxPerAddress: s.Limits.MaxPerAddress, Closed: s.connectionClosed,
		Counts: func(address string) bool { return address != admission.Unix && !s.Trusted.Trusts(address) },
		Full: func() {
			s.logger.Warn("newcomers wait: there are as many connections as there may be (http.max_connections)", telemetry.KeyConnections, s.may.public)
		},
	})
	var listeners []net.Listener
	for _, front := range s.Public {
		listener := limits.Listen(front.Listener)
		if opener := s.opener(front, limits.Enter); opener != nil {
			listener = opening.Listen(listener, opener)
		}
		listeners = append(listeners, listener)
	}
	return opening.Join(listeners)
}

// opener reads what stands before HTTP on a listener; nil where nothing does. enter counts the
// clients of proxies, where the event loop does not.
func (s *server) opener(front Front, enter func(string) (func(), bool)) *opening.Opener {
	if !front.TLS && !front.Proxy {
		return nil
	}
	options := opening.Options{Proxy: front.Proxy, Trusted: s.Trusted, Timeout: s.Limits.ReadHeaderTimeout,
		Enter: enter, Failed: s.openingFailed}
	if front.TLS {
		options.TLS = s.TLS
	}
	return opening.New(options)
}

// openingFailed counts a connection that did not come as far as HTTP.
func (s *server) openingFailed(reason opening.Reason) {
	s.opts.Metrics.ConnectionClosed(string(reason))
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
// stand before either. watched is that of framing.Options.
func (s *server) web(name string, listener net.Listener, handler http.Handler,
	watched func(*http.Request) bool) run.Service {
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
				Watched: watched,
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
