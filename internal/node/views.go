package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/causes"
	"pillarbox/internal/destination"
	"pillarbox/internal/held"
	"pillarbox/internal/ledger"
	"pillarbox/internal/purge"
	"pillarbox/internal/replay"
	"pillarbox/internal/telemetry"
)

var _ adminapi.Node = (*Node)(nil)

// Status implements adminapi.Overview.
func (n *Node) Status(ctx context.Context) (adminapi.Status, error) {
	stats := n.queue.Stats()
	status := adminapi.Status{
		Version: n.opts.Version, StartedAt: pillarbox.TimestampOf(n.started),
		UptimeSeconds: int64(time.Since(n.started).Seconds()), Data: n.opts.Data, Roles: n.opts.Roles,
		Queue: adminapi.QueueStatus{
			Accepted: stats.Accepted, Bytes: stats.Bytes, MaxBytes: stats.MaxBytes, Problem: stats.Problem, Damage: []string{},
			Uncounted: stats.Uncounted,
		},
		Disk:         n.diskProblem(),
		Destinations: []adminapi.DestinationStatus{}, Sources: []adminapi.SourceStatus{}, Unconfigured: []adminapi.Unconfigured{},
	}
	for _, damage := range stats.Damage {
		status.Queue.Damage = append(status.Queue.Damage, damage.Error())
	}
	canaries := uint64(0)
	for _, to := range n.table().All() {
		destination, canary, err := n.destinationStatus(ctx, to)
		if err != nil {
			return adminapi.Status{}, err
		}
		canaries = max(canaries, canary)
		status.Destinations = append(status.Destinations, destination)
	}
	status.Queue.Accepted -= min(status.Queue.Accepted, canaries)
	status.Canary = n.canary.Status()
	for _, s := range n.sources.Table().All() {
		status.Sources = append(status.Sources, adminapi.SourceStatus{Source: s.Name, Path: s.Path})
	}
	status.Certificates = n.certificates()
	if n.opts.AtRest.Seals() {
		stats := n.opts.AtRest.Stats()
		status.Encryption = &adminapi.EncryptionStatus{DataKeys: stats.DataKeys, Created: stats.Created,
			Problem: stats.Problem}
	}
	status.Quarantine = n.quarantineStatus()
	for _, name := range n.unconfigured() {
		account, err := n.account(name)
		if err != nil {
			return adminapi.Status{}, err
		}
		status.Unconfigured = append(status.Unconfigured,
			adminapi.Unconfigured{Destination: name, Pending: account.Pending, Held: account.Held})
	}
	return status, nil
}

// certificates are how those of the listeners are.
func (n *Node) certificates() (all []adminapi.CertificateStatus) {
	if n.opts.Certificates == nil {
		return nil
	}
	for _, state := range n.opts.Certificates() {
		all = append(all, adminapi.CertificateStatus{Listener: state.Name, File: state.File,
			Names: state.Names, NotAfter: stampOf(state.NotAfter), Problem: state.Problem})
	}
	return all
}

func (n *Node) destinationStatus(ctx context.Context,
	to *destination.Destination) (status adminapi.DestinationStatus, canary uint64, err error) {
	account, canary, err := n.accounts(to.Name)
	if err != nil {
		return status, 0, err
	}
	letters, err := n.countLetters(ctx, to.Name)
	if err != nil {
		return status, 0, err
	}
	loop := n.wired.Load().loops[to.Name].Status()
	if !slices.Contains(n.opts.Roles, RoleDeliver) && !loop.Pause.IsPaused() { // the loop does not run
		loop.State = adminapi.StateIdle
		if n.queue.Traits().Shared {
			loop.State = adminapi.StateElsewhere
		}
	}
	return adminapi.DestinationStatus{
		Destination: to.Name, URL: to.URL, State: loop.State,
		DownSince: stampOf(loop.DownSince), NextProbe: stampOf(loop.NextProbe),
		PausedSince: loop.Pause.At, PausedBy: loop.Pause.By, PauseReason: loop.Pause.Reason,
		LastError: loop.LastError, LastErrorAt: stampOf(loop.LastErrorAt), LastStored: stampOf(
			loop.LastStored),
		Pending: account.Pending, Held: account.Held, Backfill: account.Backfill, Retrying: account.Retrying, OldestPending: account.OldestPending, DeadLetters: letters.Open,
		Purged: pillarbox.PurgedEvents(n.sink(to.Name).Purges()),
	}, canary, nil
}

