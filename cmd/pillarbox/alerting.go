package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"time"
	_ "time/tzdata" // quiet hours are in a time zone, and an image from scratch knows none

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"pillarbox"
	"pillarbox/internal/alert"
	"pillarbox/internal/alert/receiver"
	"pillarbox/internal/config"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/engine/webhook"
	"pillarbox/internal/rollup"
)

// checkAlerts reports rules, quiet hours and receivers that can't work, of each the first. It reads
// the files that are named.
func checkAlerts(cfg *config.Config) error {
	if !cfg.Alerts.On() {
		return nil
	}
	rules, _, err := alertRules(cfg)
	if err == nil {
		err = checkReached(cfg, rules)
	}
	receivers, openErr := openReceivers(cfg)
	_, closeBeat, beatErr := openBeat(cfg)
	return errors.Join(placed(cfg, err), openErr, closeReceivers(receivers), placed(cfg, beatErr),
		closeBeat())
}

// checkReached reports a receiver that no rule has a severity for.
func checkReached(cfg *config.Config, rules []*alert.Rule) error {
	for i, r := range cfg.Alerts.Receivers {
		if !slices.ContainsFunc(rules, func(rule *alert.Rule) bool {
			return slices.Contains(r.Severities, string(rule.Severity))
		}) {
			return pillarbox.Invalid("alerts.receivers[%d].severities: have no effect: no rule has one of them any more; leave the receiver out, or have a rule with one",
				i)
		}
	}
	return nil
}

// alertRules are the rules, and when low ones are quiet.
func alertRules(cfg *config.Config) ([]*alert.Rule, alert.Quiet, error) {
	var text []byte
	if path := cfg.Alerts.Rules; path != "" {
		var err error
		if text, err = readAtMost(path, alert.MaxRulesBytes); err != nil {
			return nil, alert.Quiet{}, pillarbox.Invalid("alerts.rules: %v", err)
		}
	}
	rules, err := alert.Rules(text)
	if err != nil {
		return nil, alert.Quiet{}, fmt.Errorf("alerts.rules: %s: %w", cfg.Alerts.Rules, err)
	}
	q := cfg.Alerts.QuietHours
	quiet, err := alert.ParseQuiet(q.From, q.To, q.TimeZone, q.Days)
	if err != nil {
		return nil, quiet, fmt.Errorf("alerts.quiet_hours.%w", err)
	}
	if quiet.IsSet() && !slices.ContainsFunc(rules,
		func(r *alert.Rule) bool { return r.Severity == alert.Low }) {
		key := "days"
		if q.From != "" {
			key = "from"
		}
		return nil, quiet, pillarbox.Invalid("alerts.quiet_hours.%s: has no effect: no rule has a low severity any more; leave it out", key)
	}
	return rules, quiet, nil
}

// openReceivers prepares who is told. Those that can't be are left out, and are in the error.
func openReceivers(cfg *config.Config) (all []alert.Receiver, err error) {
	var errs []error
	for i := range cfg.Alerts.Receivers {
		opened, err := openReceiver(&cfg.Alerts.Receivers[i])
		if err != nil {
			errs = append(errs, placed(cfg, fmt.Errorf("alerts.receivers[%d].%w", i, err)))
			continue
		}
		all = append(all, opened)
	}
	return all, errors.Join(errs...)
}

func openReceiver(r *config.AlertReceiver) (alert.Receiver, error) {
	o := receiver.Options{Name: r.Name, Kind: r.Kind, URL: string(r.URL),
		RoutingKey: string(r.RoutingKey),
		HTTP:       webhook.Options{AllowPrivate: r.AllowPrivate, Headers: map[string]string{}},
		Mail: receiver.Mail{Server: r.Server, Security: r.Security, User: r.User,
			Password: string(r.Password), CA: r.CA, From: r.From, To: r.To}}
	for _, severity := range r.Severities {
		o.Severities = append(o.Severities, alert.Severity(severity))
	}
	for _, secret := range r.SigningSecrets {
		o.HTTP.SigningSecrets = append(o.HTTP.SigningSecrets, string(secret))
	}
	for name, value := range r.Headers {
		o.HTTP.Headers[name] = string(value)
	}
	err := catalog.ReadSecrets(&o.HTTP)
	for _, secret := range []struct {
		key   string
		value *string
	}{{"url", &o.URL}, {"routing_key", &o.RoutingKey}, {"password", &o.Mail.Password}} {
		if err == nil {
			err = catalog.ReadSecret(secret.key, secret.value)
		}
	}
	if err != nil {
		return alert.Receiver{}, err
	}
	return receiver.Open(o)
}

