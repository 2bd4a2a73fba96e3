package receiver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"pillarbox/internal/alert"
)

// pagerDutySender sends events as PagerDuty's Events API v2 has them: one for each alert, which
// opens an incident, adds to it, or closes it.
type pagerDutySender struct {
	poster
	routingKey string
}

// Single implements alert.Sender.
func (pagerDutySender) Single() bool { return true }

// maxDedupKey is what PagerDuty takes, in bytes.
const maxDedupKey = 255

type pagerDutyEvent struct {
	RoutingKey string            `json:"routing_key"`
	Action     string            `json:"event_action"`
	DedupKey   string            `json:"dedup_key"`
	Client     string            `json:"client,omitempty"`
	ClientURL  string            `json:"client_url,omitempty"`
	Payload    *pagerDutyPayload `json:"payload,omitempty"` // none of a resolve
}

type pagerDutyPayload struct {
	Summary   string            `json:"summary"`
	Source    string            `json:"source"`
	Severity  string            `json:"severity"`
	Timestamp string            `json:"timestamp"`
	Component string            `json:"component,omitempty"`
	Class     string            `json:"class"`
	Details   map[string]string `json:"custom_details,omitempty"`
}

// actionsOf are the events that say what an item does. A test leaves nothing open.
var actionsOf = map[string][]string{
	alert.EventFiring: {trigger}, alert.EventResolved: {resolve}, alert.EventTest: {trigger, resolve},
}

// The actions of PagerDuty.
const (
	trigger = "trigger"
	resolve = "resolve"
)

// Send implements alert.Sender.
func (p pagerDutySender) Send(ctx context.Context, m *alert.Message) error {
	for i := range m.Items {
		item := &m.Items[i]
		for _, action := range actionsOf[item.Event] {
			body, err := json.Marshal(p.event(m, item, action))
			if err != nil {
				return err
			}
			if err := p.post(ctx, m.ID+"_"+action, body); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p pagerDutySender) event(m *alert.Message, i *alert.Item, action string) pagerDutyEvent {
	e := pagerDutyEvent{RoutingKey: p.routingKey, Action: action, DedupKey: "pillarbox/" + i.Key}
	if len(e.DedupKey) > maxDedupKey {
		digest := sha256.Sum256([]byte(i.Key))
		e.DedupKey = "pillarbox/" + hex.EncodeToString(digest[:])
	}
	if action == resolve {
		return e
	}
	e.Client, e.ClientURL = "pillarbox", m.Dashboard
	severity := map[alert.Severity]string{alert.High: "critical", alert.Low: "warning"}[i.Severity]
	if i.Event == alert.EventTest {
		severity = "info"
	}
	e.Payload = &pagerDutyPayload{Summary: i.Summary, Source: m.Node, Severity: severity,
		Timestamp: i.Since.UTC().Format(time.RFC3339),
		Component: i.Subject.Name, Class: i.Rule,
		Details: map[string]string{"since": i.Since.UTC().Format(time.RFC3339)}}
	if i.Value != "" {
		e.Payload.Details["value"] = i.Value
	}
	if i.Runbook != "" {
		e.Payload.Details["what now"] = i.Runbook
	}
	return e
}
