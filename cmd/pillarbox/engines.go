package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/background"
	"pillarbox/internal/clock"
	"pillarbox/internal/config"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/jwt"
	"pillarbox/internal/node"
	"pillarbox/internal/quarantine"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/trail"
	"pillarbox/internal/vfs"
)

// engines opens what the configuration names. readOnly is for commands that look while no server
// runs: the queue is then not written to.
type engines struct {
	node.Engines
	config    *config.Config
	logger    *slog.Logger
	metrics   *telemetry.Metrics
	readOnly  bool
	mustExist bool         // the data directory is not made; readOnly makes none either
	issuers   *jwt.Issuers // of tokens; see issuersOf
	data      *vfs.Disk    // nil where nothing is kept on this machine
}

// openNode opens the engines and makes a node of them.
func openNode(ctx context.Context, e *engines, options node.Options) (*node.Node, error) {
	if err := e.open(ctx); err != nil {
		return nil, errors.Join(err, e.close())
	}
	options.Engines, options.Settings, options.ReadOnly = e.Engines, settingsOf(e.config, e.ring(), e.issuersOf()), e.readOnly
	options.Data, options.QueueURL, options.Version = directoryOf(
		e.config), e.config.Queue.URL, version()
	options.MaxInFlightBytes = int64(e.config.HTTP.MaxInFlightBytes)
	options.DrainTimeout = e.config.Shutdown.DrainTimeout.Std()
	options.Logger, options.Metrics = e.logger, e.metrics
	return node.Open(ctx, options)
}

func (e *engines) open(ctx context.Context) error {
	cfg := e.config
	if err := checkEngines(cfg); err != nil {
		return usageError{err} // like any other value of a key, and before a directory is made
	}
	if needsData(cfg) {
		if err := e.openDirectory(); err != nil {
			return err
		}
	}
	e.openClock()
	if err := e.openAtRest(ctx); err != nil {
		return err
	}
	if err := e.openKeys(ctx); err != nil {
		return err
	}
	if err := e.openQuarantine(); err != nil {
		return err
	}
	e.openTrail()
	if e.data != nil {
		e.Jobs = background.NewKeeper(e.data, e.AtRest)
	}
	place := e.place()
	var err error
	if cfg.Idempotency.URL != "" {
		if e.Keys, err = catalog.OpenKeyStore(cfg.Idempotency.URL, cfg.Idempotency.Window.Std()); err != nil {
			return err
		}
	}
	if e.DeadLetters, err = catalog.OpenDeadLetters(place, cfg.DeadLetters.URL); err != nil {
		return err
	}
	if e.Queue, err = catalog.OpenQueue(place, cfg.Queue.URL, catalog.QueueOptions{
		MaxBytes: int64(cfg.Queue.MaxBytes), MinFreeBytes: int64(cfg.Queue.MinFree), KeepBytes: keepBytes(
			cfg.Queue.KeepBytes),
		SegmentBytes: int64(cfg.Queue.SegmentBytes), Meter: e.metrics.Seglog(), MaxAge: cfg.Queue.MaxAge.Std(),
		Elapsed: e.Clock.Elapsed, MaxRetryWait: longestBackoff(
			cfg), CommitTimeout: cfg.Queue.CommitTimeout.Std(),
	}); err != nil {
		return err
	}
	e.Sinks, err = e.openSinks(ctx, cfg, nil)
	return err
}

// openKeys reads the API keys. A command that only looks goes on without them.
func (e *engines) openKeys(ctx context.Context) error {
	if e.config.APIKeys.URL != "" {
		return e.openSharedKeys(ctx)
	}
	if e.data == nil {
		return nil
	}
	keys, err := apikey.OpenStore(e.data, apikey.Options{Now: e.Clock.Now, Logger: e.logger})
	if err != nil && e.readOnly {
		e.logger.Warn("the API keys can't be read", telemetry.KeyErr, err)
		return nil
	}
	if err != nil {
		return err
	}
	e.APIKeys = keys
	return nil
}

// openSharedKeys reads the API keys that others share. A command that does not ask for them goes on
// where they can't be read.
func (e *engines) openSharedKeys(ctx context.Context) error {
	file, err := catalog.OpenAPIKeys(e.config.APIKeys.URL)
	if err != nil {
		return err
	}
	e.APIKeys = apikey.OpenShared(file, apikey.Options{Now: e.Clock.Now, Logger: e.logger})
	if err = e.APIKeys.Refresh(ctx); err != nil && e.readOnly {
		e.logger.Warn("the API keys can't be read", telemetry.KeyErr, err)
		return nil
	}
	return err
}

// openQuarantine lists the requests whose signature fails. A command that only looks goes on without
// them.
func (e *engines) openQuarantine() error {
	if e.data == nil {
		return nil
	}
	opened, err := quarantine.Open(e.data, quarantine.Options{Elapsed: e.Clock.Elapsed, Logger: e.logger, AtRest: e.AtRest,
		Timeout: e.config.Queue.CommitTimeout.Std()})
	if err != nil && e.readOnly {
		e.logger.Warn("the quarantine can't be read", telemetry.KeyErr, err)
		return nil
	}
	if err != nil {
		return err
	}
	e.Quarantine = opened
	return nil
}

// openTrail goes on with the trail of administration. Where it can't be read, events are accepted and
// delivered all the same, and nothing is done that it has to have.
func (e *engines) openTrail() {
	if e.data == nil {
		return
	}
	opened, err := trail.Open(e.data, trail.Options{Now: e.Clock.Now, Logger: e.logger, AtRest: e.AtRest})
	if err != nil {
		e.logger.Error("the trail of administration can't be read, so that nothing is done that it has to have", telemetry.KeyErr, err)
		opened = trail.Broken(err)
	}
	e.Trail = opened
}

