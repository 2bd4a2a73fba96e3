package dynamodb_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
	"pillarbox/internal/engine/dynamodb"
	"pillarbox/internal/engine/enginetest"
)

const emulatorVariable = "PILLARBOX_TEST_DYNAMODB_URL"

// The contract again, with an emulator that somebody else wrote, so that the stand-in and the store
// do not share a mistake.
func TestEmulator(t *testing.T) {
	url := os.Getenv(emulatorVariable)
	if url == "" {
		without(t)
	}
	client := newClient(t, url)
	for name, projection := range map[string]types.ProjectionType{
		"index": types.ProjectionTypeKeysOnly, "no index": ""} {
		t.Run(name, func(t *testing.T) {
			enginetest.Sink(t, func(t *testing.T) pillarbox.Sink { return place(t, client, projection)() })
			t.Run("Durable", func(t *testing.T) {
				enginetest.SinkDurable(t, func(t *testing.T) func() pillarbox.Sink {
					return place(t, client, projection)
				})
			})
		})
	}
}

var tables atomic.Int64

// place makes a table in the emulator, and returns how to open a store of it.
func place(t *testing.T, client *awsdynamodb.Client,
	projection types.ProjectionType) func() pillarbox.Sink {
	t.Helper()
	name := fmt.Sprintf("events-%d-%d", os.Getpid(), tables.Add(1))
	createTable(t, client, name, projection)
	options := dynamodb.WithEmptyHours(
		dynamodb.Options{Shards: 2, Bodies: newBodies(), Now: ticking()}, 2)
	if projection != "" {
		options.Index = indexName
	}
	waiter := awsdynamodb.NewTableExistsWaiter(client, func(o *awsdynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, 100*time.Millisecond
	})
	if err := waiter.Wait(t.Context(), &awsdynamodb.DescribeTableInput{TableName: aws.String(name)},
		10*time.Second); err != nil {
		t.Fatal(err)
	}
	return func() pillarbox.Sink {
		store, err := dynamodb.Open(t.Context(), client, name, options)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		return store
	}
}

// What this package takes for the size of an item is what the emulator takes for it, headers and
// all.
func TestEmulatorCountsBytesAlike(t *testing.T) {
	url := os.Getenv(emulatorVariable)
	if url == "" {
		without(t)
	}
	client := newClient(t, url)
	store := place(t, client, "")().(*dynamodb.Store)
	defer store.Close()
	table := aws.String(fmt.Sprintf("events-%d-%d", os.Getpid(), tables.Load()))
	for seed := range uint64(6) {
		for size, fits := range map[int]bool{dynamodb.MaxItemBytes: true,
			dynamodb.MaxItemBytes + 1: false} {
			event := sized(t, store, size, seed)
			_, err := client.PutItem(t.Context(),
				&awsdynamodb.PutItemInput{TableName: table, Item: store.Encode(event, nil, 1)})
			if (err == nil) != fits {
				t.Errorf("an item of %d bytes with %d headers: %v", size, len(event.Header), err)
			}
		}
	}
}

// without skips a test for which there is no emulator, unless test/emulators/run says that there is
// one.
func without(t *testing.T) {
	t.Helper()
	if os.Getenv("PILLARBOX_TEST_EMULATORS") != "" {
		t.Fatalf("the emulators run, and %s is not set", emulatorVariable)
	}
	t.Skipf("%s is not set: run test/emulators/run go test ./internal/engine/dynamodb",
		emulatorVariable)
}
