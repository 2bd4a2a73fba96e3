package lambda_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func jsonLog(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

// units are those that CloudWatch knows and that we use.
var units = []string{"Count", "Bytes", "Milliseconds"}

// checkMetrics holds lines to what CloudWatch asks of the embedded metric format, and returns them.
func checkMetrics(t testing.TB, text string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(text) {
		var form struct {
			AWS struct {
				Timestamp         int64
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name, Unit string }
				}
			} `json:"_aws"`
		}
		var values map[string]any
		if err := json.Unmarshal([]byte(line), &form); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if err := json.Unmarshal([]byte(line), &values); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if form.AWS.Timestamp <= 0 || len(form.AWS.CloudWatchMetrics) != 1 {
			t.Fatalf("%s: no time, or not one directive", line)
		}
		directive := form.AWS.CloudWatchMetrics[0]
		if directive.Namespace != "Pillarbox" || len(directive.Dimensions) == 0 ||
			len(directive.Metrics) == 0 || len(directive.Metrics) > 100 {
			t.Errorf("%s: namespace, dimensions or metrics are missing, or too many", line)
		}
		for _, set := range directive.Dimensions {
			for _, name := range set {
				if value, ok := values[name].(string); !ok || value == "" || len(value) > 1024 {
					t.Errorf("%s: the dimension %s has no value", line, name)
				}
			}
		}
		for _, metric := range directive.Metrics {
			if !slices.Contains(units, metric.Unit) || !isNumeric(values[metric.Name]) {
				t.Errorf("%s: the metric %s has the unit %s and the value %v", line, metric.Name,
					metric.Unit, values[metric.Name])
			}
		}
		all = append(all, values)
	}
	return all
}

func isNumeric(value any) bool {
	if list, ok := value.([]any); ok {
		return len(list) > 0 && len(list) <= 100 &&
			!slices.ContainsFunc(list, func(v any) bool { return !isNumeric(v) })
	}
	_, ok := value.(float64)
	return ok
}

// metricsOf returns the lines, of which there is one for each invocation.
func metricsOf(t testing.TB, text string) []map[string]any {
	t.Helper()
	all := checkMetrics(t, text)
	if len(all) == 0 {
		t.Fatal("no line of metrics")
	}
	return all
}
