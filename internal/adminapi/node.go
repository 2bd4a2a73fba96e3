package adminapi

import (
	"context"
	"iter"

	"pillarbox"
	"pillarbox/internal/backfill"
	"pillarbox/internal/ledger"
	"pillarbox/internal/purge"
	"pillarbox/internal/replay"
)

// Node is what the admin API asks of a node: its views, and what a person can do. All methods may
// be called concurrently. Errors are of the root kinds; whatever else is answered with 500 and
// logged.
type Node interface {
	Overview
	Reader
	DeadLetters
	Replays
	Ledger
	Purges
	Backfills
	Held
	Keys
	Quarantine
	Pauses
	Causes
	Sender
}

// Overview tells how things are.
type Overview interface {
	// Status costs no scan. Ready and Reason are filled in by the handler.
	Status(ctx context.Context) (Status, error)
}

// Reader reads what is stored in a destination. An empty destination means the only one that can be
// read back; where there are several, it is ErrInvalid with their names.
type Reader interface {
	// Events is List of pillarbox.EventStore: a *pillarbox.UnreadableError comes beside events.
	// Errors: ErrNotFound for a destination that is not configured, ErrInvalid for one that can't be
	// read back, ErrUnavailable.
	Events(ctx context.Context, destination string, filter pillarbox.EventFilter) ([]*pillarbox.Event,
		error)
	// Follow begins to follow what is stored in the destination from now on. The errors are those of
	// Events.
	Follow(ctx context.Context, destination string) (Following, error)
}

// Following is a running follower. deliver.Follower has what it needs.
type Following struct {
	// Batches is closed when the follower was too slow, or after Close. The events must not be
	// changed.
	Batches <-chan []*pillarbox.Event
	// Close is safe to call twice.
	Close func()
}

// DeadLetters are the dead letters. An empty destination means all of them in a filter, and
// otherwise the only one that has a letter of this event.
type DeadLetters interface {
	// DeadLetters is List of pillarbox.DeadLetters.
	DeadLetters(ctx context.Context, filter pillarbox.DeadLetterFilter) iter.Seq2[*pillarbox.DeadLetter, error]
	// DeadLetter is Get of pillarbox.DeadLetters.
	DeadLetter(ctx context.Context, destination, requestID string) (*pillarbox.DeadLetter, error)
	// Discard is that of replay.Replayer.
	Discard(ctx context.Context, destination, requestID string) error
}

// Replays runs replays. It is replay.Jobs with names of their own.
type Replays interface {
	// StartReplay begins a replay, or does the whole of a dry run. Errors: ErrConflict while another
	// runs; ErrNotFound for a destination that is not configured.
	StartReplay(ctx context.Context, request replay.Request) (replay.Progress, error)
	// Replays lists them, newest first.
	Replays() []replay.Progress
	// Replay returns one, or ErrNotFound.
	Replay(id string) (replay.Progress, error)
	// CancelReplay returns after it has stopped.
	CancelReplay(ctx context.Context, id string) (replay.Progress, error)
}

// Backfills gives destinations what they have not got. It is backfill.Jobs with names of their own.
type Backfills interface {
	// StartBackfill begins a back-fill, or does the whole of a dry run. Errors: ErrConflict while another
	// job works on the destination; ErrNotFound for one that is not configured; ErrInvalid where the queue
	// keeps no history.
	StartBackfill(ctx context.Context, request backfill.Request) (backfill.Progress, error)
	// Backfills lists them, newest first.
	Backfills() []backfill.Progress
	// Backfill returns one, or ErrNotFound.
	Backfill(id string) (backfill.Progress, error)
	// CancelBackfill returns after it has stopped.
	CancelBackfill(ctx context.Context, id string) (backfill.Progress, error)
}

// Purges deletes what is old. It is purge.Jobs with names of their own.
type Purges interface {
	// StartPurge begins a purge, or does the whole of a dry run. Errors: ErrConflict while another
	// runs; ErrNotFound for a destination that is not configured; ErrInvalid for one whose store can't
	// be purged.
	StartPurge(ctx context.Context, request purge.Request) (purge.Progress, error)
	// Purges lists those that the server remembers, newest first.
	Purges() []purge.Progress
	// Purge returns one, or ErrNotFound.
	Purge(id string) (purge.Progress, error)
	// CancelPurge returns after it has stopped.
	CancelPurge(ctx context.Context, id string) (purge.Progress, error)
}

// Ledger is the account. It is ledger.Totals.
type Ledger interface {
	Ledger(ctx context.Context) (ledger.Totals, error)
	Audit(ctx context.Context) (*ledger.Audit, error)
	// Receipts is that of ledger.Ledger, with up to ledger.MaxReceipts keys.
	Receipts(ctx context.Context, keys []pillarbox.Key) (*ledger.ReceiptCheck, error)
	Trace(ctx context.Context, requestID string) (*ledger.Trace, error)
	// Redeliver is that of ledger.Totals. Errors: ErrNotFound for a destination that is not
	// configured, ErrInvalid where the queue is shared with others.
	Redeliver(ctx context.Context, destination string) ([]ledger.Redelivery, error)
}

