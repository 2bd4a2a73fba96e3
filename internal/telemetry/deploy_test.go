package telemetry_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"pillarbox/internal/telemetry"
)

// expressions are what is asked of Prometheus by what deploy/ ships, by where it stands.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	text, err := os.ReadFile("../../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Record, Expr string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			found["alert "+rule.Alert+rule.Record] = rule.Expr
			if rule.Alert != "" {
				checkAlert(t, rule.Alert, rule.Labels, rule.Annotations)
			}
		}
	}
	dashboards, err := filepath.Glob("../../deploy/grafana/*.json")
	if err != nil || len(dashboards) == 0 {
		t.Fatalf("%d dashboards of Grafana, %v", len(dashboards), err)
	}
	for _, path := range dashboards {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var dashboard struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(text, &dashboard); err != nil {
			t.Fatal(err)
		}
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				found["panel "+panel.Title+": "+target.Expr] = target.Expr
			}
		}
	}
	return found
}

// checkAlert holds an alert to a priority, and to a runbook that is there.
func checkAlert(t *testing.T, name string, labels, annotations map[string]string) {
	t.Helper()
	if severity := labels["severity"]; severity != "high" && severity != "low" {
		t.Errorf("%s has the severity %q", name, severity)
	}
	file, anchor, found := strings.Cut(annotations["runbook"], "#")
	text, err := os.ReadFile("../../" + file)
	if err != nil || !found {
		t.Errorf("%s has no runbook: %v", name, err)
		return
	}
	for line := range strings.Lines(string(text)) {
		if title := strings.TrimLeft(strings.TrimSpace(line), "# "); strings.HasPrefix(line, "#") &&
			strings.ReplaceAll(strings.ToLower(title), " ", "-") == anchor {
			return
		}
	}
	t.Errorf("%s: %s has no section %q", name, file, anchor)
}

var (
	metricNames = regexp.MustCompile(`\bpillarbox_[a-z0-9_]+`)
	selectors   = regexp.MustCompile(`(pillarbox_[a-z0-9_]+)\{([^}]*)\}`)
	labelNames  = regexp.MustCompile(`([a-z_]+) *(?:=~|!~|!=|=)`)
	grouped     = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// TestWhatDeployAsksForExists: alerts and dashboards name metrics and labels that the program has.
func TestWhatDeployAsksForExists(t *testing.T) {
	labels := map[string][]string{}
	for _, metric := range telemetry.Table() {
		names := []string{metric.Name}
		if metric.Type == telemetry.TypeHistogram {
			names = []string{metric.Name + "_bucket", metric.Name + "_sum", metric.Name + "_count"}
		}
		for _, name := range names {
			labels[name] = append([]string{"instance", "job"}, metric.Labels...)
			if strings.HasSuffix(name, "_bucket") {
				labels[name] = append(labels[name], "le")
			}
		}
	}
	all := expressions(t)
	if len(all) < 30 {
		t.Fatalf("%d expressions are few", len(all))
	}
	for where, expr := range all {
		used := metricNames.FindAllString(expr, -1)
		known := []string{}
		for _, name := range used {
			if labels[name] == nil {
				t.Errorf("%s: there is no metric %s", where, name)
			}
			known = append(known, labels[name]...)
		}
		for _, selector := range selectors.FindAllStringSubmatch(expr, -1) {
			for _, label := range labelNames.FindAllStringSubmatch(selector[2], -1) {
				if !slices.Contains(labels[selector[1]], label[1]) {
					t.Errorf("%s: %s has no label %s", where, selector[1], label[1])
				}
			}
		}
		for _, by := range grouped.FindAllStringSubmatch(expr, -1) {
			for _, label := range strings.Split(by[1], ",") {
				if label = strings.TrimSpace(label); len(used) > 0 && !slices.Contains(known, label) {
					t.Errorf("%s: nothing there has the label %s", where, label)
				}
			}
		}
	}
}
