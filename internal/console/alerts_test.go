package console_test

import (
	"strings"
	"testing"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/alert"
	"pillarbox/internal/console"
)

// Alerts are shown with who was told, and beside them what is wrong with telling.
func TestAlertsAreShown(t *testing.T) {
	view := &alert.View{Quiet: true, Alerts: []alert.AlertView{{Alert: "PillarboxPaused", Severity: alert.Low, State: alert.StateFiring,
		Subject: "events", Since: 1, Summary: "events is paused", Told: []alert.ToldView{{Receiver: "ops", At: 2}, {Receiver: "post"}}}},
		Receivers: []alert.ReceiverView{{Receiver: "post", FailingSince: 3, LastError: "no \x1b[31mroute"}}}
	for form, want := range map[string]string{console.Table: "ops (1970-01-01T00:00:00.000002Z), post (being told)", console.CSV: `PillarboxPaused,low,firing,events`,
		console.JSON: `"failing_since"`} {
		var out, talk strings.Builder
		if err := console.WriteAlerts(&out, &talk, view, console.Form{Kind: form}); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%v: %v\n%s", form, err, out.String())
		}
		if form != console.JSON && (!strings.Contains(talk.String(), "post takes no messages since") || !strings.Contains(talk.String(), "quiet hours") ||
			strings.Contains(talk.String(), "\x1b")) {
			t.Errorf("%q", talk.String())
		}
	}
	var out, talk strings.Builder
	if err := console.WriteAlerts(&out, &talk, &alert.View{}, console.Form{Kind: console.Table}); err != nil || out.String() != "no alert fires\n" || talk.String() != "" {
		t.Errorf("%q %q %v", out.String(), talk.String(), err)
	}
	out.Reset()
	test := &adminapi.AlertTest{Results: []alert.TestResult{{Receiver: "ops", Kind: "slack", Error: "no route"}}}
	if err := console.WriteAlertTest(&out, test, console.Form{Kind: console.Table}); err != nil || !strings.Contains(out.String(), "no route") {
		t.Errorf("%q %v", out.String(), err)
	}
}