// issuersOf are the issuers of tokens, made once. Their keys are fetched where somebody runs them.
func (e *engines) issuersOf() *jwt.Issuers {
	if e.issuers == nil {
		e.issuers = jwt.New(jwt.Options{Logger: e.logger})
	}
	return e.issuers
}

// ring is the keys that open sources; without any where there are none.
func (e *engines) ring() *apikey.Ring {
	if e.APIKeys == nil {
		return new(apikey.Ring)
	}
	return e.APIKeys.Ring()
}

// place is where engines keep what they keep on this machine.
func (e *engines) place() catalog.Place {
	place := catalog.Place{Data: e.data, ReadOnly: e.readOnly, AtRest: e.AtRest, BodiesURL: e.config.Bodies.URL,
		Logger: e.logger}
	if e.Clock != nil {
		place.Now = e.Clock.Now
	}
	return place
}

// openSinks opens those of a configuration, without those of another one. After an error it returns
// none.
func (e *engines) openSinks(ctx context.Context, cfg, but *config.Config) (map[string]pillarbox.Sink,
	error) {
	sinks := map[string]pillarbox.Sink{}
	for name, destination := range cfg.Destinations {
		if but != nil {
			if _, open := but.Destinations[name]; open {
				continue
			}
		}
		sink, err := catalog.OpenDestination(ctx, e.place(), name, engineOf(&destination))
		if err != nil {
			return nil, errors.Join(err, closeSinks(sinks))
		}
		sinks[name] = sink
	}
	return sinks, nil
}

// openMore opens the sinks of destinations that a configuration has in addition to the one in
// force.
func (e *engines) openMore(ctx context.Context, fresh *config.Config) (map[string]pillarbox.Sink,
	error) {
	if e.data == nil && needsData(fresh) {
		return nil, pillarbox.Invalid("a destination or a source needs the data directory, and this server runs without one; restart it")
	}
	return e.openSinks(ctx, fresh, e.config)
}

func closeSinks(sinks map[string]pillarbox.Sink) error {
	var errs []error
	for _, sink := range sinks {
		errs = append(errs, sink.Close())
	}
	return errors.Join(errs...)
}

// close closes what was opened, where no node came of it.
func (e *engines) close() error {
	errs := []error{closeSinks(e.Sinks)}
	if e.Quarantine != nil {
		errs = append(errs, e.Quarantine.Close())
	}
	if e.Queue != nil {
		errs = append(errs, e.Queue.Close())
	}
	if e.DeadLetters != nil {
		errs = append(errs, e.DeadLetters.Close())
	}
	if e.Clock != nil {
		errs = append(errs, e.Clock.Close())
	}
	if e.Lock != nil {
		errs = append(errs, e.Lock.Close())
	}
	if e.Disk != nil {
		errs = append(errs, e.Disk.Close())
	}
	return errors.Join(errs...)
}

// clockFile is where the clock keeps what a later life needs.
const clockFile = "clock.json"

// openClock begins to tell the time. Commands that only look leave no note.
func (e *engines) openClock() {
	var fsys vfs.FS
	if e.data != nil && !e.readOnly {
		fsys = e.data
	}
	e.Clock = clock.Open(fsys, clockFile, clock.Options{
		Logger: e.logger, Spawn: func(save func()) { go save() }, OnStep: func(clock.Step) {
			e.metrics.ClockStep()
		},
	})
}

// openDirectory opens and locks the data directory.
func (e *engines) openDirectory() error {
	dir := e.config.Data
	if e.readOnly || e.mustExist {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no data directory %s, and no server answers; choose one with --data or --server: %w", dir, pillarbox.ErrNotFound)
		}
	}
	disk, err := vfs.OpenDisk(dir)
	if err != nil {
		return unusable(dir, err)
	}
	e.data, e.Disk = disk, disk
	warnOfOpenDirectory(dir, e.logger)
	disk.Watch(e.config.Queue.CommitTimeout.Std(), func(what string, since time.Duration) {
		e.logger.Error("the disk does not answer", telemetry.KeyCall, what, telemetry.KeyAfter,
			since.Round(time.Millisecond))
	}, func(what string, took time.Duration) {
		e.logger.Warn("the disk has answered", telemetry.KeyCall, what, telemetry.KeyTook,
			took.Round(time.Millisecond))
	})
	if err := vfs.MkdirAll(disk, catalog.QueueDir); err != nil && !e.readOnly &&
		catalog.NeedsData(e.config.Queue.URL) {
		return unusable(dir, err)
	}
	lock, err := disk.Lock(catalog.LockFile, catalog.QueueDir)
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("data directory %s is in use by another pillarbox; reach it with --server and the address of its admin API, stop it, or choose another directory with --data: %w", dir, pillarbox.ErrConflict)
	}
	if err != nil {
		return unusable(dir, err)
	}
	e.Lock = lock
	return nil
}

// openToOthers are the rights by which others than the owner may put files into a directory, or
// take them away.
const openToOthers = 0o022

// warnOfOpenDirectory tells of a directory that was there before with more rights than a new one
// gets. It may be meant so, as in a container, and is left as it is.
func warnOfOpenDirectory(dir string, logger *slog.Logger) {
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&openToOthers == 0 {
		return
	}
	logger.Warn("other users of this machine may change what is in the data directory; unless that is meant, take the right from them (chmod 700)",
		telemetry.KeyFile, dir, telemetry.KeyReason, fmt.Sprintf("its mode is %04o", info.Mode().Perm()))
}

func unusable(dir string, err error) error {
	return fmt.Errorf("data directory %s can't be used; make it writable for this user, or choose another with --data: %w", dir, err)
}
