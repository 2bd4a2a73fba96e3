package alert

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"pillarbox"
	"pillarbox/internal/rollup"
)

const prometheusDir = "../../deploy/prometheus/"

// noRule says why an alert for Prometheus has no rule that is built in.
var noRule = map[string]string{
	"PillarboxSilent": "a server can't say that it is gone; alerts.heartbeat is in its place",
}

// ofAllServers are metrics that only who sees all servers on a queue can judge: where another one delivers
// this one's canaries, this one's last success is an old one.
var ofAllServers = []string{"pillarbox_canary_last_success_timestamp_seconds", "pillarbox_canary_interval_seconds"}

// ofAllServersStories are what follows from them.
var ofAllServersStories = []string{"canary comes back to no server"}

// prometheusRule is one of alerts.yml.
type prometheusRule struct {
	Alert, Record, Expr, For string
	Labels                   struct{ Severity string }
	Annotations              struct{ Runbook string }
}

func prometheusRules(t *testing.T) (rules []prometheusRule) {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []prometheusRule }
	}
	decode(t, "alerts.yml", &file)
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			if r.Alert != "" {
				rules = append(rules, r)
			}
		}
	}
	return rules
}

func decode(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(prometheusDir + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// Whoever evaluates the rules, they are the same: by name, severity, time and runbook.
func TestRulesAreThoseOfPrometheus(t *testing.T) {
	ours := BuiltIn()
	theirs := prometheusRules(t)
	if len(theirs) < 15 {
		t.Fatalf("only %d alerts were found", len(theirs))
	}
	for _, p := range theirs {
		at := slices.IndexFunc(ours, func(r *Rule) bool { return r.Name == p.Alert })
		if reason := noRule[p.Alert]; reason != "" {
			if at >= 0 {
				t.Errorf("%s has a rule, although %s", p.Alert, reason)
			}
			continue
		}
		if at < 0 {
			t.Errorf("%s has no rule that is built in, and no reason for that", p.Alert)
			continue
		}
		r := ours[at]
		wait, _ := time.ParseDuration(p.For)
		if string(r.Severity) != p.Labels.Severity || r.For != wait ||
			r.Runbook != p.Annotations.Runbook {
			t.Errorf("%s: is %s for %s (%s), and for Prometheus %s for %s (%s)", r.Name, r.Severity, r.For,
				r.Runbook, p.Labels.Severity, wait, p.Annotations.Runbook)
		}
		for _, metric := range regexp.MustCompile(`pillarbox_[a-z_]+`).FindAllString(p.Expr, -1) {
			metric = strings.TrimSuffix(metric, "_bucket")
			if !slices.Contains(Metrics(), metric) && !slices.Contains(ofAllServers, metric) {
				t.Errorf("%s looks at %s, which no value is read from", p.Alert, metric)
			}
		}
	}
	for _, r := range ours {
		if !slices.ContainsFunc(theirs, func(p prometheusRule) bool { return p.Alert == r.Name }) {
			t.Errorf("%s is not in alerts.yml", r.Name)
		}
	}
}

// story is one of the tests that promtool runs.
type story struct {
	Name     string
	Interval string
	Input    []struct{ Series, Values string } `yaml:"input_series"`
	Tests    []struct {
		Expr string
		At   string                    `yaml:"eval_time"`
		Want []struct{ Value float64 } `yaml:"exp_samples"`
	} `yaml:"promql_expr_test"`
}

// The stories that promtool runs of the alerts for Prometheus have the same end with the rules that
// are built in.
func TestRulesFireAsThoseOfPrometheus(t *testing.T) {
	ran := 0
	for _, name := range []string{"alerts_test.yml", "alerts_weeks_test.yml"} {
		var file struct{ Tests []story }
		decode(t, name, &file)
		for _, s := range file.Tests {
			if slices.Contains(ofAllServersStories, s.Name) {
				continue
			}
			for _, test := range s.Tests {
				alert := regexp.MustCompile(`alertname="(\w+)"`).FindStringSubmatch(test.Expr)
				if alert == nil || !strings.Contains(test.Expr, `alertstate="firing"`) || noRule[alert[1]] != "" {
					continue
				}
				ran++
				at := span(t, test.At)
				if got := s.run(t, alert[1], at); got != int(test.Want[0].Value) {
					t.Errorf("%s: %d alerts of %s fire after %s, want %v", s.Name, got, alert[1], at,
						test.Want[0].Value)
				}
			}
		}
	}
	if ran < 30 {
		t.Fatalf("only %d stories were run", ran)
	}
}

func span(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// run returns how many alerts of a rule fire at the end.
func (s *story) run(t *testing.T, rule string, end time.Duration) (firing int) {
	t.Helper()
	step := span(t, s.Interval)
	var all []played
	for _, input := range s.Input {
		all = append(all, play(t, input.Series, input.Values))
	}
	at := time.Duration(0)
	now := func() time.Time { return time.Unix(0, 0).Add(at) }
	c := New(Options{Rules: BuiltIn(), ResolveAfter: -1, Now: now,
		History: weeksOf{all, step}, Metrics: func() (series []Series, _ error) {
			for _, p := range all {
				if n := int(at / step); n < len(p.values) {
					series = append(series, Series{p.metric, p.labels, p.values[n]})
				}
			}
			return series, nil
		}})
	for ; at <= end; at += step {
		c.recall(t.Context())
		c.look()
		if at == 0 { // for Prometheus, what a counter shows first is no growth
			clear(c.state.Past.Grown)
		}
	}
	for _, a := range c.state.Alerts {
		if a.Rule == rule && a.fires() {
			firing++
		}
	}
	return firing
}

// played is a series with a value for each step.
type played struct {
	metric string
	labels map[string]string
	values []float64
}

var (
	pairForm  = regexp.MustCompile(`(\w+)="([^"]*)"`)
	valueForm = regexp.MustCompile(`^(-?[0-9.e]+)(?:([+-][0-9.e]+))?(?:x([0-9]+))?$`)
)

// play reads the notation of promtool.
func play(t *testing.T, series, values string) played {
	t.Helper()
	metric, rest, _ := strings.Cut(series, "{")
	p := played{metric: metric, labels: map[string]string{}}
	for _, pair := range pairForm.FindAllStringSubmatch(rest, -1) {
		p.labels[pair[1]] = pair[2]
	}
	for text := range strings.FieldsSeq(values) {
		parts := valueForm.FindStringSubmatch(text)
		if parts == nil {
			t.Fatalf("can't read %q of %s", text, series)
		}
		first, by, n := number(parts[1]), number(parts[2]), int(number(parts[3]))
		for i := range n + 1 {
			p.values = append(p.values, first+float64(i)*by)
		}
	}
	return p
}

func number(text string) float64 {
	n, _ := strconv.ParseFloat(text, 64)
	return n
}

// weeksOf is a history made of series.
type weeksOf struct {
	all  []played
	step time.Duration
}

func (p weeksOf) Points(_ context.Context, r rollup.Resolution, since,
	until pillarbox.Timestamp) ([]rollup.Point, error) {
	if r != rollup.Hour {
		return nil, fmt.Errorf("resolution %s", r)
	}
	var points []rollup.Point
	for at := since.Time(); at.Before(until.Time()); at = at.Add(time.Hour) {
		for _, s := range p.all {
			from := int(at.Sub(time.Unix(0, 0)) / p.step)
			to := from + int(time.Hour/p.step)
			if s.metric == "pillarbox_queue_accepted_events_total" && from >= 0 && to < len(s.values) {
				points = append(points, rollup.Point{At: pillarbox.TimestampOf(at),
					Values: map[string]float64{accepted: s.values[to] - s.values[from]}})
			}
		}
	}
	return points, nil
}
