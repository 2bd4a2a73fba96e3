package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"pillarbox"
	"pillarbox/internal/config"
	"pillarbox/internal/deliver"
	"pillarbox/internal/express"
	"pillarbox/internal/httpapi"
	"pillarbox/internal/run"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// The roles of a server.
const (
	roleAccept  = "accept"
	roleDeliver = "deliver"
	roleAdmin   = "admin"
)

var allRoles = []string{roleAccept, roleDeliver, roleAdmin}

func newServeCommand(global *globalFlags) *cobra.Command {
	var roles []string
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run everything: accept, deliver, admin",
		Long: `Run the server. Without any configuration it accepts at http://localhost:8080/app, keeps
everything in ./pillarbox-data, and has its admin API at http://127.0.0.1:8081.

SIGTERM and Ctrl-C stop it in order: refuse, finish, deliver the batch at hand, close. A
second signal cuts that short. SIGHUP reads the configuration again. Killing it at any
moment loses nothing that was acknowledged.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if len(roles) == 0 {
				return usageError{fmt.Errorf("--roles names none; it may be %s", strings.Join(allRoles, ", "))}
			}
			for _, role := range roles {
				if !slices.Contains(allRoles, role) {
					return usageError{fmt.Errorf("--roles: %q is none of %s", role, strings.Join(allRoles, ", "))}
				}
			}
			return serve(global, roles)
		},
	}
	command.Flags().StringSliceVar(&roles, "roles", allRoles, "what to run")
	return command
}

// heapFloor is memory that is never touched, so that the system never gives any for it. The garbage collector runs when the
// heap has doubled, and ours is so small that it would run 23 times a second under load on net/http, and not 8 times.
const heapFloor = 16 << 20

// lastLines is how long a stop waits for the reader of the log.
const lastLines = 2 * time.Second

// serve runs the server. Nothing that it says can hold it up or end it, the error that it ends with included: a reader of
// the log may stand still or be gone.
func serve(global *globalFlags, roles []string) error {
	// With a receiver for the signal, a write to a pipe that nobody reads is an error, and not the end of the process.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	lines := telemetry.NewLines(os.Stderr, 0)
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
	lines.Tell(func(dropped uint64) {
		logger.Warn("lines of the log were dropped, because nobody took them", telemetry.KeyLines, dropped)
	})
	warnOfStrays(cfg, logger)
	o, err := openOffice(stop, cfg, logger, false)
	if err != nil {
		return err
	}
	o.lines = lines
	s := &server{office: o, global: global, level: level, roles: roles}
	return s.run(stop, force)
}

// warnOfStrays tells of variables that set nothing. It is no reason not to start: see strayError.
func warnOfStrays(cfg *config.Config, logger *slog.Logger) {
	for _, stray := range cfg.Strays() {
		logger.Warn("an environment variable may be misspelled", telemetry.KeyErr, stray)
	}
}

// server runs an office.
type server struct {
	*office
	global *globalFlags
	level  *slog.LevelVar
	roles  []string
	public *httpapi.Public                // nil without the role accept
	addrs  struct{ public, admin string } // that the listeners have, as host:port; empty without the role
	routes atomic.Pointer[map[string]*express.Route]
	ready  atomic.Bool
	may    connections // that the limit of descriptors leaves to the listeners
}

// run starts the services in order and stops them in the reverse order: not ready, refuse and finish requests,
// stop leasing and finish deliveries, admin, and then the engines.
func (s *server) run(stop, force context.Context) error {
	group := run.New(run.Options{Log: s.logger, DrainTimeout: s.config.Shutdown.DrainTimeout.Std()})
	group.Add(run.Service{Name: "data", Close: s.office.Close})
	var err error
	if s.may, err = s.connections(); err != nil {
		return errors.Join(err, s.office.Close())
	}
	if s.has(roleAdmin) {
		service, err := s.listenAdmin()
		if err != nil {
			return errors.Join(err, s.office.Close())
		}
		group.Add(service)
	}
	if s.has(roleDeliver) {
		var loops []run.Service
		for name, loop := range s.loops {
			loops = append(loops, run.Service{Name: "deliver to " + name, Run: loop.Run, Drain: drainOf(loop)})
		}
		group.Add(run.Service{Name: "review", Run: s.review})
		group.Add(loops...)
	}
	if s.has(roleAccept) {
		service, err := s.listenPublic()
		if err != nil {
			return errors.Join(err, s.office.Close())
		}
		group.Add(service)
	}
	group.Add(run.Service{Name: "reload", Run: s.reloadOnSignal}, run.Service{Name: "lock", Run: s.watchLock})
	group.Add(run.Service{Name: "ready", Start: s.announce, Drain: s.refuse})
	return group.Run(stop, force)
}

// newAdmin makes the handler of the admin listener. Followers leave half of its connections to others.
func (s *server) newAdmin(maxFollowers int) http.Handler {
	return httpapi.NewAdmin(desk{office: s.office, roles: s.roles}, httpapi.AdminOptions{
		Token: string(s.config.Admin.Token), MaxFollowers: maxFollowers, Metrics: promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}),
		Ready: s.isReady, Logger: s.logger,
	})
}

// refuse begins the stop: the server is not ready, and requests that wait for their event to be stored are answered.
func (s *server) refuse(context.Context) error {
	s.ready.Store(false)
	s.watch.Hurry()
	return nil
}

func (s *server) has(role string) bool { return slices.Contains(s.roles, role) }

func drainOf(loop *deliver.Loop) func(context.Context) error {
	return func(context.Context) error { loop.Drain(); return nil }
}

func (s *server) announce(context.Context) error {
	s.ready.Store(true)
	if s.has(roleAccept) {
		s.warnOfDescriptors()
	}
	for _, source := range publicSources(s.config) {
		if s.has(roleAccept) {
			s.logger.Info("ready to accept", telemetry.KeySource, source.Name, telemetry.KeyAddr, "http://"+displayAddress(s.addrs.public)+source.Path)
		}
	}
	if s.has(roleAdmin) {
		s.logger.Info("admin API", telemetry.KeyAddr, "http://"+displayAddress(s.addrs.admin)+"/")
	}
	return nil
}

// displayAddress makes an address that can be put into a browser.
func displayAddress(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

func (s *server) publicOptions() httpapi.PublicOptions {
	limits := s.config.HTTP
	options := httpapi.PublicOptions{
		MaxBatchBytes: int64(limits.MaxBatchBytes), MaxBatchItems: limits.MaxBatchItems, MaxWait: limits.MaxWait.Std(),
		MaxInFlightBytes: int64(limits.MaxInFlightBytes), Logger: s.logger, Metrics: s.metrics,
	}
	if s.has(roleDeliver) && limits.MaxWait > 0 {
		options.Waiter = waiter{s.watch}
	}
	return options
}

// waiter lets the public listener wait for deliveries.
type waiter struct{ watch *deliver.Watch }

func (w waiter) Expect(requestID string) httpapi.Expectation { return w.watch.Expect(requestID) }

func publicSources(cfg *config.Config) []httpapi.Source {
	var sources []httpapi.Source
	for name, source := range cfg.Sources {
		public := httpapi.Source{
			Name: name, Path: source.Path, MaxBody: int64(source.MaxBody),
			RatePerSecond: source.Rate.PerSecond, RateBurst: source.Rate.Burst,
		}
		for destination, settings := range cfg.Destinations {
			if slices.Contains(settings.Sources, name) {
				public.Destinations = append(public.Destinations, destination)
			}
		}
		sources = append(sources, public)
	}
	slices.SortFunc(sources, func(a, b httpapi.Source) int { return strings.Compare(a.Name, b.Name) })
	return sources
}

// isReady says why the server is not ready to accept, or nil.
func (s *server) isReady() error {
	if !s.ready.Load() {
		return notReady("the server is starting or stopping")
	}
	if problem := s.queue.Stats().Problem; problem != "" {
		return notReady(problem)
	}
	return nil
}

// notReady is the reason why a server can't accept.
type notReady string

func (r notReady) Error() string { return string(r) }

// Is gives it the kind of what passes by itself.
func (r notReady) Is(target error) bool { return target == pillarbox.ErrUnavailable }

// reloadOnSignal reads the configuration again on SIGHUP and applies what may change while the server runs.
func (s *server) reloadOnSignal(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			s.reload()
		}
	}
}

// lockInterval is how often the data directory is looked at.
const lockInterval = time.Second

// watchLock ends the server when its data directory is not at its path any more: another one could begin there, and what
// this one promises would be looked for where it is not.
func (s *server) watchLock(ctx context.Context) error {
	if s.lock == nil {
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
		err := s.lock.Check()
		if errors.Is(err, vfs.ErrLost) {
			s.ready.Store(false)
			return fmt.Errorf("the data directory is not where it was, and nothing more is accepted; what was accepted is where the directory is now: %w", err)
		}
		if err != nil {
			s.logger.Warn("look at the data directory", telemetry.KeyErr, err)
		}
	}
}

func (s *server) reload() {
	fresh, err := s.global.load()
	if err != nil {
		s.logger.Error("the configuration was not reloaded", telemetry.KeyErr, err)
		return
	}
	var restart []string
	for _, change := range config.Changed(s.config, fresh) {
		if !change.Reload {
			restart = append(restart, change.Key)
		}
	}
	if len(restart) > 0 {
		s.logger.Warn("the configuration was not reloaded: these keys need a restart", telemetry.KeyKeys, restart)
		return
	}
	s.level.Set(fresh.Log.SlogLevel())
	s.acceptor.SetSources(ingestSources(fresh))
	if s.public != nil {
		s.setSources(fresh)
	}
	for name, loop := range s.loops {
		destination, configured := fresh.Destinations[name]
		if !configured {
			continue
		}
		tuning := tuningOf(fresh, destination)
		tuning.Rules.Rule, tuning.Rules.Elsewhere = s.rules[name].Rule, s.rules[name].Elsewhere // a reload changes no source
		loop.SetTuning(tuning)
	}
	s.queue.SetMaxBytes(int64(fresh.Queue.MaxBytes))
	s.logger.Info("the configuration was reloaded")
}
