package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"pillarbox/internal/config"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/node"
	"pillarbox/internal/run"
	"pillarbox/internal/socket"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/otlp"
	"pillarbox/internal/telemetry/prom"
	"pillarbox/internal/trail"
)

func newServeCommand(global *globalFlags) *cobra.Command {
	var roles []string
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run everything: accept, deliver, admin",
		Long: `Run the server. Without any configuration it accepts at http://localhost:8080/app, keeps
everything in ./pillarbox-data, and has its admin API at http://127.0.0.1:8081. With
--admin unix:/path the admin API is at a socket that only this user can reach.

SIGTERM and Ctrl-C stop it in order: refuse, finish, deliver the batch at hand, close. A
second signal cuts that short. SIGHUP reads the configuration again. Killing it at any
moment loses nothing that was acknowledged.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if len(roles) == 0 {
				return usageError{fmt.Errorf("--roles names none; it may be %s",
					strings.Join(node.Roles(), ", "))}
			}
			for _, role := range roles {
				if !slices.Contains(node.Roles(), role) {
					return usageError{fmt.Errorf("--roles: %q is none of %s", role,
						strings.Join(node.Roles(), ", "))}
				}
			}
			return serve(global, roles)
		},
	}
	command.Flags().StringSliceVar(&roles, "roles", node.Roles(), "what to run")
	return command
}

// heapFloor is memory that is never touched, so that the system never gives any for it. The garbage
// collector runs when the heap has doubled, and ours is so small that it would run 23 times a
// second under load on net/http, and not 8 times.
const heapFloor = 16 << 20

// lastLines is how long a stop waits for the reader of the log.
const lastLines = 2 * time.Second

// serve runs the server. Nothing that it says can hold it up or end it, the error that it ends with
// included: a reader of the log may stand still or be gone.
func serve(global *globalFlags, roles []string) error {
	// With a receiver for the signal, a write to a pipe that nobody reads is an error, and not the end
	// of the process.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	lines := telemetry.NewLines(newScreen(os.Stderr), 0)
	err := serveAndLog(global, roles, lines)
	if usage := (usageError{}); err != nil && !errors.As(err, &usage) {
		fmt.Fprintln(lines, "pillarbox:", err)
		err = silentError{}
	}
	_ = lines.Close(lastLines) // there is nobody to tell
	return err
}

func serveAndLog(global *globalFlags, roles []string, lines *telemetry.Lines) error {
	floor := make([]byte, heapFloor)
	defer runtime.KeepAlive(floor)
	stop, force, release := run.Signals(os.Interrupt, syscall.SIGTERM)
	defer release()
	cfg, err := global.load()
	if err != nil {
		return err
	}
	level := &slog.LevelVar{}
	level.Set(cfg.Log.SlogLevel())
	logger, err := telemetry.NewLog(lines, cfg.Log.Format, level)
	if err != nil {
		return err
	}
	calm := telemetry.NewCalm(logger.Handler())
	defer calm.Flush()
	logger = slog.New(calm)
	lines.Tell(func(dropped uint64) {
		logger.Warn("lines of the log were dropped, because nobody took them", telemetry.KeyLines,
			dropped)
	})
	warnOfUnknownVariables(cfg, logger)
	access, accessLines, err := openAccess(cfg)
	if err != nil {
		return err
	}
	all := []*telemetry.Lines{lines}
	if accessLines != nil {
		all = append(all, accessLines)
		defer closeAccess(accessLines, logger)
	}
	s, err := openServer(stop, cfg, roles, logger, all)
	if err != nil {
		return err
	}
	s.serving.Access = access
	s.global, s.level = global, level
	return s.run(stop, force)
}

// warnOfUnknownVariables tells of variables that set nothing. It is no reason not to start: see
// unknownVariables.
func warnOfUnknownVariables(cfg *config.Config, logger *slog.Logger) {
	for _, unknown := range cfg.UnknownVariables() {
		logger.Warn("an environment variable may be misspelled", telemetry.KeyErr, unknown)
	}
}

// server is a node with the configuration that it was made by.
type server struct {
	*node.Node
	engines *engines
	config  *config.Config
	global  *globalFlags
	level   *slog.LevelVar
	logger  *slog.Logger
	serving node.Serving

	certificates *certificates
	alerting     *alerting

	inForce  atomic.Pointer[config.Config] // what the admin API shows of config
	registry *prometheus.Registry
	spans    *otlp.Spans // nil where nothing is recorded
	push     *otlp.Push  // nil where metrics are only scraped
}

// openAccess makes the access log; nil where there is none.
func openAccess(cfg *config.Config) (*telemetry.Access, *telemetry.Lines, error) {
	if cfg.Log.Access == config.AccessOff {
		return nil, nil, nil
	}
	lines := telemetry.NewLines(newScreen(os.Stdout), 0)
	access, err := telemetry.NewAccess(lines, cfg.Log.Access)
	return access, lines, err
}

// closeAccess waits for the reader of the access log, but no longer than that.
func closeAccess(lines *telemetry.Lines, logger *slog.Logger) {
	if err := lines.Close(lastLines); err != nil {
		logger.Warn("the last lines of the access log were dropped", telemetry.KeyErr, err)
	}
}

// openServer opens everything that serve runs. lines may be empty.
func openServer(ctx context.Context, cfg *config.Config, roles []string, logger *slog.Logger,
	lines []*telemetry.Lines) (*server, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := telemetry.NewMetrics(prom.Keep(registry, prom.Options{NativeHistograms: cfg.Metrics.NativeHistograms}))
	metrics.SetBuild(version())
	opened := &engines{config: cfg, logger: logger, metrics: metrics}
	certificates, err := openCertificates(cfg, logger)
	if err != nil {
		return nil, err
	}
	traces, spans, err := openTraces(ctx, cfg, telemetryOptions(logger, metrics))
	if err != nil {
		return nil, err
	}
	n, err := openNode(ctx, opened, node.Options{Roles: roles, Lines: lines, Traces: traces, Canary: canaryOf(cfg),
		Certificates: certificates.states})
	if err != nil {
		return nil, err
	}
	s := &server{Node: n, engines: opened, config: cfg, logger: logger, certificates: certificates, spans: spans, registry: registry, serving: node.Serving{
		EventLoop: cfg.Listen.Express, Limits: limitsOf(cfg), AdminTokens: adminTokensOf(cfg), AdminToken: string(
			cfg.Admin.Token), MaxFollowers: cfg.Admin.MaxFollowers,
		MetricsHandler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}),
		TLS:            certificates.public.config(), AdminTLS: certificates.admin.config(), Trusted: trustedOf(cfg),
		DrainDelay: cfg.Shutdown.DrainDelay.Std(), ReadyPath: cfg.Listen.ReadyPath,
		MaxConnectionsChosen: cfg.Origin("http.max_connections") != config.OriginDefault,
	}}
	s.serving.History = openHistory(opened, registry)
	if s.alerting, err = openAlerts(opened, registry, s.serving.History); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	s.serving.Alerts = s.alerting.center
	s.inForce.Store(cfg)
	s.serving.Configuration = func() string { return config.Show(s.inForce.Load()) }
	if slices.Contains(roles, node.RoleAdmin) {
		s.serving.Admin, err = listen("admin.listen", cfg.Admin.Listen, socketMode)
	}
	if err == nil && slices.Contains(roles, node.RoleAccept) {
		err = s.listenPublic()
	}
	if err != nil {
		return nil, errors.Join(err, closeListener(s.serving.Admin), s.closePublic(), n.Close())
	}
	return s, nil
}

func (s *server) closePublic() error {
	var errs []error
	for _, front := range s.serving.Public {
		errs = append(errs, front.Close())
	}
	return errors.Join(errs...)
}

func closeListener(listener net.Listener) error {
	if listener == nil {
		return nil
	}
	return listener.Close()
}

// run serves until stop ends.
func (s *server) run(stop, force context.Context) error {
	s.serving.Services = append([]run.Service{{Name: "issuers", Run: s.engines.issuersOf().Run},
		{Name: "reload", Run: s.reloadOnSignal}}, s.certificates.services()...)
	s.serving.Services = append(s.serving.Services,
		run.Service{Name: "systemd", Start: tell(daemon.SdNotifyReady), Drain: tell(daemon.SdNotifyStopping)})
	defer s.closeTelemetry()
	defer func() { _ = s.alerting.closeBeat() }() // it only ends connections
	var err error
	if s.push, err = openPush(stop, s.config, s.registry, telemetryOptions(s.logger, s.engines.metrics)); err != nil {
		return errors.Join(err, closeListener(s.serving.Admin), s.closePublic(), s.Close())
	}
	return s.Serve(stop, force, s.serving)
}

// tell tells the service manager, where it has asked for that (Type=notify, NOTIFY_SOCKET), that the
// listeners accept, or that they are about to end.
func tell(state string) func(context.Context) error {
	return func(context.Context) error {
		if _, err := daemon.SdNotify(false, state); err != nil {
			return fmt.Errorf("tell the service manager %s over NOTIFY_SOCKET: %w", state, err)
		}
		return nil
	}
}

// socketMode is that of the socket of the admin API: its owner may connect.
const socketMode = 0o600

// listen binds the address that a key of the configuration holds. mode is that of a socket.
func listen(key, address string, mode fs.FileMode) (net.Listener, error) {
	path, isSocket := socket.Path(address)
	var listener net.Listener
	var err error
	if isSocket {
		listener, err = socket.ListenMode(path, mode)
	} else {
		listener, err = net.Listen("tcp", address)
	}
	switch {
	case err == nil:
		return listener, nil
	case isSocket && errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no directory %s for the socket of %s; make it, with mode 0700 and for this user", filepath.Dir(path), key)
	case isSocket && errors.Is(err, fs.ErrExist):
		return nil, fmt.Errorf("%s is no socket, and is left as it is; move it away, or choose another path with %s", path, key)
	case isSocket && errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("no socket can be made at %s: this user may not write to its directory; choose another path with %s", path, key)
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("address %s is taken by another program; stop it, or choose another with %s",
			address, setBy(key))
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("address %s needs more rights; choose a port from 1024 on with %s",
			address, setBy(key))
	}
	return nil, fmt.Errorf("listen on %s (%s): %w", address, key, err)
}

// setBy says how the address of a listener is chosen.
func setBy(key string) string {
	return fmt.Sprintf("--%s or %s in the configuration", strings.TrimSuffix(key, ".listen"), key)
}

// reloadOnSignal reads the configuration again on SIGHUP and applies what may change while the
// server runs.
func (s *server) reloadOnSignal(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			s.reload(ctx)
		}
	}
}

func (s *server) reload(ctx context.Context) {
	s.noteReload()
	s.certificates.look()
	fresh, err := s.global.load()
	if err != nil {
		s.logger.Error("the configuration was not reloaded", telemetry.KeyErr, err)
		return
	}
	var keys, restart []string
	for _, change := range config.Changed(s.config, fresh) {
		keys = append(keys, change.Key)
		fixed := change.Key == "queue.max_age" && catalog.FixesMaxAge(s.config.Queue.URL)
		if !change.Reload || fixed {
			restart = append(restart, change.Key)
		}
	}
	if len(restart) > 0 {
		s.logger.Warn("the configuration was not reloaded: these keys need a restart", telemetry.KeyKeys,
			restart)
		return
	}
	if err := s.apply(ctx, fresh); err != nil {
		s.logger.Error("the configuration was not reloaded", telemetry.KeyErr, err)
		return
	}
	s.level.Set(fresh.Log.SlogLevel())
	s.logger.Info("the configuration was reloaded", telemetry.KeyKeys, keys)
}

// noteReload writes down that somebody wants the configuration to be taken anew. It is taken
// whether or not that can be written: it may be what mends the server.
func (s *server) noteReload() {
	if s.engines.Trail == nil {
		return
	}
	if _, err := s.engines.Trail.Append(trail.Act{Actor: "a signal (SIGHUP)", Action: "config.reload"}); err != nil {
		s.logger.Error("a reload is not in the trail", telemetry.KeyErr, err)
	}
}

// apply puts a configuration in force, of which nothing else has changed than a reload may change.
func (s *server) apply(ctx context.Context, fresh *config.Config) error {
	if err := checkEngines(fresh); err != nil {
		return err
	}
	sinks, err := s.engines.openMore(ctx, fresh)
	if err != nil {
		return err
	}
	issuers := s.engines.issuersOf()
	settings := settingsOf(fresh, s.engines.ring(), issuers)
	if err := s.Reload(ctx, settings, sinks); err != nil {
		return errors.Join(err, closeSinks(sinks))
	}
	issuers.Retain(usedOf(&settings)...)
	s.config, s.engines.config = fresh, fresh
	s.inForce.Store(fresh)
	return nil
}
