package assistant

import (
	"context"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"pillarbox"
	"pillarbox/internal/adminapi"
)

type (
	selectionIn struct {
		Destination string   `json:"destination,omitempty"`
		Source      string   `json:"source,omitempty"`
		Since       string   `json:"since,omitempty" jsonschema:"dead since: ago as in 24h, or RFC 3339"`
		Until       string   `json:"until,omitempty" jsonschema:"dead before"`
		Error       string   `json:"error,omitempty" jsonschema:"part of the reason or of the last error"`
		Cause       string   `json:"cause,omitempty" jsonschema:"cause of a group, exactly as failures returns it"`
		RequestIDs  []string `json:"request_ids,omitempty"`
		Really      bool     `json:"really,omitempty" jsonschema:"do it; without it, it is a dry run that counts. Count first, tell the person, and ask"`
	}
	replayIn struct {
		selectionIn
		Rate float64 `json:"rate,omitempty" jsonschema:"letters per second; 0 for no limit"`
	}
	pauseIn struct {
		Destination string `json:"destination"`
		Reason      string `json:"reason,omitempty"`
	}
	cancelIn struct {
		ID string `json:"id"`
	}
)

// check refuses what selects nothing: nothing acts without a filter.
func (in *selectionIn) check() error {
	if in.Destination == "" && in.Source == "" && in.Since == "" && in.Until == "" && in.Error == "" && in.Cause == "" && len(in.RequestIDs) == 0 {
		return pillarbox.Invalid("nothing says which dead letters; name a destination, a source, times, an error, a cause or request ids")
	}
	return nil
}

func changes(destructive bool) *mcp.ToolAnnotations {
	return &mcp.ToolAnnotations{DestructiveHint: &destructive, OpenWorldHint: new(bool)}
}

func (t *tools) addWriting(s *mcp.Server) {
	add(s, "replay", "Replay dead letters: a dry run that counts, unless really is true. Events keep their ids, so that replaying twice stores once; it stops when too many are refused again.",
		changes(false), t.replay)
	add(s, "cancel_replay", "Stop a replay that runs. What was replayed stays so.", changes(false),
		func(ctx context.Context, in cancelIn) (any, error) { return t.client.CancelReplay(ctx, in.ID) })
	add(s, "discard", "Give dead letters up for good: a dry run that counts, unless really is true. Their files are kept, marked as discarded.", changes(true), t.discard)
	add(s, "pause", "Pause the delivery to a destination. Its events wait in the queue, also over restarts.", changes(false),
		func(ctx context.Context, in pauseIn) (any, error) {
			return t.client.Pause(ctx, in.Destination, in.Reason)
		})
	add(s, "resume", "Let the delivery to a paused destination go on.", changes(false),
		func(ctx context.Context, in pauseIn) (any, error) { return t.client.Resume(ctx, in.Destination) })
}

func (t *tools) replay(ctx context.Context, in replayIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return t.client.StartReplay(ctx, adminapi.ReplayRequest{Destination: in.Destination, Source: in.Source, Since: in.Since, Until: in.Until,
		Error: in.Error, Cause: in.Cause, RequestIDs: in.RequestIDs, Rate: in.Rate, DryRun: !in.Really})
}

func (t *tools) discard(ctx context.Context, in selectionIn) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	return t.client.DiscardMany(ctx, adminapi.DiscardRequest{Destination: in.Destination, Source: in.Source, Since: in.Since, Until: in.Until,
		Error: in.Error, Cause: in.Cause, RequestIDs: in.RequestIDs, DryRun: !in.Really})
}
