package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/config"
)

// What can have no effect is refused, with the key and what to do.
func TestAlertsWithoutEffectAreRefused(t *testing.T) {
	receiver := func(rest string) string { return "alerts: {receivers: [{name: a, " + rest + "}]}\n" }
	for text, want := range map[string]string{
		"alerts: {every: 1m}":                                                                   "alerts.every: has no effect",
		"alerts: {quiet_hours: {from: 1}}":                                                      "alerts.quiet_hours.from: has no effect",
		"alerts: {rules: a.yaml}":                                                               "alerts.rules: has no effect",
		"alerts: {heartbeat: {every: 1h}}":                                                      "alerts.heartbeat.every: has no effect",
		receiver("kind: slack, url: x, severities: []"):                                         "severities: is empty, so that nothing is ever told",
		receiver("kind: slack, url: x, severities: [low, low]"):                                 "is there twice",
		receiver("kind: slack, url: x, severities: [urgent]"):                                   "want one of high, low",
		receiver("kind: pigeon"):                                                                "want one of webhook, slack, email, pagerduty",
		receiver("kind: slack, url: x, to: [a@example.org]"):                                    "to: has no effect: it is of receivers of the kind email",
		receiver("kind: email, url: x"):                                                         "url: has no effect",
		receiver("kind: slack, url: x, signing_secrets: [a]"):                                   "signing_secrets: has no effect",
		receiver("kind: slack, url: x, routing_key: a"):                                         "routing_key: has no effect",
		receiver("kind: email, security: ssl"):                                                  "want one of starttls, tls, none",
		receiver("kind: slack, url: '[redacted]'"):                                              "url: ",
		"alerts: {receivers: [{name: A, kind: slack, url: x}]}":                                 "want 1 to 63 of a-z",
		"alerts: {receivers: [{name: a, kind: slack, url: x}, {name: a, kind: slack, url: x}]}": "is there twice",
		"alerts: {quiet_hours: {from: '22:00', to: '07:00'}, receivers: [{name: a, kind: slack, url: x, severities: [high]}]}": "alerts.quiet_hours.from: has no effect: no receiver",
		"alerts: {group_wait: 5m, receivers: [{name: a, kind: slack, url: x}]}":                                                "would be told to nobody",
		"alerts: {every: 10ms, receivers: [{name: a, kind: slack, url: x}]}":                                                   "alerts.every: is 10ms; want at least 1s",
		"alerts: {dashboard: 'javascript:alert(1)', heartbeat: {url: x}}":                                                      "alerts.dashboard: \"javascript:alert(1)\": want http",
		"alerts: {heartbeat: {every: 10ms, url: x}}":                                                                           "alerts.heartbeat.every: is 10ms",
		"alerts: {heartbeat: {every: 10s}, receivers: [{name: a, kind: slack, url: x}]}":                                       "without alerts.heartbeat.url",
		"alerts: {receivers: [" + strings.Repeat("{name: a, kind: slack, url: x},", config.MaxAlertReceivers+1) + "]}":         fmt.Sprintf("want at most %d", config.MaxAlertReceivers),
	} {
		if got := refusal(text, nil, nil); !strings.Contains(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", text, got, want)
		}
	}
}

// A receiver that says little has the rest by default, and its secrets are never shown.
func TestAlertReceiverDefaults(t *testing.T) {
	cfg := load(t, `alerts: {receivers: [{name: a, kind: email, password: geheim}, {name: b, kind: pagerduty, routing_key: geheim}, {name: c, kind: slack, url: "https://hooks.slack.com/geheim"}]}`, nil, nil)
	a := cfg.Alerts
	if a.Receivers[0].Security != config.MailStartTLS || a.Receivers[1].URL == "" || len(a.Receivers[2].Severities) != 2 {
		t.Errorf("%+v", a.Receivers)
	}
	if a.Every.Std() != 15*time.Second || a.GroupWait.Std() != 30*time.Second || a.ResolveAfter.Std() != 2*time.Minute || a.Repeat.High.Std() != time.Hour ||
		a.Repeat.Low.Std() != 24*time.Hour || a.Heartbeat.Every.Std() != time.Minute {
		t.Errorf("the defaults are %+v", a)
	}
	if shown := config.Show(cfg); strings.Contains(shown, "geheim") {
		t.Errorf("a secret is shown:\n%s", shown)
	}
}
