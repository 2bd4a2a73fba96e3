package main

import (
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/alert"
	"pillarbox/internal/alert/receiver"
	"pillarbox/internal/config"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/prom"
)

// What alerts are made of is in the table of metrics, with the labels that tell things apart.
func TestAlertsAreMadeOfMetrics(t *testing.T) {
	for _, name := range alert.Metrics() {
		if !slices.ContainsFunc(telemetry.Table(), func(m telemetry.Metric) bool { return m.Name == name }) {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// Metrics become series as a scrape has them: with their labels, and a histogram as its buckets.
func TestSeriesAreThoseOfAScrape(t *testing.T) {
	registry := prometheus.NewRegistry()
	metrics := telemetry.NewMetrics(prom.Keep(registry, prom.Options{NativeHistograms: true}))
	metrics.Deliver("events").Events(telemetry.Dead, 3)
	metrics.Deliver("events").Breaker(true)
	metrics.Seglog().Committed(1, 1, 2*time.Second)
	all, err := seriesOf(registry)
	if err != nil {
		t.Fatal(err)
	}
	find := func(metric, label, value string) float64 {
		for _, s := range all {
			if s.Metric == metric && s.Labels[label] == value {
				return s.Value
			}
		}
		return math.NaN()
	}
	for _, c := range []struct {
		metric, label, value string
		want                 float64
	}{
		{"pillarbox_deliver_events_total", "outcome", "dead", 3},
		{"pillarbox_deliver_breaker_open", "destination", "events", 1},
		{"pillarbox_seglog_fsync_seconds_bucket", "le", "1", 0},
		{"pillarbox_seglog_fsync_seconds_bucket", "le", "2.5", 1},
		{"pillarbox_seglog_fsync_seconds_bucket", "le", "+Inf", 1},
	} {
		if got := find(c.metric, c.label, c.value); got != c.want {
			t.Errorf("%s{%s=%s} is %v, want %v", c.metric, c.label, c.value, got, c.want)
		}
	}
}

// Mistakes in alerts are found before a start, with their place, their key and what to do.
func TestConfigCheckFindsMistakesInAlerts(t *testing.T) {
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(rules, []byte("rules: [{name: PillarboxPausd, off: true}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	silent := filepath.Join(dir, "silent.yaml")
	off := "rules:\n"
	for _, r := range alert.BuiltIn() {
		if r.Severity == alert.Low {
			off += "  - { name: " + r.Name + ", off: true }\n"
		}
	}
	if err := os.WriteFile(silent, []byte(off), 0o600); err != nil {
		t.Fatal(err)
	}
	const slack = "receivers: [{name: a, kind: slack, url: 'https://hooks.example.org/x'}]"
	for text, words := range map[string][]string{
		"alerts: {rules: " + rules + ", " + slack + "}":                              {"alerts.rules: ", "PillarboxPausd"},
		"alerts: {rules: " + rules + ".gone, " + slack + "}":                         {"alerts.rules: ", "no such file"},
		"alerts: {quiet_hours: {from: '22:00'}, " + slack + "}":                      {"alerts.quiet_hours.from: ", "set both"},
		"alerts: {quiet_hours: {days: [sunday]}, " + slack + "}":                     {"alerts.quiet_hours.days: ", "sun, mon"},
		"alerts: {rules: " + silent + ", quiet_hours: {days: [sun]}, " + slack + "}": {"alerts.quiet_hours.days: ", "no rule has a low severity"},
		"alerts: {rules: " + silent + ", receivers: [{name: a, kind: slack, url: 'https://hooks.example.org/x', severities: [low]}]}": {
			"alerts.receivers[0].severities: ", "no rule has one"},
		"alerts: {heartbeat: {url: 'http://127.0.0.1/'}}":                                     {"alerts.heartbeat.url: ", "allow_private"},
		"alerts: {receivers: [{name: a, kind: slack, url: 'http://127.0.0.1/'}]}":             {"alerts.receivers[0].url: ", "allow_private"},
		"alerts: {receivers: [{name: a, kind: slack, url: 'file:" + dir + "/gone'}]}":         {"alerts.receivers[0].url: ", "no such file"},
		"alerts: {receivers: [{name: a, kind: pagerduty}]}":                                   {"alerts.receivers[0].routing_key: "},
		"alerts: {receivers: [{name: a, kind: email, from: a@b.example, to: [b@b.example]}]}": {"alerts.receivers[0].server: "},
		"alerts: {receivers: [{name: a, kind: webhook, url: 'https://a.example', signing_secrets: [x]}]}": {
			"alerts.receivers[0].signing_secrets[0]: "},
	} {
		file := filepath.Join(dir, "p.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		try(t, "config", "check", "--config", file).failsWith(t, exitUsage, append(words, file+":1:")...)
	}
}

// A server tells what fires, and tries its receivers out; without one, the command does.
func TestAlertsCommand(t *testing.T) {
	told := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.Header.Get("X-Team") }))
	defer hook.Close()
	text := "alerts: {every: 1s, receivers: [{name: ops, kind: webhook, allow_private: true, headers: {X-Team: a}, url: '" + hook.URL + "'}, " +
		"{name: gone, kind: slack, allow_private: true, url: 'http://127.0.0.1:1/geheim'}]}"
	s := startServer(t, text)
	client, err := adminclient.New(s.admin, adminclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	view, err := client.Alerts(t.Context())
	if err != nil || len(view.Receivers) != 2 {
		t.Fatalf("%+v, %v", view, err)
	}
	if got := try(t, "alerts", "--server", s.admin); got.code != exitDone || !strings.Contains(got.out, "no alert fires") {
		t.Errorf("%+v", got)
	}
	got := try(t, "alerts", "test", "--server", s.admin)
	if got.code != exitFailed || !strings.Contains(got.out, "ops") || !strings.Contains(got.out, "connect to 127.0.0.1:1") || strings.Contains(got.out+got.talk, "geheim") {
		t.Errorf("%+v", got)
	}
	if team := <-told; team != "a" {
		t.Errorf("the header is %q", team)
	}
	try(t, "alerts", "test", "nobody", "--server", s.admin).failsWith(t, exitFailed, "configured are ops, gone")
	var test *adminapi.AlertTest
	if test, err = client.TestAlerts(t.Context(), "ops"); err != nil || !test.Results[0].Taken {
		t.Errorf("%+v, %v", test, err)
	}
	s.stop()
	file := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := try(t, "alerts", "test", "ops", "--config", file, "--data", s.data, "--admin", "127.0.0.1:1"); got.code != exitDone || !strings.Contains(got.out, "ops") {
		t.Errorf("%+v", got)
	}
	try(t, "alerts", "--data", s.data, "--admin", "127.0.0.1:1").failsWith(t, exitFailed, "needs a running server")
}

// What is said twice, in the configuration and in what it configures, is the same.
func TestAlertDefaultsAgree(t *testing.T) {
	a := config.Default().Alerts
	for name, pair := range map[string][2]time.Duration{
		"every": {a.Every.Std(), alert.DefaultEvery}, "group_wait": {a.GroupWait.Std(), alert.DefaultGroupWait},
		"resolve_after": {a.ResolveAfter.Std(), alert.DefaultResolveAfter}, "repeat.high": {a.Repeat.High.Std(), alert.DefaultRepeatHigh},
		"repeat.low": {a.Repeat.Low.Std(), alert.DefaultRepeatLow}, "heartbeat.every": {a.Heartbeat.Every.Std(), alert.DefaultBeat},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %s in the configuration, and %s without one", name, pair[0], pair[1])
		}
	}
	cfg, err := config.Load(config.Input{Env: noEnv, Text: []byte("alerts: {receivers: [{name: a, kind: pagerduty, routing_key: x}]}")})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(cfg.Alerts.Receivers[0].URL); got != receiver.PagerDutyURL {
		t.Errorf("PagerDuty is at %s, and at %s without a configuration", got, receiver.PagerDutyURL)
	}
	for _, pair := range [][2]string{{config.ReceiverWebhook, receiver.Webhook}, {config.ReceiverSlack, receiver.Slack}, {config.ReceiverEmail, receiver.Email},
		{config.ReceiverPagerDuty, receiver.PagerDuty}, {config.MailStartTLS, receiver.StartTLS}, {config.MailTLS, receiver.TLS}, {config.MailPlain, receiver.NoTLS}} {
		if pair[0] != pair[1] {
			t.Errorf("%q and %q are the same, by two names", pair[0], pair[1])
		}
	}
}

// The examples in the document can be used as they stand.
func TestAlertExamplesOfTheDocumentWork(t *testing.T) {
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(begin string) string {
		_, rest, found := strings.Cut(string(text), "```yaml\n"+begin)
		example, _, ended := strings.Cut(rest, "```")
		if !found || !ended {
			t.Fatalf("there is no example that begins with %q", begin)
		}
		return begin + example
	}
	secrets := map[string]string{"HEARTBEAT_URL": "https://hc.example.org/x", "PAGERDUTY_KEY": "key", "SLACK_URL": "https://hooks.example.org/x",
		"MAIL_PASSWORD": "geheim", "HOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
	cfg, err := config.Load(config.Input{Text: []byte(block("alerts:\n")), Env: func(name string) (string, bool) {
		value, found := secrets[name]
		return value, found
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := checkAlerts(cfg); err != nil {
		t.Error(err)
	}
	rules, err := alert.Rules([]byte(block("rules:\n")))
	if err != nil || len(rules) != len(alert.BuiltIn()) {
		t.Errorf("%d rules, %v", len(rules), err)
	}
}