func closeReceivers(all []alert.Receiver) error {
	var errs []error
	for _, r := range all {
		errs = append(errs, r.Sender.Close())
	}
	return errors.Join(errs...)
}

// openBeat prepares the heartbeat; beat is nil where there is none.
func openBeat(cfg *config.Config) (beat func(context.Context) error, closeBeat func() error,
	err error) {
	nothing := func() error { return nil }
	h := cfg.Alerts.Heartbeat
	if h.URL == "" {
		return nil, nothing, nil
	}
	url := string(h.URL)
	if err = catalog.ReadSecret("url", &url); err == nil {
		beat, closeBeat, err = receiver.OpenBeat(url, webhook.Options{AllowPrivate: h.AllowPrivate})
	}
	if err != nil {
		return nil, nothing, fmt.Errorf("alerts.heartbeat.%w", err)
	}
	return beat, closeBeat, nil
}

// alerting is what tells of alerts; its center is nil where nobody is told.
type alerting struct {
	center    *alert.Center
	closeBeat func() error
}

// openAlerts makes what tells of alerts, from what checkAlerts has found good.
func openAlerts(e *engines, metrics prometheus.Gatherer, history *rollup.History) (*alerting,
	error) {
	cfg := e.config
	if !cfg.Alerts.On() {
		return &alerting{closeBeat: func() error { return nil }}, nil
	}
	rules, quiet, err := alertRules(cfg)
	if err != nil {
		return nil, err
	}
	receivers, err := openReceivers(cfg)
	if err != nil {
		return nil, errors.Join(err, closeReceivers(receivers))
	}
	beat, closeBeat, err := openBeat(cfg)
	if err != nil {
		return nil, errors.Join(err, closeReceivers(receivers))
	}
	a := cfg.Alerts
	options := alert.Options{Rules: rules, Receivers: receivers, Node: nodeName(cfg),
		Dashboard: a.Dashboard,
		Every:     a.Every.Std(), GroupWait: orNone(a.GroupWait), ResolveAfter: orNone(a.ResolveAfter),
		RepeatHigh: a.Repeat.High.Std(), RepeatLow: a.Repeat.Low.Std(),
		Quiet: quiet, Beat: beat, BeatEvery: a.Heartbeat.Every.Std(), Now: e.Clock.Now,
		Meter: e.metrics.Alerts(), Logger: e.logger,
		Metrics: func() ([]alert.Series, error) { return seriesOf(metrics) }}
	if e.data != nil {
		options.FS = e.data
	}
	if history != nil {
		options.History = history
	}
	return &alerting{center: alert.New(options), closeBeat: closeBeat}, nil
}

// orNone is a time of which 0 means none, where 0 would mean the default.
func orNone(d config.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d.Std()
}

// nodeName is what this server is called in messages.
func nodeName(cfg *config.Config) string {
	if cfg.Alerts.Name != "" {
		return cfg.Alerts.Name
	}
	name, err := os.Hostname()
	if err != nil {
		return "a machine without a name"
	}
	return name
}

// seriesOf reads the metrics that alerts are made of, as a scrape does.
func seriesOf(metrics prometheus.Gatherer) (all []alert.Series, err error) {
	families, err := metrics.Gather()
	if err != nil {
		return nil, err
	}
	wanted := alert.Metrics()
	for _, family := range families {
		if !slices.Contains(wanted, family.GetName()) {
			continue
		}
		for _, m := range family.GetMetric() {
			all = append(all, seriesOfMetric(family.GetName(), m)...)
		}
	}
	return all, nil
}

func seriesOfMetric(name string, m *dto.Metric) (all []alert.Series) {
	labels := map[string]string{}
	for _, pair := range m.GetLabel() {
		labels[pair.GetName()] = pair.GetValue()
	}
	switch {
	case m.GetHistogram() != nil:
		for _, b := range m.GetHistogram().GetBucket() {
			all = append(all, bucket(name, b.GetUpperBound(), b.GetCumulativeCount()))
		}
		return append(all, bucket(name, math.Inf(1), m.GetHistogram().GetSampleCount()))
	case m.GetCounter() != nil:
		return []alert.Series{{Metric: name, Labels: labels, Value: m.GetCounter().GetValue()}}
	}
	return []alert.Series{{Metric: name, Labels: labels, Value: m.GetGauge().GetValue()}}
}

func bucket(name string, bound float64, count uint64) alert.Series {
	return alert.Series{Metric: name + "_bucket",
		Labels: map[string]string{"le": strconv.FormatFloat(bound, 'g', -1, 64)}, Value: float64(count)}
}
