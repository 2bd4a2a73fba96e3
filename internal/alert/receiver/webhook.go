package receiver

import (
	"context"
	"encoding/json"

	"pillarbox"
	"pillarbox/internal/alert"
)

// webhookSender posts the message as JSON of our own.
type webhookSender struct{ poster }

// Single implements alert.Sender.
func (webhookSender) Single() bool { return false }

// document is the JSON of a message.
type document struct {
	Node      string              `json:"node"`
	At        pillarbox.Timestamp `json:"at"`
	Title     string              `json:"title"`
	Dashboard string              `json:"dashboard,omitempty"`
	Alerts    []item              `json:"alerts"`
	More      int                 `json:"more,omitempty"` // alerts that are left out
}

// item is the JSON of an alert.
type item struct {
	Event    string              `json:"event"` // firing, resolved or test
	Again    bool                `json:"again,omitempty"`
	Alert    string              `json:"alert"`
	Severity alert.Severity      `json:"severity"`
	Of       alert.Kind          `json:"of"`
	Subject  string              `json:"subject,omitempty"`
	Summary  string              `json:"summary"`
	Value    string              `json:"value,omitempty"`
	Runbook  string              `json:"runbook,omitempty"`
	Since    pillarbox.Timestamp `json:"since"`
	Until    pillarbox.Timestamp `json:"until,omitempty"`
	Key      string              `json:"key"` // the same from firing to resolved
}

// Send implements alert.Sender.
func (w webhookSender) Send(ctx context.Context, m *alert.Message) error {
	d := document{Node: m.Node, At: pillarbox.TimestampOf(m.At), Title: m.Title(),
		Dashboard: m.Dashboard, More: m.More, Alerts: []item{}}
	for _, i := range m.Items {
		one := item{Event: i.Event, Again: i.Again, Alert: i.Rule, Severity: i.Severity,
			Of: i.Subject.Kind, Subject: i.Subject.Name,
			Summary: i.Summary, Value: i.Value, Runbook: i.Runbook, Since: pillarbox.TimestampOf(i.Since),
			Key: i.Key}
		if !i.Ended.IsZero() {
			one.Until = pillarbox.TimestampOf(i.Ended)
		}
		d.Alerts = append(d.Alerts, one)
	}
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return w.post(ctx, m.ID, body)
}
