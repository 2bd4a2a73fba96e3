package node

import (
	"context"
	"time"

	"pillarbox/internal/telemetry"
)

// state is what the metrics of the queue are made of.
func (n *Node) state() telemetry.State {
	stats := n.queue.Stats()
	state := telemetry.State{
		QueueBytes: stats.Bytes, QueueMaxBytes: stats.MaxBytes, AcceptedEvents: stats.Accepted, Accepting: stats.Problem == "",
		QueueHanging: stats.Hanging, DiskHanging: n.diskHanging(), DiskFree: n.diskFree(), Jobs: n.runningJobs(),
	}
	for _, lines := range n.opts.Lines {
		state.DroppedLines += lines.Dropped()
	}
	if n.opts.Certificates != nil {
		for _, c := range n.opts.Certificates() {
			state.Certificates = append(state.Certificates, telemetry.CertificateState{Listener: c.Name,
				File: c.File, NotAfter: c.NotAfter, Problem: c.Problem != ""})
		}
	}
	if store := n.opts.Engines.Quarantine; store != nil {
		stats := store.Stats()
		state.Quarantine = &telemetry.QuarantineState{Requests: stats.Entries, Bytes: stats.Bytes, Kept: stats.Kept, Released: stats.Released,
			Forced: stats.Forced, Discarded: stats.Discarded, Expired: stats.Expired, Full: stats.Full}
	}
	if n.opts.AtRest.Seals() {
		stats := n.opts.AtRest.Stats()
		state.AtRest = &telemetry.AtRestState{DataKeys: stats.DataKeys, Failed: stats.Failed,
			Age: n.opts.Now().Sub(stats.Created.Time())}
	}
	if n.keys != nil {
		stats := n.keys.KeyStats()
		state.Keys = &telemetry.KeyState{
			Held: stats.Held, Max: stats.MaxKeys, WindowSeconds: stats.Window, OldestSeconds: stats.Oldest,
			InFlight: stats.InFlight, Unknown: stats.Unknown, Damaged: stats.Damaged,
		}
	}
	totals, err := n.totals(context.Background())
	if err != nil {
		n.logger.Warn("read the ledger for the metrics", telemetry.KeyErr, err)
		for name, guard := range n.wired.Load().sinks {
			state.Destinations = append(state.Destinations,
				telemetry.DestinationState{Name: name, Hanging: guard.Hanging(), Unknown: true})
		}
		return state
	}
	for _, entry := range totals.Destinations {
		account, err := n.account(entry.Destination)
		if err != nil {
			continue // closed meanwhile
		}
		destination := telemetry.DestinationState{
			Hanging: n.hanging(entry.Destination),
			Name:    entry.Destination, PendingEvents: entry.Pending, RetryingEvents: account.Retrying, HeldEvents: account.Held,
			DeadLetters: -1, MissingLetters: -1, Balanced: entry.Balanced,
			PurgedEvents: entry.Purged,
		}
		if account.OldestPending != 0 {
			destination.OldestEventAge = max(0, n.clock.Now().Sub(account.OldestPending.Time()))
		}
		if count, err := n.countLetters(context.Background(), entry.Destination); err == nil {
			destination.DeadLetters, destination.MissingLetters = int64(count.Open), int64(count.Missing)
		}
		state.Destinations = append(state.Destinations, destination)
	}
	return state
}

// hanging is how long a write to the destination has not returned whose time is over. One that is
// not configured any more has no sink.
func (n *Node) hanging(name string) time.Duration {
	if sink := n.sink(name); sink != nil {
		return sink.Hanging()
	}
	return 0
}
