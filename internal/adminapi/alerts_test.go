package adminapi_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/alert"
	"pillarbox/internal/node/nodetest"
)

// senderFunc is a receiver of alerts.
type senderFunc func() error

func (f senderFunc) Send(context.Context, *alert.Message) error { return f() }
func (senderFunc) Single() bool                                 { return false }
func (senderFunc) Close() error                                 { return nil }

// TestAlerts is what fires and who was told, and a test message; and where nobody is told, it says
// so.
func TestAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		center := alert.New(alert.Options{Rules: alert.BuiltIn(), Node: "box",
			Receivers: []alert.Receiver{
				{Name: "ops", Kind: "webhook", Severities: alert.Severities(),
					Sender: senderFunc(func() error { return nil })},
				{Name: "dead", Kind: "email", Severities: alert.Severities(),
					Sender: senderFunc(func() error { return errors.New("no route") })},
			}, Metrics: func() ([]alert.Series, error) {
				return []alert.Series{{Metric: "pillarbox_queue_accepting"}, {Metric: "pillarbox_deliver_paused",
					Labels: map[string]string{"destination": "events"}, Value: 1}}, nil
			}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- center.Run(ctx) }()
		b := openBox(t, adminapi.Options{Alerts: center})
		client, err := adminclient.New("http://localhost",
			adminclient.Options{HTTP: adminclient.InProcess(b.admin)})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		view, err := client.Alerts(t.Context())
		if err != nil || len(view.Alerts) != 2 || view.Alerts[0].State != alert.StateFiring ||
			view.Alerts[1].State != alert.StatePending ||
			len(view.Alerts[0].Told) != 2 || view.Receivers[1].FailingSince == 0 {
			t.Fatalf("%+v, %v", view, err)
		}
		b.get(adminapi.AlertsPath).Wants(t, 200, `"looked_at"`, "PillarboxNotAccepting")
		tested, err := client.TestAlerts(t.Context(), "")
		if err != nil || len(tested.Results) != 2 || !tested.Results[0].Taken ||
			tested.Results[1].Error != "no route" {
			t.Fatalf("%+v, %v", tested, err)
		}
		post := func(b *box, query string) nodetest.Answer {
			return nodetest.Do(t, nodetest.Admin, b.admin, httptest.NewRequest("POST",
				"http://localhost"+adminapi.AlertsTestPath+query, nil))
		}
		post(b, "?receiver=nobody").Wants(t, 404, "configured are ops, dead")
		post(b, "?of=x").Wants(t, 400)
		none := openBox(t, adminapi.Options{})
		none.get(adminapi.AlertsPath).Wants(t, 404, "nobody is told")
		post(none, "").Wants(t, 404, "nobody is told")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
