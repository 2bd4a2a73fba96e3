package dashboard_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/alert"
)

// deadReceiver takes nothing.
type deadReceiver struct{}

func (deadReceiver) Send(context.Context, *alert.Message) error { return errors.New("<b>no route</b>") }
func (deadReceiver) Single() bool                               { return false }
func (deadReceiver) Close() error                               { return nil }

// What fires is among what needs a person, unless that says it anyway; and so is a receiver that takes
// nothing, because it can't say so.
func TestOverviewShowsAlerts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		center := alert.New(alert.Options{Rules: alert.BuiltIn(), Receivers: []alert.Receiver{
			{Name: "ops", Kind: "slack", Severities: alert.Severities(), Sender: deadReceiver{}}},
			Metrics: func() ([]alert.Series, error) {
				return []alert.Series{{Metric: "pillarbox_seglog_io_errors_total", Value: 3},
					{Metric: "pillarbox_queue_accepting", Value: 0}}, nil
			}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- center.Run(ctx) }()
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		body := open(t, adminapi.Options{Alerts: center}, 0).get("/").Body.String()
		for _, want := range []string{"3 writes or flushes of the log have failed", "PillarboxDiskErrors",
			"ops takes no messages about alerts: &lt;b&gt;no route"} {
			if !strings.Contains(body, want) {
				t.Errorf("the overview has no %q", want)
			}
		}
		if strings.Contains(body, "PillarboxNotAccepting") {
			t.Error("the overview says twice that nothing is accepted")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
