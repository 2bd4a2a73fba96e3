package dynamodb

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"pillarbox"
)

// API is what is used of the SDK's client.
type API interface {
	BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput,
		options ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error)
	BatchGetItem(ctx context.Context, in *dynamodb.BatchGetItemInput,
		options ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	GetItem(ctx context.Context, in *dynamodb.GetItemInput,
		options ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Query(ctx context.Context, in *dynamodb.QueryInput,
		options ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	Scan(ctx context.Context, in *dynamodb.ScanInput,
		options ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
	DescribeTable(ctx context.Context, in *dynamodb.DescribeTableInput,
		options ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
}

const (
	// DefaultShards is how many parts each hour of the index has. DynamoDB takes 1,000 writes a second
	// for each.
	DefaultShards = 8
	// MaxShards bounds them: readers ask all of them for every hour.
	MaxShards = 100
)

// Options are what Open may be told. The zero value is fine.
type Options struct {
	// Index is the name of the index by time; empty where the table has none.
	Index string
	// Shards is how many parts each hour of the index has. It is never lowered. 0 is DefaultShards.
	Shards int
	// Bodies keeps bodies with which an item would be too large; nil refuses such events for good.
	Bodies pillarbox.Bodies
	// Now is the clock for StoredAt, and for where lists begin; nil is time.Now.
	Now func() time.Time
	// Logger gets a line at the debug level where something costs more than it should; nil discards
	// it.
	Logger *slog.Logger

	emptyHours int // of tests; 0 is MaxEmptyHours
}

func (o Options) withDefaults() Options {
	if o.Shards == 0 {
		o.Shards = DefaultShards
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Store is an event store in one table. All methods may be called concurrently. The package comment
// says what is promised.
type Store struct {
	pillarbox.SinkDefaults // it has no identity and purges nothing: a table has a time to live of its own

	client  API
	table   string
	options Options
	pause   func(ctx context.Context, wait time.Duration) error
	chance  func(wait time.Duration) time.Duration // from 0 to wait

	closeOnce sync.Once
	closing   chan struct{}
	// life is held for reading by every call; Close waits for them.
	life   sync.RWMutex
	closed bool // guarded by life
}

// Open makes a store of the table, without asking it anything, so that it costs no function's
// start: Check does that. Errors: ErrInvalid. Close the Store.
func Open(_ context.Context, client API, table string, options Options) (*Store, error) {
	options = options.withDefaults()
	switch {
	case client == nil:
		return nil, pillarbox.Invalid("table %q without a client", table)
	case table == "":
		return nil, pillarbox.Invalid("name of the table is empty")
	case options.Shards < 1 || options.Shards > MaxShards:
		return nil, pillarbox.Invalid("table %s: Shards %d, want 1 to %d", table, options.Shards,
			MaxShards)
	}
	return &Store{
		client: client, table: table, options: options, closing: make(
			chan struct{}), pause: pause, chance: rand.N[time.Duration],
	}, nil
}

// begin lets a call in; the caller ends it with s.life.RUnlock.
func (s *Store) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.life.RLock()
	if s.closed {
		s.life.RUnlock()
		return fmt.Errorf("table %s: %w", s.table, pillarbox.ErrClosed)
	}
	return nil
}

// goOn ends a read of many pages when its context or the store ends.
func (s *Store) goOn(ctx context.Context) error {
	select {
	case <-s.closing:
		return pillarbox.ErrClosed
	default:
		return ctx.Err()
	}
}

// Close waits for running writes, and ends running reads at their next page. It is safe to call
// twice. Every call after it returns pillarbox.ErrClosed.
func (s *Store) Close() error {
	s.closeOnce.Do(func() { close(s.closing) })
	s.life.Lock()
	defer s.life.Unlock()
	s.closed = true
	return nil
}

// pause waits, unless the context ends first.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inParallel calls do for each number below n, at most bound at once, and returns when all are
// done.
func inParallel(n, bound int, do func(i int)) {
	if n == 1 {
		do(0)
		return
	}
	var group sync.WaitGroup
	slots := make(chan struct{}, bound)
	for i := range n {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	group.Wait()
}
