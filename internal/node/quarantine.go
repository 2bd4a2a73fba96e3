package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/ingest"
	"pillarbox/internal/ledger"
	"pillarbox/internal/quarantine"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
)

// apart is the store, for ingest.
type apart struct{ *quarantine.Store }

// Put implements ingest.Quarantine.
func (a apart) Put(ctx context.Context, event *pillarbox.Event, request *ingest.Request) error {
	reason, body := request.Grant.Suspect()
	raw := &quarantine.Raw{Method: request.Method, Path: request.Path, Query: request.Query, Header: request.Header,
		ContentType: request.ContentType, RemoteAddr: request.RemoteAddr, Traceparent: request.Traceparent, Body: body}
	raw.Caller, raw.Attributes = request.Grant.Caller()
	return a.Store.Put(ctx, event, reason, raw)
}

// roomInQuarantine reports whether there is room for one more, and counts where there is none.
func (n *Node) roomInQuarantine() bool {
	if n.opts.Engines.Quarantine.HasRoom() {
		return true
	}
	n.opts.Engines.Quarantine.CountFull()
	return false
}

// quarantine is that of the data directory, if there is one.
func (n *Node) quarantine() (*quarantine.Store, error) {
	if n.opts.Engines.Quarantine == nil {
		return nil, fmt.Errorf("requests in quarantine are kept in a data directory, and here is none that can be used for them: %w", pillarbox.ErrNotFound)
	}
	return n.opts.Engines.Quarantine, nil
}

func (n *Node) quarantined(id string) (entry *quarantine.Entry, found bool) {
	store, err := n.quarantine()
	if err != nil {
		return nil, false
	}
	entry, err = store.Get(id)
	return entry, err == nil
}

func (n *Node) countQuarantined() uint64 {
	store, err := n.quarantine()
	if err != nil {
		return 0
	}
	return uint64(store.Stats().Entries)
}

func (n *Node) quarantineStatus() *adminapi.QuarantineStatus {
	store, err := n.quarantine()
	if err != nil {
		return nil
	}
	stats := store.Stats()
	return &adminapi.QuarantineStatus{Requests: stats.Entries, Bytes: stats.Bytes}
}

// findQuarantined takes receipts of requests that are in quarantine off the list of those that are lost.
func (n *Node) findQuarantined(check *ledger.ReceiptCheck) {
	store, err := n.quarantine()
	if err != nil {
		return
	}
	missing := check.Missing[:0]
	for _, m := range check.Missing {
		if store.Has(m.RequestID) {
			check.Quarantined++
			check.Lost--
			continue
		}
		missing = append(missing, m)
	}
	check.Missing = missing
}

// Quarantine implements adminapi.Quarantine.
func (n *Node) Quarantine(ctx context.Context, filter quarantine.Filter) (*quarantine.Page, error) {
	store, err := n.quarantine()
	if err != nil {
		return &quarantine.Page{Entries: []*quarantine.Entry{}, Unreadable: []string{}}, nil
	}
	return store.List(ctx, filter)
}

// Quarantined implements adminapi.Quarantine.
func (n *Node) Quarantined(id string) (*quarantine.Entry, error) {
	store, err := n.quarantine()
	if err != nil {
		return nil, err
	}
	return store.Get(id)
}

// DiscardQuarantined implements adminapi.Quarantine.
func (n *Node) DiscardQuarantined(id string) error {
	store, err := n.quarantine()
	if err != nil {
		return err
	}
	if err := store.Discard(id); err != nil {
		return err
	}
	n.logger.Info("a request in quarantine was discarded", telemetry.KeyRequestID, id)
	return nil
}

// Release implements adminapi.Quarantine.
func (n *Node) Release(ctx context.Context, id string, force bool) (pillarbox.Receipt, error) {
	store, err := n.quarantine()
	if err != nil {
		return pillarbox.Receipt{}, err
	}
	as := quarantine.Released
	if force {
		as = quarantine.Forced
	}
	var result ingest.Result
	var reason string
	err = store.Decide(id, as, func(entry *quarantine.Entry, raw *quarantine.Raw) error {
		reason = entry.Reason
		result = n.accept(ctx, entry, raw, force)
		return result.Err
	})
	if err != nil {
		return pillarbox.Receipt{}, err
	}
	n.logger.Info("a request in quarantine was released", telemetry.KeyRequestID, id, telemetry.KeyReason, reason, telemetry.KeyForced, force)
	return result.Receipt, nil
}

// accept takes a request out of quarantine into the queue, under its own id and timestamp. It waits in
// the queue from now on. A release that is repeated finds its key, and stores nothing again.
func (n *Node) accept(ctx context.Context, entry *quarantine.Entry, raw *quarantine.Raw, force bool) ingest.Result {
	from := n.sources.Table().Get(entry.Event.Source)
	if from == nil {
		var names []string
		for _, s := range n.sources.Table().All() {
			names = append(names, s.Name)
		}
		return ingest.Result{Err: fmt.Errorf("there is no source %s any more, whose rules a release obeys; configured are %s: %w", entry.Event.Source,
			strings.Join(names, ", "), pillarbox.ErrConflict)}
	}
	grant, body, err := from.Readmit(&source.Again{
		Head: source.Head{Method: raw.Method, Path: raw.Path, Query: raw.Query, Header: raw.Header, RemoteAddr: raw.RemoteAddr, MayWait: true},
		Body: raw.Body, ReceivedAt: entry.Event.Timestamp.Time(), Caller: raw.Caller, Attributes: raw.Attributes, Forced: force, Reason: entry.Reason,
	})
	if err != nil {
		return ingest.Result{Err: err}
	}
	result := n.ingest.Accept(ctx, []ingest.Request{{
		Grant: grant, Method: raw.Method, Path: raw.Path, Query: raw.Query, Header: raw.Header, ContentType: raw.ContentType,
		RemoteAddr: raw.RemoteAddr, Traceparent: raw.Traceparent, Body: body,
		RequestID: entry.Event.RequestID, Timestamp: entry.Event.Timestamp,
	}})[0]
	if errors.Is(result.Err, pillarbox.ErrKeyReused) || errors.Is(result.Err, pillarbox.ErrTooLarge) || errors.Is(result.Err, pillarbox.ErrInvalid) ||
		errors.Is(result.Err, pillarbox.ErrKeyInFlight) {
		result.Err = fmt.Errorf("the source %s does not take it now: %v: %w", from.Name, result.Err, pillarbox.ErrConflict)
	}
	return result
}
