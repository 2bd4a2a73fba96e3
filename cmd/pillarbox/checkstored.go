package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/config"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/held"
	"pillarbox/internal/jwt"
	"pillarbox/internal/node"
	"pillarbox/internal/vfs"
)

// checkStored refuses a configuration by which events that are pending in its data directory would
// be held, and counts them. A directory that a running server has is asked about there.
func checkStored(ctx context.Context, global *globalFlags, cfg *config.Config,
	talk io.Writer) error {
	_, err := os.Stat(filepath.Join(cfg.Data, catalog.QueueDir))
	if err != nil || !catalog.NeedsData(cfg.Queue.URL) {
		return nil // nothing is there yet, or it is shared with others
	}
	pending, err := pendingAtRest(ctx, cfg)
	if errors.Is(err, vfs.ErrLocked) {
		if pending, err = pendingOfServer(ctx, global, cfg); err != nil {
			fmt.Fprintf(talk, "not checked: what waits in %s, which a server has that does not tell (%v)\n",
				cfg.Data, err)
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("look at what waits in %s: %w", cfg.Data, err)
	}
	held, err := node.WouldHold(settingsOf(cfg, new(apikey.Ring), jwt.New(jwt.Options{})), pending)
	errs := []error{err}
	for _, p := range held {
		if where := p.Where[p.Destination]; where != "" && where != cfg.Destinations[p.Destination].Where {
			errs = append(errs, fmt.Errorf("up to %d pending events of the source %q passed the filter %q of the destination %q, which is another one now: those that the new one does not take would be held; keep the filter until they are delivered, or decide about them with \"pillarbox held\"", p.Events, p.Source, where, p.Destination))
			continue
		}
		errs = append(errs, fmt.Errorf("%d pending events of the source %q were meant for the destination %q, and no destination would take them any more: they would be held; keep both in the configuration until they are delivered, or decide about them with \"pillarbox held\"", p.Events, p.Source, p.Destination))
	}
	return errors.Join(errs...)
}

// pendingAtRest opens the queue of a directory that nobody else has.
func pendingAtRest(ctx context.Context, cfg *config.Config) (pending []held.Pending, err error) {
	disk, err := vfs.OpenDisk(cfg.Data)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	lock, err := disk.Lock(catalog.LockFile)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	queue, err := catalog.OpenQueue(catalog.Place{Data: disk, ReadOnly: true, Logger: quietLogger()},
		cfg.Queue.URL, catalog.QueueOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, queue.Close()) }()
	if !queue.Traits().Obliges {
		return nil, nil
	}
	return held.New(queue, nil, func() []string { return queue.Stats().Destinations },
		nil).Pending(ctx)
}

func pendingOfServer(ctx context.Context, global *globalFlags,
	cfg *config.Config) ([]held.Pending, error) {
	remote, runs, err := global.reach(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if !runs {
		return nil, fmt.Errorf("no server with this data directory answers at %s: %w", remote.Base(),
			pillarbox.ErrUnavailable)
	}
	list, err := remote.Obligations(ctx)
	if err != nil {
		return nil, err
	}
	return list.Pending, nil
}
