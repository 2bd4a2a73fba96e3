package dynamodb_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
	"pillarbox/internal/engine/dynamodb"
	"pillarbox/internal/engine/enginetest"
)

// The contract, with an index of keys and without one.
func TestEventStore(t *testing.T) {
	for name, projection := range map[string]types.ProjectionType{
		"index": types.ProjectionTypeKeysOnly, "no index": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			enginetest.Sink(t, func(t *testing.T) pillarbox.Sink {
				b := newBench(t, projection)
				b.options = dynamodb.WithEmptyHours(b.options, 2)
				return b.open(t)
			})
		})
	}
}

func TestEventStoreDurable(t *testing.T) {
	for name, projection := range map[string]types.ProjectionType{"index": types.ProjectionTypeAll,
		"no index": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			enginetest.SinkDurable(t, func(t *testing.T) func() pillarbox.Sink {
				b := newBench(t, projection)
				return func() pillarbox.Sink { return b.open(t) }
			})
		})
	}
}
