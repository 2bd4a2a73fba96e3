package adminclient

import (
	"context"

	"pillarbox/internal/adminapi"
)

// History returns what happened in the past, by the minute or the hour. Errors: ErrNotFound where the
// server keeps no history.
func (c *Client) History(ctx context.Context, q adminapi.HistoryQuery) (*adminapi.History, error) {
	return fetch[adminapi.History](ctx, c, adminapi.HistoryPath,
		pairs("resolution", string(q.Resolution), "since", q.Since, "until", q.Until))
}
