package telemetry_test

import (
	"fmt"
	"strings"
	"testing"

	"pillarbox/internal/telemetry"
)

const docHead = `# Metrics

Generated from the table in ` + "`internal/telemetry`" + ` by ` + "`go test ./internal/telemetry -update`" + `; a test fails while it is stale.

The admin listener serves these at ` + "`/metrics`" + ` in the Prometheus text format. Units are seconds and bytes, counters end
in ` + "`_total`" + `, and a histogram ` + "`x`" + ` comes as ` + "`x_bucket`, `x_sum` and `x_count`" + `. Label values come from closed sets: routes,
results, and the names of sources and destinations in the configuration. No metric carries an id or anything that a
client sent.
`

// docs/METRICS.md lists every metric, as it is declared.
func TestDocIsFresh(t *testing.T) {
	parts := []struct{ prefix, title string }{
		{"pillarbox_ingest_", "Accepting"},
		{"pillarbox_http_", "HTTP"},
		{"pillarbox_seglog_", "The embedded log"},
		{"pillarbox_deliver_", "Delivering"},
		{"pillarbox_", "State, as it is at the scrape"},
	}
	var doc strings.Builder
	doc.WriteString(docHead)
	rest := telemetry.Table()
	for _, part := range parts {
		fmt.Fprintf(&doc, "\n## %s\n\n| name | type | labels | meaning |\n|---|---|---|---|\n",
			part.title)
		for len(rest) > 0 && strings.HasPrefix(rest[0].Name, part.prefix) {
			metric := rest[0]
			rest = rest[1:]
			fmt.Fprintf(&doc, "| `%s` | %s | %s | %s |\n", metric.Name, metric.Type, labelList(metric), metric.Help)
		}
	}
	if len(rest) > 0 {
		t.Errorf("%s is in no part of the document", rest[0].Name)
	}
	golden(t, "../../docs/METRICS.md", doc.String())
}

func labelList(metric telemetry.Metric) string {
	if len(metric.Labels) == 0 {
		return ""
	}
	return "`" + strings.Join(metric.Labels, "`, `") + "`"
}
