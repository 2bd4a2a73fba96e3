package main

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/held"
	"pillarbox/internal/httpapi"
	"pillarbox/internal/ledger"
	"pillarbox/internal/replay"
	"pillarbox/internal/telemetry"
)

// desk answers the admin API from an office. Without a running server the CLI puts the same API before an
// office that it opened itself.
type desk struct {
	*office
	roles []string // of the server; none where no server runs
}

var _ httpapi.Desk = desk{}

// Status implements httpapi.Overview.
func (d desk) Status(ctx context.Context) (httpapi.Status, error) {
	stats := d.queue.Stats()
	status := httpapi.Status{
		Version: version(), StartedAt: pillarbox.TimestampOf(d.started),
		UptimeSeconds: int64(time.Since(d.started).Seconds()), Data: d.directory(), Roles: d.roles,
		Queue: httpapi.QueueStatus{
			Accepted: stats.Accepted, Bytes: stats.Bytes, MaxBytes: stats.MaxBytes, Problem: stats.Problem, Damage: []string{},
			Uncounted: stats.Uncounted,
		},
		Disk:         d.diskProblem(),
		Destinations: []httpapi.DestinationStatus{}, Sources: []httpapi.SourceStatus{}, Unconfigured: []httpapi.Unconfigured{},
	}
	for _, damage := range stats.Damage {
		status.Queue.Damage = append(status.Queue.Damage, damage.Error())
	}
	for _, name := range d.destinations() {
		destination, err := d.destinationStatus(ctx, name)
		if err != nil {
			return httpapi.Status{}, err
		}
		status.Destinations = append(status.Destinations, destination)
	}
	for _, source := range publicSources(d.config) {
		status.Sources = append(status.Sources, httpapi.SourceStatus{Source: source.Name, Path: source.Path})
	}
	for _, name := range d.unconfigured() {
		account, err := d.account(name)
		if err != nil {
			return httpapi.Status{}, err
		}
		status.Unconfigured = append(status.Unconfigured, httpapi.Unconfigured{Destination: name, Pending: account.Pending, Held: account.Held})
	}
	return status, nil
}

func (d desk) destinationStatus(ctx context.Context, name string) (httpapi.DestinationStatus, error) {
	account, err := d.account(name)
	if err != nil {
		return httpapi.DestinationStatus{}, err
	}
	letters, err := d.countLetters(ctx, name)
	if err != nil {
		return httpapi.DestinationStatus{}, err
	}
	loop := d.loops[name].Status()
	if !slices.Contains(d.roles, roleDeliver) { // the loop does not run
		loop.State = httpapi.StateIdle
		if !catalog.Local(d.config.Queue.URL) {
			loop.State = httpapi.StateElsewhere
		}
	}
	return httpapi.DestinationStatus{
		Destination: name, URL: d.config.Destinations[name].URL, State: loop.State,
		PausedSince: stampOf(loop.PausedSince), NextProbe: stampOf(loop.NextProbe),
		LastError: loop.LastError, LastErrorAt: stampOf(loop.LastErrorAt), LastStored: stampOf(loop.LastStored),
		Pending: account.Pending, Held: account.Held, Retrying: account.Retrying, OldestPending: account.OldestPending, DeadLetters: letters.Open,
	}, nil
}

// stampOf keeps "not known" as zero.
func stampOf(t time.Time) pillarbox.Timestamp {
	if t.IsZero() {
		return 0
	}
	return pillarbox.TimestampOf(t)
}

// store finds the destination that can be read back.
func (d desk) store(name string) (string, pillarbox.EventStore, error) {
	if name != "" {
		sink, known := d.sinks[name]
		if !known {
			return "", nil, d.noDestination(name)
		}
		if !sink.Traits().Readable {
			return "", nil, fmt.Errorf("destination %s can't be read back: %w", name, pillarbox.ErrInvalid)
		}
		return name, sink, nil
	}
	var readable []string
	var found pillarbox.EventStore
	for _, name := range d.destinations() {
		if sink := d.sinks[name]; sink.Traits().Readable {
			readable, found = append(readable, name), sink
		}
	}
	switch len(readable) {
	case 0:
		return "", nil, fmt.Errorf("no destination can be read back; configured are %s: %w", strings.Join(d.destinations(), ", "), pillarbox.ErrInvalid)
	case 1:
	default:
		return "", nil, fmt.Errorf("several destinations can be read back; choose one with --destination (in the API: destination=): %s: %w", strings.Join(readable, ", "), pillarbox.ErrInvalid)
	}
	return readable[0], found, nil
}

func (d desk) noDestination(name string) error {
	return fmt.Errorf("there is no destination %q; configured are %s: %w", name, strings.Join(d.destinations(), ", "), pillarbox.ErrNotFound)
}

// Events implements httpapi.Reader.
func (d desk) Events(ctx context.Context, destination string, filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	_, store, err := d.store(destination)
	if err != nil {
		return nil, err
	}
	return store.List(ctx, filter)
}

// Follow implements httpapi.Reader.
func (d desk) Follow(_ context.Context, destination string) (httpapi.Following, error) {
	name, _, err := d.store(destination)
	if err != nil {
		return httpapi.Following{}, err
	}
	follower := d.watch.Follow(name)
	return httpapi.Following{Batches: follower.Batches, Close: follower.Close}, nil
}

