package intake_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pillarbox/internal/admission"
	"pillarbox/internal/express"
	"pillarbox/internal/framing"
	"pillarbox/internal/intake"
	"pillarbox/internal/lambda"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/opening"
	"pillarbox/internal/proxy"
	"pillarbox/test/standin/fakelambda"
)

// front is one way to the public handler over real connections.
type front struct {
	name    string
	express bool
	gateway fakelambda.Kind // before the function on AWS, which has no listener; empty for none
	kind    string          // of its listener, of listenerKinds; empty for TCP
	enter   func(address string) (leave func(), ok bool)
	places  int             // for connections that begin; 0 is the default
	limits  express.Options // those that a test sets
}

// The kinds of listeners. Of those with PROXY, the client is proxiedClient.
const (
	overTLS      = "TLS"
	overUnix     = "unix"
	overProxy    = "PROXY"
	overProxyTLS = "PROXY, TLS"

	proxiedClient = "203.0.113.7"
)

var listenerKinds = []string{"", overTLS, overUnix, overProxy, overProxyTLS}

// needLoop skips a test where there is no event loop; on Linux there is one.
func needLoop(t *testing.T) {
	t.Helper()
	if err := express.Possible(); err != nil {
		if runtime.GOOS == "linux" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// onFronts runs a test on net/http alone, and with the event loop in front of it.
func onFronts(t *testing.T, test func(t *testing.T, f front)) {
	t.Helper()
	t.Run("net/http", func(t *testing.T) { test(t, front{name: "net/http"}) })
	t.Run("express", func(t *testing.T) {
		needLoop(t)
		test(t, front{name: "express", express: true})
	})
}

// onAllFronts runs a test on both fronts, and on the function on AWS.
func onAllFronts(t *testing.T, test func(t *testing.T, f front)) {
	t.Helper()
	onFronts(t, test)
	t.Run("function", func(t *testing.T) { test(t, front{name: "function", gateway: fakelambda.REST}) })
}

// onListeners runs a test on both fronts, on each kind of listener.
func onListeners(t *testing.T, test func(t *testing.T, f front)) {
	t.Helper()
	onFronts(t, func(t *testing.T, f front) {
		for _, kind := range listenerKinds {
			t.Run("over "+cmp.Or(kind, "TCP"), func(t *testing.T) {
				f := f
				f.kind = kind
				test(t, f)
			})
		}
	})
}

// authority signs the certificates of all servers of these tests.
var authority struct {
	once   sync.Once
	a      *nodetest.Authority
	server *tls.Config
}

func serverTLS(t *testing.T) (*nodetest.Authority, *tls.Config) {
	t.Helper()
	authority.once.Do(func() {
		authority.a = nodetest.NewAuthority(t)
		pair, err := tls.X509KeyPair(authority.a.Server(time.Time{}, "localhost", "127.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		authority.server = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
			NextProtos: []string{"h2", "http/1.1"}, ClientCAs: authority.a.Pool, ClientAuth: tls.VerifyClientCertIfGiven}
	})
	return authority.a, authority.server
}

// trustedProxy is who connects in these tests, where a proxy does.
var trustedProxy = proxy.NewTrusted([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, true, "")

// opener is of the kind of the front; nil where nothing stands before HTTP.
func (f front) opener(t *testing.T) *opening.Opener {
	t.Helper()
	opts := opening.Options{Enter: f.enter, Max: f.places, Timeout: time.Hour, Trusted: trustedProxy, Proxy: strings.HasPrefix(f.kind, overProxy)}
	if strings.HasSuffix(f.kind, overTLS) {
		_, opts.TLS = serverTLS(t)
	}
	return opening.New(opts)
}

// listen listens as the kind of the front says.
func (f front) listen(t *testing.T) net.Listener {
	t.Helper()
	network, address := "tcp", "127.0.0.1:0"
	if f.kind == overUnix {
		network, address = "unix", filepath.Join(t.TempDir(), "s")
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// sessions spare clients the most of a handshake.
var sessions = tls.NewLRUClientSessionCache(0)

// duplex is a connection of which one side can be ended.
type duplex interface {
	net.Conn
	CloseWrite() error
}

// dial connects as the kind of the front wants it. Of two connections in a row, the header of PROXY
// has version 1 and version 2.
func (s *served) dial(t *testing.T) duplex {
	t.Helper()
	conn, err := net.Dial(s.network, s.addr)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(s.kind, overProxy) {
		header := "PROXY TCP4 " + proxiedClient + " 192.0.2.1 1 2\r\n"
		if s.dialed++; s.dialed%2 == 0 {
			header = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xc0\x00\x02\x01\x00\x01\x00\x02"
		}
		if _, err := io.WriteString(conn, header); err != nil {
			t.Fatal(err)
		}
	}
	if strings.HasSuffix(s.kind, overTLS) {
		a, _ := serverTLS(t)
		secure := tls.Client(conn, &tls.Config{RootCAs: a.Pool, ServerName: "localhost", ClientSessionCache: sessions,
			Certificates: s.client})
		if err := secure.Handshake(); err != nil {
			t.Fatal(err)
		}
		return secure
	}
	return conn.(duplex)
}

// served is a public handler that listens.
type served struct {
	network, addr string
	kind          string
	dialed        int
	client        []tls.Certificate // that the client shows
	stop          func()            // returns when every handler has
}

// serve makes the box listen. Timeouts of zero are the defaults.
func (f front) serve(t *testing.T, b *box, readTimeout, writeTimeout time.Duration) *served {
	t.Helper()
	if f.gateway != "" {
		return f.invoke(t, b)
	}
	limits := admission.NewLimits(admission.Options{
		MaxConnections: cmp.Or(f.limits.MaxConnections, 1000), MaxPerAddress: f.limits.MaxPerAddress, Closed: f.limits.Closed,
		Counts: func(address string) bool { return !f.limits.Trusted.Trusts(address) },
	})
	f.enter = limits.Enter
	listener, opener := f.listen(t), f.opener(t)
	web := &http.Server{Handler: b.public, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		ReadHeaderTimeout: express.DefaultReadHeaderTimeout} // a head that a busy machine sends late is no timeout of a body
	s := &served{network: listener.Addr().Network(), addr: listener.Addr().String(), kind: f.kind}
	drain := web.Shutdown
	if f.express {
		opts := f.limits
		opts.Trusted = f.limits.Trusted
		opts.Acceptor, opts.Sources, opts.Memory, opts.Problem = b.accept.Inline(), b.sources, b.memory, b.public.Problem
		opts.ReadTimeout, opts.ReadHeaderTimeout, opts.WriteTimeout = readTimeout,
			express.DefaultReadHeaderTimeout, writeTimeout
		loop, err := express.New([]express.Listener{{Listener: listener, Opener: opener}}, opts)
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
		listener = limits.Listen(listener)
	}
	if !f.express && opener.Needed() {
		listener = opening.Listen(listener, opener)
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

// invoke makes the box a function behind a gateway.
func (f front) invoke(t *testing.T, b *box) *served {
	t.Helper()
	handler := intake.New(intake.Options{Acceptor: lambda.NewAcceptor(b.accept), Sources: b.sources,
		Memory: b.memory})
	function := lambda.NewAccept(handler, b.sources, lambda.AcceptOptions{})
	server := httptest.NewServer(&fakelambda.Gateway{Kind: f.gateway, Function: function})
	t.Cleanup(server.Close)
	address := server.Listener.Addr()
	return &served{network: address.Network(), addr: address.String(), stop: server.Close}
}