// RedeliveryList says what destinations get back.
type RedeliveryList struct {
	Redeliveries []ledger.Redelivery `json:"redeliveries"`
}

// The roles of a server.
const (
	RoleAccept  = "accept"
	RoleDeliver = "deliver"
	RoleAdmin   = "admin"
)

// Roles lists all of them.
func Roles() []string { return []string{RoleAccept, RoleDeliver, RoleAdmin} }

// Status is how the server is.
type Status struct {
	Version       string              `json:"version"`
	StartedAt     pillarbox.Timestamp `json:"started_at"`
	UptimeSeconds int64               `json:"uptime_seconds"`
	Data          string              `json:"data"`  // directory
	Roles         []string            `json:"roles"` // what the server does: accept, deliver, admin; none where no server runs
	Ready         bool                `json:"ready"`
	Reason        string              `json:"reason,omitempty"` // why it is not ready
	Queue         QueueStatus         `json:"queue"`
	Disk          string              `json:"disk,omitempty"` // which call to the disk does not return; empty while all do
	Destinations  []DestinationStatus `json:"destinations"`
	Sources       []SourceStatus      `json:"sources"`
	Unconfigured  []Unconfigured      `json:"unconfigured"`
	Certificates  []CertificateStatus `json:"certificates,omitempty"` // of the listeners; none where they have no TLS
	Encryption    *EncryptionStatus   `json:"encryption,omitempty"`   // none where nothing is sealed
	Quarantine    *QuarantineStatus   `json:"quarantine,omitempty"`   // none where nothing is kept on this machine
	Canary        *CanaryStatus       `json:"canary,omitempty"`       // none where this server sends none
}

// CanaryStatus is what became of the last canary that the server has sent itself.
type CanaryStatus struct {
	OK              bool                `json:"ok"`   // it came back from wherever it was to come back; also before there was one
	Text            string              `json:"text"` // all of it in a sentence
	SentAt          pillarbox.Timestamp `json:"sent_at,omitempty"`
	AcceptedSeconds float64             `json:"accepted_seconds"` // until it was accepted
	EverySeconds    float64             `json:"every_seconds"`
	Destinations    []CanaryDestination `json:"destinations"`
}

// CanaryDestination is where the last canary stood in the end.
type CanaryDestination struct {
	Destination string  `json:"destination"`
	State       string  `json:"state"`            // returned, sent, not_sent, lost, late, left, waiting or unknown
	Seconds     float64 `json:"seconds"`          // from accepted to there and back
	Reason      string  `json:"reason,omitempty"` // why it is not back
	Waiting     uint64  `json:"waiting"`          // canaries on their way to it, earlier ones included
}

// EncryptionStatus is how data keys are.
type EncryptionStatus struct {
	DataKeys int                 `json:"data_keys"` // at hand
	Created  pillarbox.Timestamp `json:"created"`   // of the one that seals what is new
	Problem  string              `json:"problem"`   // why no other one can be made, while one is due; empty while all is well
}

// CertificateStatus is how a certificate of a listener is, or the file of the authorities of client
// certificates where that has a problem.
type CertificateStatus struct {
	Listener string              `json:"listener"` // key of the configuration: tls or admin.tls
	File     string              `json:"file"`
	Names    []string            `json:"names,omitempty"`     // that it is for
	NotAfter pillarbox.Timestamp `json:"not_after,omitempty"` // when it ends
	Problem  string              `json:"problem"`             // what a person should know; empty while all is well
}

// QueueStatus is how the queue is.
type QueueStatus struct {
	Accepted uint64   `json:"accepted"`
	Bytes    int64    `json:"bytes"`
	MaxBytes int64    `json:"max_bytes"` // 0 for no limit
	Problem  string   `json:"problem"`   // what keeps it from accepting; empty while it accepts
	Damage   []string `json:"damage"`    // with file and offset

	Uncounted bool `json:"uncounted,omitempty"` // accepted is what the other numbers add up to, and no count
}

// The states of a destination that the answering process does not deliver to, besides those of
// deliver.
const (
	StateIdle      = "idle"      // nobody does: the data is this process's alone
	StateElsewhere = "elsewhere" // others that share the queue may
)

// DestinationStatus is how one destination is. Times that are not known are left out.
type DestinationStatus struct {
	Destination   string              `json:"destination"`
	URL           string              `json:"url"`                  // without credentials
	State         string              `json:"state"`                // delivering, down, paused, idle or elsewhere
	DownSince     pillarbox.Timestamp `json:"down_since,omitempty"` // it does not answer, or can't store anything
	PausedSince   pillarbox.Timestamp `json:"paused_since,omitempty"`
	PausedBy      string              `json:"paused_by,omitempty"`
	PauseReason   string              `json:"pause_reason,omitempty"`
	NextProbe     pillarbox.Timestamp `json:"next_probe,omitempty"`
	LastError     string              `json:"last_error"`
	LastErrorAt   pillarbox.Timestamp `json:"last_error_at,omitempty"`
	LastStored    pillarbox.Timestamp `json:"last_stored,omitempty"`
	Pending       uint64              `json:"pending"`
	Retrying      uint64              `json:"retrying"`
	OldestPending pillarbox.Timestamp `json:"oldest_pending,omitempty"`
	Held          uint64              `json:"held"`         // pending, and no destination takes it any more
	Backfill      uint64              `json:"backfill"`     // pending, and taken by a back-fill
	DeadLetters   uint64              `json:"dead_letters"` // open ones
	Purged        uint64              `json:"purged"`       // of what was stored, deleted by "pillarbox purge"
}