// stampOf keeps "not known" as zero.
func stampOf(t time.Time) pillarbox.Timestamp {
	if t.IsZero() {
		return 0
	}
	return pillarbox.TimestampOf(t)
}

// store finds the destination that can be read back.
func (n *Node) store(name string) (string, pillarbox.EventStore, error) {
	if name != "" {
		sink := n.sink(name)
		if sink == nil {
			return "", nil, n.noDestination(name)
		}
		if !sink.Traits().Readable {
			return "", nil, pillarbox.Invalid("destination %s can't be read back", name)
		}
		return name, sink, nil
	}
	var readable []string
	var found pillarbox.EventStore
	for _, name := range n.table().Names() {
		if sink := n.sink(name); sink.Traits().Readable {
			readable, found = append(readable, name), sink
		}
	}
	switch len(readable) {
	case 0:
		return "", nil, pillarbox.Invalid("no destination can be read back; configured are %s",
			strings.Join(n.table().Names(), ", "))
	case 1:
	default:
		return "", nil, pillarbox.Invalid(
			"several destinations can be read back; choose one with --destination (in the API: destination=): %s", strings.Join(readable, ", "))
	}
	return readable[0], found, nil
}

func (n *Node) noDestination(name string) error {
	return fmt.Errorf("there is no destination %q; configured are %s: %w", name,
		strings.Join(n.table().Names(), ", "), pillarbox.ErrNotFound)
}

// Events implements adminapi.Reader.
func (n *Node) Events(ctx context.Context, destination string,
	filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	_, store, err := n.store(destination)
	if err != nil {
		return nil, err
	}
	return listUsers(ctx, store, filter)
}

// listUsers is a page without the event of the canary that may be in the store for a moment. One that was
// full is filled again: whoever reads on takes a shorter page for the last one.
func listUsers(ctx context.Context, store pillarbox.EventStore, filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	limit := filter.PageLimit()
	var page []*pillarbox.Event
	for {
		events, err := store.List(ctx, filter)
		full := len(events) == filter.PageLimit()
		for _, event := range events {
			filter.After = event.Key()
			if !event.IsCanary() {
				page = append(page, event)
			}
		}
		if err != nil || !full || len(page) == limit {
			return page, err
		}
		filter.Limit = limit - len(page)
	}
}

// Follow implements adminapi.Reader.
func (n *Node) Follow(_ context.Context, destination string) (adminapi.Following, error) {
	name, _, err := n.store(destination)
	if err != nil {
		return adminapi.Following{}, err
	}
	follower := n.watch.Follow(name)
	return adminapi.Following{Batches: follower.Batches, Close: follower.Close}, nil
}

// DeadLetters implements adminapi.DeadLetters.
func (n *Node) DeadLetters(ctx context.Context,
	filter pillarbox.DeadLetterFilter) iter.Seq2[*pillarbox.DeadLetter, error] {
	return n.letters.List(ctx, filter)
}

// DeadLetter implements adminapi.DeadLetters.
func (n *Node) DeadLetter(ctx context.Context, destination,
	requestID string) (*pillarbox.DeadLetter, error) {
	return n.letters.Get(ctx, destination, requestID)
}

// Discard implements adminapi.DeadLetters.
func (n *Node) Discard(ctx context.Context, destination, requestID string) error {
	return n.replayer.Discard(ctx, destination, requestID)
}

// SetPause implements adminapi.Pauses. What is on its way when a pause begins is delivered.
func (n *Node) SetPause(ctx context.Context, destination string, record pillarbox.PauseRecord) error {
	if n.sink(destination) == nil {
		return n.noDestination(destination)
	}
	if err := n.queue.SetPause(ctx, destination, record); err != nil {
		return err
	}
	message := "the delivery is paused"
	if !record.IsPaused() {
		message = "the delivery goes on after a pause"
	}
	n.logger.Warn(message, telemetry.KeyDestination, destination, telemetry.KeyReason, record.Reason)
	n.wired.Load().loops[destination].Wake()
	return nil
}