// DeadLetters implements httpapi.Letters.
func (d desk) DeadLetters(ctx context.Context, filter pillarbox.LetterFilter) iter.Seq2[*pillarbox.DeadLetter, error] {
	return d.letters.List(ctx, filter)
}

// DeadLetter implements httpapi.Letters.
func (d desk) DeadLetter(ctx context.Context, destination, requestID string) (*pillarbox.DeadLetter, error) {
	return d.letters.Get(ctx, destination, requestID)
}

// Discard implements httpapi.Letters.
func (d desk) Discard(ctx context.Context, destination, requestID string) error {
	return d.replayer.Discard(ctx, destination, requestID)
}

// StartReplay implements httpapi.Replays.
func (d desk) StartReplay(ctx context.Context, request replay.Request) (replay.Progress, error) {
	if name := request.Filter.Destination; name != "" && d.sinks[name] == nil {
		return replay.Progress{}, d.noDestination(name)
	}
	return d.jobs.Start(ctx, request)
}

// Replays implements httpapi.Replays.
func (d desk) Replays() []replay.Progress { return d.jobs.List() }

// Replay implements httpapi.Replays.
func (d desk) Replay(id string) (replay.Progress, error) { return d.jobs.Get(id) }

// CancelReplay implements httpapi.Replays.
func (d desk) CancelReplay(ctx context.Context, id string) (replay.Progress, error) {
	return d.jobs.Cancel(ctx, id)
}

// heldEvents is what a shared queue does not have.
func (d desk) heldEvents() (*held.Events, error) {
	if d.held == nil {
		return nil, fmt.Errorf("the queue %s is shared with others, and holds no events back: %w", d.config.Queue.URL, pillarbox.ErrInvalid)
	}
	return d.held, nil
}

// HeldGroups implements httpapi.Held.
func (d desk) HeldGroups(ctx context.Context, filter held.Filter) ([]held.Group, error) {
	events, err := d.heldEvents()
	if err != nil {
		return nil, err
	}
	return events.Groups(ctx, filter)
}

// HeldEvents implements httpapi.Held.
func (d desk) HeldEvents(ctx context.Context, filter held.Filter, after *held.Place, limit int) ([]held.Item, *held.Place, error) {
	events, err := d.heldEvents()
	if err != nil {
		return nil, nil, err
	}
	return events.List(ctx, filter, after, limit)
}

// RouteHeld implements httpapi.Held.
func (d desk) RouteHeld(ctx context.Context, filter held.Filter, to string, dryRun bool) (held.Result, error) {
	events, err := d.heldEvents()
	if err != nil {
		return held.Result{}, err
	}
	if d.sinks[to] == nil {
		return held.Result{}, d.noDestination(to)
	}
	result, err := events.Route(ctx, filter, to, dryRun)
	d.logHeld("held events were routed", result, "to", to)
	return result, err
}

// DeadLetterHeld implements httpapi.Held.
func (d desk) DeadLetterHeld(ctx context.Context, filter held.Filter, dryRun bool) (held.Result, error) {
	events, err := d.heldEvents()
	if err != nil {
		return held.Result{}, err
	}
	result, err := events.DeadLetter(ctx, filter, dryRun)
	d.logHeld("held events were made dead letters", result)
	return result, err
}

// ForgetHeld implements httpapi.Held.
func (d desk) ForgetHeld(ctx context.Context, filter held.Filter, dryRun bool) (held.Result, error) {
	events, err := d.heldEvents()
	if err != nil {
		return held.Result{}, err
	}
	result, err := events.Forget(ctx, filter, dryRun)
	d.logHeld("held events were given up", result)
	return result, err
}

// logHeld keeps a trace of a person's decision.
func (d desk) logHeld(message string, result held.Result, more ...any) {
	if result.Done > 0 {
		d.logger.Info(message, append([]any{telemetry.KeyEvents, result.Done}, more...)...)
	}
}

// Obligations implements httpapi.Held.
func (d desk) Obligations(ctx context.Context) ([]held.Pending, error) {
	if d.held == nil {
		return nil, nil
	}
	return d.held.Pending(ctx)
}

// Ledger implements httpapi.Books.
func (d desk) Ledger(ctx context.Context) (ledger.Ledger, error) { return d.ledger(ctx) }

// Audit implements httpapi.Books.
func (d desk) Audit(ctx context.Context) (*ledger.Audit, error) { return d.books.Audit(ctx) }

// Redeliver implements httpapi.Books.
func (d desk) Redeliver(ctx context.Context, destination string) ([]ledger.Redelivery, error) {
	redeliveries, err := d.books.Redeliver(ctx, destination)
	for _, r := range redeliveries {
		d.logger.Info("events that a destination has lost are handed out again", telemetry.KeyDestination, r.Destination, telemetry.KeyEvents, r.Redelivered)
	}
	return redeliveries, err
}

// Story implements httpapi.Books.
func (d desk) Story(ctx context.Context, requestID string) (*ledger.Story, error) {
	return d.books.Story(ctx, requestID)
}

// directory is the data directory as an absolute path, so that a command can tell whether it is its own. It is empty
// where nothing is kept on this machine.
func (d desk) directory() string {
	if !d.local() {
		return ""
	}
	absolute, err := filepath.Abs(d.config.Data)
	if err != nil {
		return d.config.Data
	}
	return absolute
}