// SourceStatus is one way in.
type SourceStatus struct {
	Source string `json:"source"`
	Path   string `json:"path"`
}

// Unconfigured is a destination that the queue still keeps events for, and that is in the
// configuration no more.
type Unconfigured struct {
	Destination string `json:"destination"`
	Pending     uint64 `json:"pending"`
	Held        uint64 `json:"held"` // of these, what the server has looked at and keeps for a person's decision
}

// EventPage is a page of events.
type EventPage struct {
	Events     []*pillarbox.Event `json:"events"`
	NextCursor string             `json:"next_cursor"` // empty on the last page
	Unreadable []string           `json:"unreadable"`  // what was met on this page and is no event
}

// DeadLetterPage is a page of dead letters.
type DeadLetterPage struct {
	DeadLetters []*pillarbox.DeadLetter `json:"dead_letters"`
	NextCursor  string                  `json:"next_cursor"` // empty on the last page
	Unreadable  []string                `json:"unreadable"`  // letters that were met on this page and can't be read
}

// ReplayList is all the replays that the server remembers, newest first.
type ReplayList struct {
	Replays []replay.Progress `json:"replays"`
}

// PurgeList is all the purges that the server remembers, newest first.
type PurgeList struct {
	Purges []purge.Progress `json:"purges"`
}

// BackfillList is all the back-fills that the server remembers, newest first.
type BackfillList struct {
	Backfills []backfill.Progress `json:"backfills"`
}

// BackfillRequest says what to give to which destination. Destination must be there. Since and Until
// are times of acceptance: RFC 3339, or ago as in 24h.
type BackfillRequest struct {
	Destination string  `json:"destination"`
	Source      string  `json:"source,omitempty"`
	Since       string  `json:"since,omitempty"`
	Until       string  `json:"until,omitempty"`
	FromStore   string  `json:"from_store,omitempty"` // the destination whose store has what the queue has forgotten
	Rate        float64 `json:"rate,omitempty"`       // events per second; 0 for no limit
	DryRun      bool    `json:"dry_run,omitempty"`
}

// PurgeRequest says what to purge and how carefully. Destination and OlderThan must be there.
type PurgeRequest struct {
	Destination string  `json:"destination"`
	OlderThan   string  `json:"older_than"` // how long ago an event was accepted, as in 90d, or RFC 3339
	Source      string  `json:"source,omitempty"`
	DryRun      bool    `json:"dry_run,omitempty"`
	Rate        float64 `json:"rate,omitempty"` // events per second; 0 for no limit
}

// ReplayRequest says what to replay and how carefully. Since and Until are times of death: RFC
// 3339, or ago as in 24h.
type ReplayRequest struct {
	Destination string   `json:"destination,omitempty"`
	Source      string   `json:"source,omitempty"`
	Since       string   `json:"since,omitempty"`
	Until       string   `json:"until,omitempty"`
	Error       string   `json:"error,omitempty"`
	Cause       string   `json:"cause,omitempty"` // of a group of dead letters
	RequestIDs  []string `json:"request_ids,omitempty"`
	DryRun      bool     `json:"dry_run,omitempty"`
	Rate        float64  `json:"rate,omitempty"`       // letters per second; 0 for no limit
	MaxFailed   int      `json:"max_failed,omitempty"` // 0 is replay.DefaultMaxFailed, negative for no limit
	Limit       int      `json:"limit,omitempty"`      // letters at most; 0 for no limit

	ThroughQueue bool `json:"through_queue,omitempty"` // back into the queue, where that is shared with other readers
}

// EventQuery selects events. Since and Until are RFC 3339, or ago as in 15m, 24h and 7d.
type EventQuery struct {
	Destination string // empty for the only one that can be read back
	Source      string
	RequestID   string
	Since       string // inclusive
	Until       string // exclusive
	Cursor      string // of the page before; for following, of the last event seen
	Newest      bool   // newest first
	Limit       int    // 0 is pillarbox.DefaultListLimit

	Facts   pillarbox.Facts         // what is to be known of an event
	Content pillarbox.ContentFilter // what was sent
}

// DeadLetterQuery selects dead letters. Since and Until are times of death, RFC 3339 or ago.
type DeadLetterQuery struct {
	Destination string
	Source      string
	RequestID   string
	Since       string // inclusive
	Until       string // exclusive
	Error       string // part of the reason or of the last error
	Cause       string // of a group
	Resolved    bool   // resolved letters too
	Cursor      string
	Limit       int
}

// Trace is one event with everything that is known of it. In JSON it is the event with two more
// names, state and deliveries.
type Trace ledger.Trace