// StartReplay implements adminapi.Replays.
func (n *Node) StartReplay(ctx context.Context, request replay.Request) (replay.Progress, error) {
	if name := request.Filter.Destination; name != "" && n.sink(name) == nil {
		return replay.Progress{}, n.noDestination(name)
	}
	for _, to := range n.table().All() {
		name := request.Filter.Destination
		if pause := n.queue.Pause(to.Name); pause.IsPaused() && (name == "" || name == to.Name) {
			return replay.Progress{}, fmt.Errorf("destination %s is paused since %s: resume it first, or replay what is of other destinations (--destination): %w",
				to.Name, pause.At, pillarbox.ErrConflict)
		}
	}
	return n.jobs.Start(ctx, request)
}

// Replays implements adminapi.Replays.
func (n *Node) Replays() []replay.Progress { return n.jobs.List() }

// Replay implements adminapi.Replays.
func (n *Node) Replay(id string) (replay.Progress, error) { return n.jobs.Get(id) }

// CancelReplay implements adminapi.Replays.
func (n *Node) CancelReplay(ctx context.Context, id string) (replay.Progress, error) {
	return n.jobs.Cancel(ctx, id)
}

// DeadGroups implements adminapi.Causes.
func (n *Node) DeadGroups(ctx context.Context, filter pillarbox.DeadLetterFilter) (*causes.Groups, error) {
	if only := (pillarbox.DeadLetterFilter{Destination: filter.Destination}); reflect.DeepEqual(filter, only) {
		return n.causes.Groups(ctx, filter.Destination)
	}
	return causes.Dead(ctx, n.letters, filter)
}

// RetryingGroups implements adminapi.Causes. A queue that is shared with others does not say what waits.
func (n *Node) RetryingGroups(ctx context.Context, destination string) (*causes.Groups, error) {
	names := n.table().Names()
	if destination != "" {
		if n.sink(destination) == nil {
			return nil, n.noDestination(destination)
		}
		names = []string{destination}
	}
	if !n.queue.Traits().Obliges {
		names = nil
	}
	return causes.Retrying(ctx, n.queue, names)
}

// DiscardMany implements adminapi.Causes.
func (n *Node) DiscardMany(ctx context.Context, filter pillarbox.DeadLetterFilter, dryRun bool) (int, error) {
	return n.replayer.DiscardMany(ctx, filter, dryRun)
}

// sinkToPurge is the store of a destination, without the guard of writes.
func (n *Node) sinkToPurge(name string) (pillarbox.Sink, error) {
	sink := n.sink(name)
	if sink == nil {
		return nil, n.noDestination(name)
	}
	return sink.Sink, nil
}

// StartPurge implements adminapi.Purges.
func (n *Node) StartPurge(ctx context.Context, request purge.Request) (purge.Progress, error) {
	progress, err := n.purges.Start(ctx, request)
	if err == nil && !request.DryRun {
		n.logger.Info("a purge begins", telemetry.KeyDestination, request.Destination,
			telemetry.KeySource, request.Source, telemetry.KeyBefore, request.Until.String())
	}
	return progress, err
}

// Purges implements adminapi.Purges.
func (n *Node) Purges() []purge.Progress { return n.purges.List() }

// Purge implements adminapi.Purges.
func (n *Node) Purge(id string) (purge.Progress, error) { return n.purges.Get(id) }

// CancelPurge implements adminapi.Purges.
func (n *Node) CancelPurge(ctx context.Context, id string) (purge.Progress, error) {
	return n.purges.Cancel(ctx, id)
}

// heldEvents is what a shared queue does not have.
func (n *Node) heldEvents() (*held.Events, error) {
	if n.held == nil {
		return nil, pillarbox.Invalid("the queue %s is shared with others, and holds no events back",
			n.opts.QueueURL)
	}
	return n.held, nil
}

