package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/alert"
	"pillarbox/internal/deliver"
	"pillarbox/internal/intake"
	"pillarbox/internal/proxy"
	"pillarbox/internal/rollup"
	"pillarbox/internal/run"
	"pillarbox/internal/socket"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// Limits are those of both listeners. They are taken as they are: no zero means a default.
type Limits struct {
	ReadHeaderTimeout, ReadTimeout, WriteTimeout, IdleTimeout time.Duration

	MaxHeaderBytes int
	MaxConnections int           // to the public listener; fewer where descriptors are few
	MaxPerAddress  int           // connections of one address; 0: no limit
	MinBodyRate    int64         // bytes a second
	BodyGrace      time.Duration // from the head of a request, before its body must keep to the rate
	MaxBatchBytes  int64
	MaxBatchItems  int
	MaxWait        time.Duration // Prefer: wait; 0 ignores it
	AppendTimeout  time.Duration // after which an append that the event loop waits for hangs; 0: never
}

// Front is one public listener.
type Front struct {
	net.Listener
	TLS   bool // connections begin with a handshake
	Proxy bool // and, before that, with a header of the PROXY protocol
}

// Serving is what Serve needs beside the Node. A listener that is nil does not serve.
type Serving struct {
	Public    []Front
	Admin     net.Listener
	TLS       *tls.Config    // of the public listeners that have it
	AdminTLS  *tls.Config    // nil: the admin listener has none
	Trusted   *proxy.Trusted // that stand in front of the public listeners; nil for nobody
	EventLoop bool           // for plain posts, where the queue is local and the system can
	Limits    Limits

	AdminToken     string
	AdminTokens    []adminapi.Token
	MaxFollowers   int
	MetricsHandler http.Handler  // for /metrics
	Configuration  func() string // in force, without secrets

	History *rollup.History // for charts; nil for none
	Alerts  *alert.Center   // tells what is wrong; nil for nobody

	Access *telemetry.Access // of the public listeners; nil: nothing is written

	DrainDelay time.Duration // between not being ready and not accepting
	ReadyPath  string        // on the public listeners, that says whether the node accepts; empty for none

	MaxConnectionsChosen bool          // somebody has asked for so many: it is a warning if there may be fewer
	Services             []run.Service // of the caller, between the listeners and readiness
}

// Serve runs the node with its listeners, and starts and stops everything in order: the data,
// admin, deliveries, public, and then it is ready; and the other way around once stop ends. Ending
// force cuts that short. It closes the node and the listeners.
func (n *Node) Serve(stop, force context.Context, serving Serving) error {
	s := &server{Node: n, Serving: serving}
	group := run.New(run.Options{Log: n.logger, DrainTimeout: n.opts.DrainTimeout})
	group.Add(run.Service{Name: "data", Close: n.Close})
	if err := s.addServices(group); err != nil {
		return errors.Join(err, s.closeListeners(), n.Close())
	}
	return group.Run(stop, force)
}

// server is a Node that serves.
type server struct {
	*Node
	Serving
	may connections // that the limit of descriptors leaves to the listeners

	retiring    atomic.Bool // it stops, and each answer is the last one of its connection
	retireFront func()      // tells the event loop so; nil without one
}

func (s *server) addServices(group *run.Group) error {
	var err error
	if s.may, err = s.connections(); err != nil {
		return err
	}
	if s.History != nil { // behind everything that it counts
		group.Add(run.Service{Name: "history", Run: s.History.Run})
	}
	if s.Alerts != nil {
		group.Add(run.Service{Name: "alerts", Run: s.Alerts.Run, Close: s.Alerts.Close})
	}
	if s.Admin != nil {
		group.Add(s.admin())
	}
	if s.does(RoleDeliver) {
		s.addDeliveries(group)
	}
	if s.opts.APIKeys != nil {
		// before the listener, so that it ends after it
		group.Add(run.Service{Name: "keys", Run: s.opts.APIKeys.Run})
	}
	if s.opts.AtRest.Seals() {
		group.Add(run.Service{Name: "data keys", Run: s.opts.AtRest.Run})
	}
	if s.opts.Engines.Quarantine != nil {
		group.Add(run.Service{Name: "quarantine", Run: s.opts.Engines.Quarantine.Run})
	}
	if len(s.Public) > 0 {
		service, err := s.public()
		if err != nil {
			return err
		}
		group.Add(service)
	}
	if err := s.addCanary(group); err != nil {
		return err
	}
	group.Add(append(slices.Clone(s.Services), run.Service{Name: "lock", Run: s.watchLock})...)
	group.Add(run.Service{Name: "ready", Start: s.announce, Drain: s.refuse,
		DrainTimeout: s.DrainDelay + s.opts.DrainTimeout})
	return nil
}

