package sqs

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"pillarbox"
	"pillarbox/internal/sqsrules"
	"pillarbox/internal/telemetry"
)

// Limits of what is in flight here and not leased yet.
const (
	MaxHeld      = 1000
	MaxHeldBytes = 64 << 20 // about: what one look at the queue brings comes on top
)

// Options are what Open may be told. The zero value is fine.
type Options struct {
	DeadLetterURL string           // of the queue of dead letters, for SendDeadLetters
	Bodies        pillarbox.Bodies // for bodies that are too large; nil: they are refused
	MaxAge        time.Duration    // after which events become dead letters, for Check; 0 for never
	CallTimeout   time.Duration    // of one call to SQS; 0 is DefaultCallTimeout
	Linger        time.Duration    // for which a message waits for others at most; 0 is DefaultLinger, below 0 is no gathering
	Trace         func() string    // the header of the trace in which messages are sent; nil: that of each event's client goes on
	Now           func() time.Time // by which retries are due; nil is time.Now
	Logger        *slog.Logger     // nil: discard
}

var _ pillarbox.Queue = (*Queue)(nil)

// Queue is a queue in SQS. All methods may be called concurrently. The package comment says what is
// promised.
type Queue struct {
	pillarbox.QueueDefaults // what SQS has no call for

	client   API
	url      string
	options  Options
	counts   counts
	gatherer gatherer

	// working ends with Close; what the queue does by itself is cut off then.
	working context.Context
	stop    context.CancelFunc
	tasks   sync.WaitGroup // of goroutines

	// life is held for reading by every call but Lease; Close waits for them.
	life   sync.RWMutex
	closed bool // guarded by life

	newer sync.Once // to tell that events have names of a newer version

	attributesMu sync.Mutex  // guards known
	known        *attributes // nil until the queue has told

	mu          sync.Mutex          // guards the fields below, and the messages in flight
	destination string              // the one that takes the events, once it is known
	wanted      int                 // events that a Lease waits for
	fetching    bool                // fetch runs
	keeping     bool                // keep runs
	inFlight    map[string]*message // by message id: ready or leased
	ready       []*message          // in flight and not leased: the rejected first
	leased      map[uint64]*message // by sequence number
	readyBytes  int64
	seq         uint64
	history     receiveHistory
	failure     error         // of the last receive; nil after one that succeeded
	changed     chan struct{} // closed and replaced at every change

	// hides messages; set by the first Lease, so that a program which only sends has no code that
	// hides, and needs no permission to
	giveBack func(ctx context.Context, handles []string, waits []time.Duration) error
}

// Open prepares to use the queue with the URL. It makes no request: the first call does. Errors:
// ErrInvalid.
func Open(client API, url string, options Options) (*Queue, error) {
	if strings.HasSuffix(url, ".fifo") {
		return nil, pillarbox.Invalid("%s is a FIFO queue, which holds up all events behind one that is refused; use a standard queue", url)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	options.Logger = cmp.Or(options.Logger, slog.New(slog.DiscardHandler))
	q := &Queue{
		client: timed{client, cmp.Or(options.CallTimeout, DefaultCallTimeout)}, url: url,
		options:  options,
		inFlight: map[string]*message{}, leased: map[uint64]*message{},
		history: newReceiveHistory(), changed: make(chan struct{}),
	}
	q.gatherer = gatherer{queue: q, linger: cmp.Or(options.Linger, DefaultLinger)}
	q.working, q.stop = context.WithCancel(context.Background())
	return q, nil
}

// begin lets a call in; the caller ends it with q.life.RUnlock.
func (q *Queue) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.life.RLock()
	if q.closed {
		q.life.RUnlock()
		return q.errClosed()
	}
	return nil
}

func (q *Queue) errClosed() error { return fmt.Errorf("queue %s: %w", q.url, pillarbox.ErrClosed) }

func (q *Queue) changeLocked() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// bind holds the queue to one destination.
func (q *Queue) bindLocked(destination string) error {
	if q.destination == "" {
		q.destination = destination
	}
	if q.destination != destination {
		return pillarbox.Invalid("an SQS queue feeds one destination, which is %s, and not %s as well",
			q.destination, destination)
	}
	return nil
}

// Account implements pillarbox.Queue. It is Uncounted; Pending is SQS's approximation, at most
// StatsAge old.
func (q *Queue) Account(destination string) (pillarbox.Account, error) {
	if err := q.begin(context.Background()); err != nil {
		return pillarbox.Account{}, err
	}
	defer q.life.RUnlock()
	q.mu.Lock()
	err := q.bindLocked(destination)
	retrying := q.history.retrying()
	q.mu.Unlock()
	if err != nil {
		return pillarbox.Account{}, err
	}
	q.refresh()
	account := q.counts.account()
	account.Retrying = min(uint64(retrying), account.Pending)
	return account, nil
}

// Stats implements pillarbox.Queue. Its Problem is that SQS can't be asked.
func (q *Queue) Stats() pillarbox.QueueStats {
	stats := pillarbox.QueueStats{Uncounted: true}
	if err := q.begin(context.Background()); err != nil {
		return stats
	}
	defer q.life.RUnlock()
	if err := q.refresh(); err != nil {
		stats.Problem = err.Error()
	}
	stats.Accepted = q.counts.account().Accepted
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.destination != "" {
		stats.Destinations = []string{q.destination}
	}
	return stats
}

// Waiting returns the attempts and the rejection of an event that waits for another attempt, if it
// was tried here.
func (q *Queue) Waiting(_, requestID string) (attempts []pillarbox.Attempt,
	rejection *pillarbox.Rejection, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.history.find(requestID)
}

// Close gives back what is in flight and not settled, so that others get it at once, and returns
// when nothing runs any more. A call of it that fails only means that SQS hands those events out
// later.
func (q *Queue) Close() error {
	q.life.Lock()
	defer q.life.Unlock()
	if q.closed {
		return nil
	}
	q.closed = true
	q.stop()
	q.tasks.Wait()
	q.mu.Lock()
	handles := make([]string, 0, len(q.inFlight))
	for _, m := range q.inFlight {
		handles = append(handles, m.receipt)
	}
	clear(q.inFlight)
	giveBack := q.giveBack
	q.changeLocked()
	q.mu.Unlock()
	if len(handles) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := giveBack(ctx, handles, make([]time.Duration, len(handles))); err != nil {
		q.options.Logger.Warn("events that were in hand come again later", telemetry.KeyQueue,
			q.url, telemetry.KeyErr, err)
	}
	return nil
}

// closeTime bounds what Close does at last.
const closeTime = 5 * time.Second

// wantedAttributes are asked for with each message.
var wantedAttributes = []types.MessageSystemAttributeName{
	sqsrules.AttributeReceives, sqsrules.AttributeSent, sqsrules.AttributeFirst,
}
