package intake_test

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"pillarbox/internal/admission"
	"pillarbox/internal/express"
	"pillarbox/internal/framing"
)

// front is one way to the public handler over real connections.
type front struct {
	name    string
	express bool
	limits  express.Options // those that a test sets
}

// onFronts runs a test on net/http alone, and with the event loop in front of it.
func onFronts(t *testing.T, test func(t *testing.T, f front)) {
	t.Helper()
	t.Run("net/http", func(t *testing.T) { test(t, front{name: "net/http"}) })
	t.Run("express", func(t *testing.T) {
		if err := express.Possible(); err != nil {
			t.Skip(err)
		}
		test(t, front{name: "express", express: true})
	})
}

// served is a public handler that listens.
type served struct {
	addr string
	stop func() // returns when every handler has
}

// serve makes the box listen. Timeouts of zero are the defaults.
func (f front) serve(t *testing.T, b *box, readTimeout, writeTimeout time.Duration) *served {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: b.public, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		ReadHeaderTimeout: express.DefaultReadHeaderTimeout} // a head that a busy machine sends late is no timeout of a body
	s := &served{addr: listener.Addr().String()}
	drain := web.Shutdown
	if f.express {
		opts := f.limits
		opts.Acceptor, opts.Sources, opts.Memory, opts.Problem = b.accept.Inline(), b.sources, b.memory, b.public.Problem
		opts.ReadTimeout, opts.ReadHeaderTimeout, opts.WriteTimeout = readTimeout,
			express.DefaultReadHeaderTimeout, writeTimeout
		loop, err := express.New([]express.Listener{{Listener: listener}}, opts)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if err := loop.Run(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		listener = loop.HandedOver()
		drain = func(ctx context.Context) error {
			return errors.Join(loop.Drain(ctx), web.Shutdown(ctx), loop.Close())
		}
	}
	if !f.express && (f.limits.MaxConnections > 0 || f.limits.MaxPerAddress > 0) {
		listener = admission.Listen(listener, admission.Options{
			MaxConnections: cmp.Or(f.limits.MaxConnections,
				1000), MaxPerAddress: f.limits.MaxPerAddress, Closed: f.limits.Closed,
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := framing.Serve(web, listener,
			framing.Options{MinBodyRate: f.limits.MinBodyRate, BodyGrace: f.limits.BodyGrace}); !errors.Is(
			err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := drain(ctx); err != nil {
			t.Error(err)
		}
		<-done
	}
	t.Cleanup(s.stop)
	return s
}
