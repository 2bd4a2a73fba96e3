package nodetest

import (
	"context"
	"iter"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/apikey"
	"pillarbox/internal/backfill"
	"pillarbox/internal/causes"
	"pillarbox/internal/held"
	"pillarbox/internal/ledger"
	"pillarbox/internal/purge"
	"pillarbox/internal/quarantine"
	"pillarbox/internal/replay"
)

// Broken is a node whose verbs all fail.
type Broken struct{ Err error }

var _ adminapi.Node = Broken{}

// HeldGroups implements adminapi.Node.
func (b Broken) HeldGroups(context.Context, held.Filter) ([]held.Group, error) { return nil, b.Err }

// HeldEvents implements adminapi.Node.
func (b Broken) HeldEvents(context.Context, held.Filter, *held.Place,
	int) ([]held.Item, *held.Place, error) {
	return nil, nil, b.Err
}

// RouteHeld implements adminapi.Node.
func (b Broken) RouteHeld(context.Context, held.Filter, string, bool) (held.Result, error) {
	return held.Result{}, b.Err
}

// DeadLetterHeld implements adminapi.Node.
func (b Broken) DeadLetterHeld(context.Context, held.Filter, bool) (held.Result, error) {
	return held.Result{}, b.Err
}

// ForgetHeld implements adminapi.Node.
func (b Broken) ForgetHeld(context.Context, held.Filter, bool) (held.Result, error) {
	return held.Result{}, b.Err
}

// Obligations implements adminapi.Node.
func (b Broken) Obligations(context.Context) ([]held.Pending, error) { return nil, b.Err }

// DeadGroups implements adminapi.Node.
func (b Broken) DeadGroups(context.Context, pillarbox.DeadLetterFilter) (*causes.Groups, error) {
	return nil, b.Err
}

// RetryingGroups implements adminapi.Node.
func (b Broken) RetryingGroups(context.Context, string) (*causes.Groups, error) { return nil, b.Err }

// Send implements adminapi.Node.
func (b Broken) Send(context.Context, *adminapi.SendRequest, []byte) (pillarbox.Receipt, error) {
	return pillarbox.Receipt{}, b.Err
}

// DiscardMany implements adminapi.Node.
func (b Broken) DiscardMany(context.Context, pillarbox.DeadLetterFilter, bool) (int, error) {
	return 0, b.Err
}

// Status implements adminapi.Node.
func (b Broken) Status(context.Context) (adminapi.Status, error) { return adminapi.Status{}, b.Err }

// Events implements adminapi.Node.
func (b Broken) Events(context.Context, string, pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	return nil, b.Err
}

// Follow implements adminapi.Node.
func (b Broken) Follow(context.Context, string) (adminapi.Following, error) {
	return adminapi.Following{}, b.Err
}

// DeadLetters implements adminapi.Node.
func (b Broken) DeadLetters(context.Context,
	pillarbox.DeadLetterFilter) iter.Seq2[*pillarbox.DeadLetter, error] {
	return func(yield func(*pillarbox.DeadLetter, error) bool) { yield(nil, b.Err) }
}

// DeadLetter implements adminapi.Node.
func (b Broken) DeadLetter(context.Context, string, string) (*pillarbox.DeadLetter, error) {
	return nil, b.Err
}

// Discard implements adminapi.Node.
func (b Broken) Discard(context.Context, string, string) error { return b.Err }

// StartReplay implements adminapi.Node.
func (b Broken) StartReplay(context.Context, replay.Request) (replay.Progress, error) {
	return replay.Progress{}, b.Err
}

// Replays implements adminapi.Node.
func (b Broken) Replays() []replay.Progress { return nil }

// Replay implements adminapi.Node.
func (b Broken) Replay(string) (replay.Progress, error) { return replay.Progress{}, b.Err }

// CancelReplay implements adminapi.Node.
func (b Broken) CancelReplay(context.Context, string) (replay.Progress, error) {
	return replay.Progress{}, b.Err
}

// StartPurge implements adminapi.Node.
func (b Broken) StartPurge(context.Context, purge.Request) (purge.Progress, error) {
	return purge.Progress{}, b.Err
}

// Purges implements adminapi.Node.
func (b Broken) Purges() []purge.Progress { return nil }

// Purge implements adminapi.Node.
func (b Broken) Purge(string) (purge.Progress, error) { return purge.Progress{}, b.Err }

// CancelPurge implements adminapi.Node.
func (b Broken) CancelPurge(context.Context, string) (purge.Progress, error) {
	return purge.Progress{}, b.Err
}

// StartBackfill implements adminapi.Node.
func (b Broken) StartBackfill(context.Context, backfill.Request) (backfill.Progress, error) {
	return backfill.Progress{}, b.Err
}

// Backfills implements adminapi.Node.
func (b Broken) Backfills() []backfill.Progress { return nil }

// Backfill implements adminapi.Node.
func (b Broken) Backfill(string) (backfill.Progress, error) { return backfill.Progress{}, b.Err }

// CancelBackfill implements adminapi.Node.
func (b Broken) CancelBackfill(context.Context, string) (backfill.Progress, error) {
	return backfill.Progress{}, b.Err
}

// Ledger implements adminapi.Node.
func (b Broken) Ledger(context.Context) (ledger.Totals, error) { return ledger.Totals{}, b.Err }

// Audit implements adminapi.Node.
func (b Broken) Audit(context.Context) (*ledger.Audit, error) { return nil, b.Err }

// Receipts implements adminapi.Node.
func (b Broken) Receipts(context.Context, []pillarbox.Key) (*ledger.ReceiptCheck, error) {
	return nil, b.Err
}

// Redeliver implements adminapi.Node.
func (b Broken) Redeliver(context.Context, string) ([]ledger.Redelivery, error) {
	return nil, b.Err
}

// Trace implements adminapi.Node.
func (b Broken) Trace(context.Context, string) (*ledger.Trace, error) { return nil, b.Err }

// CreateKey implements adminapi.Node.
func (b Broken) CreateKey(context.Context, apikey.New) (apikey.Key, string, error) {
	return apikey.Key{}, "", b.Err
}

// APIKeys implements adminapi.Node.
func (b Broken) APIKeys() ([]apikey.Key, error) { return nil, b.Err }

// RevokeKey implements adminapi.Node.
func (b Broken) RevokeKey(context.Context, string) (apikey.Key, error) { return apikey.Key{}, b.Err }

// Quarantine implements adminapi.Node.
func (b Broken) Quarantine(context.Context, quarantine.Filter) (*quarantine.Page, error) {
	return nil, b.Err
}

// Quarantined implements adminapi.Node.
func (b Broken) Quarantined(string) (*quarantine.Entry, error) { return nil, b.Err }

// Release implements adminapi.Node.
func (b Broken) Release(context.Context, string, bool) (pillarbox.Receipt, error) {
	return pillarbox.Receipt{}, b.Err
}

// DiscardQuarantined implements adminapi.Node.
func (b Broken) DiscardQuarantined(string) error { return b.Err }

// SetPause implements adminapi.Node.
func (b Broken) SetPause(context.Context, string, pillarbox.PauseRecord) error { return b.Err }