// HeldGroups implements adminapi.Held.
func (n *Node) HeldGroups(ctx context.Context, filter held.Filter) ([]held.Group, error) {
	events, err := n.heldEvents()
	if err != nil {
		return nil, err
	}
	return events.Groups(ctx, filter)
}

// HeldEvents implements adminapi.Held.
func (n *Node) HeldEvents(ctx context.Context, filter held.Filter, after *held.Place,
	limit int) ([]held.Item, *held.Place, error) {
	events, err := n.heldEvents()
	if err != nil {
		return nil, nil, err
	}
	return events.List(ctx, filter, after, limit)
}

// RouteHeld implements adminapi.Held.
func (n *Node) RouteHeld(ctx context.Context, filter held.Filter, to string,
	dryRun bool) (held.Result, error) {
	events, err := n.heldEvents()
	if err != nil {
		return held.Result{}, err
	}
	if n.sink(to) == nil {
		return held.Result{}, n.noDestination(to)
	}
	result, err := events.Route(ctx, filter, to, dryRun)
	n.logHeld("held events were routed", result, telemetry.KeyTo, to)
	return result, err
}

// DeadLetterHeld implements adminapi.Held.
func (n *Node) DeadLetterHeld(ctx context.Context, filter held.Filter,
	dryRun bool) (held.Result, error) {
	events, err := n.heldEvents()
	if err != nil {
		return held.Result{}, err
	}
	result, err := events.DeadLetter(ctx, filter, dryRun)
	n.logHeld("held events were made dead letters", result)
	return result, err
}

// ForgetHeld implements adminapi.Held.
func (n *Node) ForgetHeld(ctx context.Context, filter held.Filter,
	dryRun bool) (held.Result, error) {
	events, err := n.heldEvents()
	if err != nil {
		return held.Result{}, err
	}
	result, err := events.Forget(ctx, filter, dryRun)
	n.logHeld("held events were given up", result)
	return result, err
}

// logHeld keeps a trace of a person's decision.
func (n *Node) logHeld(message string, result held.Result, more ...any) {
	if result.Done > 0 {
		n.logger.Info(message, append([]any{telemetry.KeyEvents, result.Done}, more...)...)
	}
}

// Obligations implements adminapi.Held.
func (n *Node) Obligations(ctx context.Context) ([]held.Pending, error) {
	if n.held == nil {
		return nil, nil
	}
	return n.held.Pending(ctx)
}

// Ledger implements adminapi.Ledger.
func (n *Node) Ledger(ctx context.Context) (ledger.Totals, error) { return n.totals(ctx) }

// Audit implements adminapi.Ledger.
func (n *Node) Audit(ctx context.Context) (*ledger.Audit, error) {
	audit, err := n.ledger.Audit(ctx)
	if err == nil {
		audit.Quarantined = n.countQuarantined()
	}
	return audit, err
}

// Receipts implements adminapi.Ledger.
func (n *Node) Receipts(ctx context.Context, keys []pillarbox.Key) (*ledger.ReceiptCheck, error) {
	check, err := n.ledger.Receipts(ctx, keys)
	if err == nil {
		n.findQuarantined(check)
	}
	return check, err
}

// Redeliver implements adminapi.Ledger.
func (n *Node) Redeliver(ctx context.Context, destination string) ([]ledger.Redelivery, error) {
	redeliveries, err := n.ledger.Redeliver(ctx, destination)
	for _, r := range redeliveries {
		n.logger.Info("events that a destination has lost are handed out again",
			telemetry.KeyDestination, r.Destination, telemetry.KeyEvents, r.Redelivered)
	}
	return redeliveries, err
}

// Trace implements adminapi.Ledger.
func (n *Node) Trace(ctx context.Context, requestID string) (*ledger.Trace, error) {
	trace, err := n.ledger.Trace(ctx, requestID)
	if errors.Is(err, pillarbox.ErrNotFound) {
		if entry, found := n.quarantined(requestID); found {
			return &ledger.Trace{Event: entry.Event, State: pillarbox.StateQuarantined, Deliveries: []ledger.Delivery{}}, nil
		}
	}
	return trace, err
}
