package adminclient

import (
	"context"
	"net/http"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/alert"
)

// Alerts returns what fires, and who was told. Errors: ErrNotFound where nobody is told of alerts.
func (c *Client) Alerts(ctx context.Context) (*alert.View, error) {
	return fetch[alert.View](ctx, c, adminapi.AlertsPath, nil)
}

// TestAlerts sends a message to a receiver, or to all where none is named, and returns what they said.
// Errors: ErrNotFound.
func (c *Client) TestAlerts(ctx context.Context, receiver string) (*adminapi.AlertTest, error) {
	return answered[adminapi.AlertTest](c.call(ctx, http.MethodPost, adminapi.AlertsTestPath, pairs("receiver", receiver), nil))
}
