package alert

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"pillarbox"
)

// The states of an alert.
const (
	StatePending  = "pending" // its condition holds, and not for long enough yet
	StateFiring   = "firing"
	StateResolved = "resolved" // it is over, and somebody is still to be told
)

// View is what fires, and who was told. It is JSON of the admin API.
type View struct {
	LookedAt  pillarbox.Timestamp `json:"looked_at,omitempty"` // the last time that the conditions could be looked at
	Quiet     bool                `json:"quiet"`               // nobody is told now what is of a low severity
	Alerts    []AlertView         `json:"alerts"`              // those of a high severity first
	Receivers []ReceiverView      `json:"receivers"`
}

// AlertView is one alert.
type AlertView struct {
	Alert      string              `json:"alert"` // its rule
	Severity   Severity            `json:"severity"`
	State      string              `json:"state"`
	Of         Kind                `json:"of"`
	Subject    string              `json:"subject,omitempty"` // of which destination or certificate
	Summary    string              `json:"summary"`
	Value      string              `json:"value,omitempty"`
	Runbook    string              `json:"runbook,omitempty"`
	Since      pillarbox.Timestamp `json:"since"` // its condition holds
	FiredAt    pillarbox.Timestamp `json:"fired_at,omitempty"`
	ResolvedAt pillarbox.Timestamp `json:"resolved_at,omitempty"`
	Told       []ToldView          `json:"told"`
}

// ToldView is who was told of an alert.
type ToldView struct {
	Receiver string              `json:"receiver"`
	At       pillarbox.Timestamp `json:"at,omitempty"` // the last time; none: it is tried
}

// ReceiverView is how a receiver fares.
type ReceiverView struct {
	Receiver     string              `json:"receiver"`
	Kind         string              `json:"kind"`
	Severities   []Severity          `json:"severities"`
	LastSent     pillarbox.Timestamp `json:"last_sent,omitempty"`     // since the process began
	FailingSince pillarbox.Timestamp `json:"failing_since,omitempty"` // it takes nothing
	LastError    string              `json:"last_error,omitempty"`
	NextTry      pillarbox.Timestamp `json:"next_try,omitempty"`
}

// TestResult is what a receiver said to a message that is for trying it out.
type TestResult struct {
	Receiver string `json:"receiver"`
	Kind     string `json:"kind"`
	Taken    bool   `json:"taken"`
	Error    string `json:"error,omitempty"`
	TookMS   int64  `json:"took_ms"`
}

// View returns what there is at this moment.
func (c *Center) View() View {
	at := c.opts.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	v := View{LookedAt: stamp(c.looked), Quiet: c.opts.Quiet.At(at), Alerts: []AlertView{},
		Receivers: []ReceiverView{}}
	for _, a := range c.state.Alerts {
		v.Alerts = append(v.Alerts, c.viewOf(a))
	}
	for _, r := range c.opts.Rules {
		for key, p := range c.state.Pending {
			if p.Rule == r.Name {
				a := alert{Key: key, Rule: r.Name, Severity: r.Severity, Subject: p.Subject, Summary: p.Summary,
					Runbook: r.Runbook, Since: p.Since}
				one := c.viewOf(&a)
				one.State = StatePending
				v.Alerts = append(v.Alerts, one)
			}
		}
	}
	slices.SortFunc(v.Alerts, func(a, b AlertView) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Alert, b.Alert),
			strings.Compare(a.Subject, b.Subject))
	})
	for _, r := range c.receivers {
		v.Receivers = append(v.Receivers, ReceiverView{Receiver: r.Name, Kind: r.Kind,
			Severities: r.Severities,
			LastSent:   stamp(r.sent), FailingSince: stamp(r.failing), LastError: r.lastErr,
			NextTry: stamp(r.next)})
	}
	return v
}

func (c *Center) viewOf(a *alert) AlertView {
	v := AlertView{Alert: a.Rule, Severity: a.Severity, State: StateFiring, Of: a.Subject.Kind,
		Subject: a.Subject.Name, Summary: a.Summary, Value: a.Value,
		Runbook: a.Runbook, Since: stamp(a.Since), FiredAt: stamp(a.Fired), ResolvedAt: stamp(a.Ended),
		Told: []ToldView{}}
	if !a.fires() {
		v.State = StateResolved
	}
	for _, r := range c.receivers {
		if o := a.Owed[r.Name]; o != nil {
			v.Told = append(v.Told, ToldView{Receiver: r.Name, At: stamp(o.Told)})
		}
	}
	return v
}

func stamp(t time.Time) pillarbox.Timestamp {
	if t.IsZero() {
		return 0
	}
	return pillarbox.TimestampOf(t)
}

// Test sends each receiver, or the one that is named, a message that is for trying it out. Errors:
// ErrNotFound for a name that there is none of.
func (c *Center) Test(ctx context.Context, name string) ([]TestResult, error) {
	return Test(ctx, c.opts.Receivers, name, c.opts.Node, c.opts.Dashboard, c.opts.Now())
}

// Test is that of a Center, without one.
func Test(ctx context.Context, receivers []Receiver, name, node, dashboard string,
	at time.Time) ([]TestResult, error) {
	var chosen []Receiver
	var names []string
	for _, r := range receivers {
		if names = append(names, r.Name); name == "" || r.Name == name {
			chosen = append(chosen, r)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("there is no receiver %q; configured are %s: %w", name, strings.Join(names,
			", "), pillarbox.ErrNotFound)
	}
	results := make([]TestResult, len(chosen))
	var all sync.WaitGroup
	for i := range chosen {
		all.Go(func() { results[i] = testOne(ctx, &chosen[i], node, dashboard, at) })
	}
	all.Wait()
	return results, nil
}

func testOne(ctx context.Context, r *Receiver, node, dashboard string, at time.Time) TestResult {
	m := &Message{Node: clean(node, maxText), Dashboard: dashboard, At: at,
		Items: []Item{{Event: EventTest, Rule: "PillarboxTest", Severity: r.Severities[0],
			Subject: Subject{Kind: OfNode}, Summary: "A test: nothing is wrong, and alerts arrive here",
			Since: at, Key: node + "/PillarboxTest"}}}
	m.seal()
	within, cancel := context.WithTimeout(ctx, SendTimeout)
	defer cancel()
	began := time.Now()
	err := r.Sender.Send(within, m)
	result := TestResult{Receiver: r.Name, Kind: r.Kind, Taken: err == nil,
		TookMS: time.Since(began).Milliseconds()}
	if err != nil {
		result.Error = clean(err.Error(), maxText)
	}
	return result
}
