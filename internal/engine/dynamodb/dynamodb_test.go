package dynamodb_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
	"pillarbox/internal/engine/dynamodb"
	"pillarbox/internal/engine/enginetest"
)

// projections are the kinds of index that a table may have.
var projections = map[string]types.ProjectionType{"keys": types.ProjectionTypeKeysOnly, "everything": types.ProjectionTypeAll, "none": ""}

// The contract, with each kind of index and without.
func TestEventStore(t *testing.T) {
	for name, projection := range projections {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			enginetest.EventStore(t, func(t *testing.T) pillarbox.EventStore {
				b := newBench(t, projection)
				b.options = dynamodb.WithEmptyHours(b.options, 2)
				return b.open(t)
			}, enginetest.LatestStoredAt)
		})
	}
}

func TestEventStoreDurable(t *testing.T) {
	for name, projection := range projections {
		t.Run(name, func(t *testing.T) {
			enginetest.EventStoreDurable(t, func(t *testing.T) func() pillarbox.EventStore {
				b := newBench(t, projection)
				return func() pillarbox.EventStore { return b.open(t) }
			})
		})
	}
}