func (s *server) closeListeners() error {
	var errs []error
	listeners := []net.Listener{s.Admin}
	for _, front := range s.Public {
		listeners = append(listeners, front.Listener)
	}
	for _, listener := range listeners {
		if listener != nil {
			if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (n *Node) does(role string) bool { return slices.Contains(n.opts.Roles, role) }

// AdminHandler makes the handler of the admin API. What the node knows of the options, it sets.
func (n *Node) AdminHandler(options adminapi.Options) *adminapi.Handler {
	options.Ready, options.Logger, options.Trail = n.Ready, n.logger, n.opts.Trail
	return adminapi.New(n, options)
}

// PublicHandler makes the handler of the public listener, on net/http.
func (n *Node) PublicHandler(limits Limits) *intake.Handler {
	return n.publicHandler(limits, Serving{})
}

func (n *Node) publicHandler(limits Limits, serving Serving) *intake.Handler {
	options := intake.Options{
		Acceptor: n.ingest, Sources: n.sources, Memory: n.memory, Trusted: serving.Trusted, ReadyPath: serving.ReadyPath, Ready: n.Ready, MaxBatchBytes: limits.MaxBatchBytes, MaxBatchItems: limits.MaxBatchItems,
		MaxWait: limits.MaxWait, Logger: n.logger, Metrics: n.opts.Metrics, Traces: n.opts.Traces, Access: serving.Access,
	}
	if n.does(RoleDeliver) && limits.MaxWait > 0 {
		options.Waiter = n.Waiter()
	}
	return intake.New(options)
}

// Waiter waits for deliveries, for Prefer: wait.
func (n *Node) Waiter() intake.Waiter { return waiter{n.watch} }

// waiter lets the public listener wait for deliveries.
type waiter struct{ watch *deliver.Watch }

func (w waiter) Expect(event *pillarbox.Event) intake.Expectation {
	if expectation := w.watch.Expect(event); expectation != nil {
		return expectation
	}
	return nil
}

// refuse begins the stop: the server is not ready. It accepts all the same until whoever sends it
// requests has had the time to see that, and asks clients for new connections meanwhile. Then requests that wait for their event to be stored are
// answered.
func (s *server) refuse(ctx context.Context) error {
	s.ready.Store(false)
	s.retiring.Store(true)
	if s.retireFront != nil {
		s.retireFront()
	}
	if s.DrainDelay > 0 {
		s.logger.Info("not ready any more, and still accepting", telemetry.KeyAfter, s.DrainDelay)
		delay := time.NewTimer(s.DrainDelay)
		defer delay.Stop()
		select {
		case <-delay.C:
		case <-ctx.Done(): // the stop is forced
		}
	}
	s.watch.Hurry()
	return nil
}

func (s *server) announce(context.Context) error {
	s.ready.Store(true)
	if len(s.Public) > 0 {
		s.warnOfDescriptors()
	}
	for _, front := range s.Public {
		for _, source := range s.sources.Table().All() {
			s.logger.Info("ready to accept", telemetry.KeySource, source.Name, telemetry.KeyAddr,
				publicAddress(front)+source.Path)
		}
	}
	if s.Admin != nil {
		s.logger.Info("admin API", telemetry.KeyAddr, adminAddress(s.Admin.Addr(), s.AdminTLS != nil))
	}
	return nil
}

// adminAddress is what --server takes, and a browser, except for a socket.
func adminAddress(at net.Addr, secure bool) string {
	if at.Network() == "unix" {
		return socket.Scheme + at.String()
	}
	return scheme(secure) + DisplayAddress(at.String()) + "/"
}

// publicAddress is what the path of a source is put behind; of a socket, for people alone.
func publicAddress(front Front) string {
	if front.Addr().Network() == "unix" {
		return socket.Scheme + front.Addr().String() + " "
	}
	return scheme(front.TLS) + DisplayAddress(front.Addr().String())
}

func scheme(secure bool) string {
	if secure {
		return "https://"
	}
	return "http://"
}

// DisplayAddress makes an address that can be put into a browser of one that is listened at.
func DisplayAddress(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// Ready says why the node is not ready to accept, or nil.
func (n *Node) Ready() error {
	switch {
	case len(n.opts.Roles) == 0 && n.opts.Data == "":
		return notReady("no server runs here; this is what the queue and the destinations hold")
	case len(n.opts.Roles) == 0:
		return notReady("no server runs; this is the data directory at rest")
	case !n.ready.Load():
		return notReady("the server is starting or stopping")
	}
	if problem := n.queue.Stats().Problem; problem != "" {
		return notReady(problem)
	}
	return nil
}

// notReady is the reason why a node can't accept.
type notReady string

func (r notReady) Error() string { return string(r) }

// Is gives it the kind of what passes by itself.
func (r notReady) Is(target error) bool { return target == pillarbox.ErrUnavailable }

// lockInterval is how often the data directory is looked at.
const lockInterval = time.Second

// watchLock ends the server when its data directory is not at its path any more: another one could
// begin there, and what this one promises would be looked for where it is not.
func (s *server) watchLock(ctx context.Context) error {
	if s.opts.Lock == nil {
		return nil
	}
	ticker := time.NewTicker(lockInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := s.opts.Lock.Check()
		if errors.Is(err, vfs.ErrLost) {
			s.ready.Store(false)
			return fmt.Errorf("the data directory is not where it was, and nothing more is accepted; what was accepted is where the directory is now: %w", err)
		}
		if err != nil {
			s.logger.Warn("look at the data directory", telemetry.KeyErr, err)
		}
	}
}

// connections finds out how many connections there may be.
func (s *server) connections() (connections, error) {
	wanted := s.Limits.MaxConnections
	limit, open, known := descriptors()
	if !known {
		return connections{wanted, maxAdminConnections}, nil
	}
	return shareDescriptors(limit, open, len(s.table().All()), wanted)
}

// warnOfDescriptors says that there may be fewer connections than were configured. It is told once
// the start has succeeded: a start that fails says why, and nothing else.
func (s *server) warnOfDescriptors() {
	if s.may.public >= s.Limits.MaxConnections {
		return
	}
	level := slog.LevelInfo // nobody has asked for so many
	if s.MaxConnectionsChosen {
		level = slog.LevelWarn
	}
	s.logger.Log(context.Background(), level,
		"http.max_connections is lowered, because the limit of open files (ulimit -n) is too low for it", telemetry.KeyConnections, s.may.public)
}
