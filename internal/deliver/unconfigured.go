package deliver

import (
	"context"
	"fmt"

	"pillarbox"
)

// Unconfigured turns the rules of a destination into those of one that is not configured any more: it takes nothing, so what
// was meant for it is held, what was not is skipped, and what is condemned becomes a dead letter. A Loop by these rules lets
// the queue go on without it.
func Unconfigured(rules Rules) Rules {
	rules.Rule, rules.Elsewhere = &pillarbox.Rule{Sources: []string{}}, nil
	return rules
}

// unconfigured is the sink of a destination that is not configured any more. Nothing is written to it by the rules above; an
// event that a person has routed there before waits.
type unconfigured struct{ pillarbox.SinkDefaults }

func (unconfigured) Write(context.Context, []*pillarbox.Event) error {
	return fmt.Errorf("the destination is not configured: %w", pillarbox.ErrUnavailable)
}

func (unconfigured) Close() error { return nil }
