package dashboard

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"pillarbox"
)

// chart is one curve or several, of the same unit, over a span of time.
type chart struct {
	Name   string
	Unit   string
	Top    string // what the upper edge is
	From   pillarbox.Timestamp
	Until  pillarbox.Timestamp
	Curves []curve
}

// curve is the points of a polyline, in a box of chartWidth by chartHeight.
type curve struct {
	Name   string
	Class  string
	Points string
	Last   string
}

const (
	chartWidth  = 300
	chartHeight = 60
)

// spans are the spans of charts: what is asked for, and how far apart points are.
var spans = map[string]struct {
	length     time.Duration
	resolution string
}{
	"hour": {time.Hour, "minute"}, "day": {24 * time.Hour, "minute"}, "week": {7 * 24 * time.Hour, "hour"},
}

// history is what pages show of /api/v1/history.
type history struct {
	Points []struct {
		At     pillarbox.Timestamp `json:"at"`
		Values map[string]float64  `json:"values"`
	} `json:"points"`
}

// series are the charts, by what the history calls them.
var series = []struct {
	name, unit string
	curves     []string
}{
	{"Accepted, and what became of events", "events", []string{"accepted", "stored", "dead", "skipped"}},
	{"Refused requests", "requests", []string{"refused"}},
	{"Pending events", "events", []string{"pending"}},
	{"Age of the oldest pending event", "seconds", []string{"oldest_seconds"}},
	{"Queue", "bytes", []string{"queue_bytes"}},
	{"Time to accept", "seconds", []string{"accept_p50_seconds", "accept_p95_seconds", "accept_p99_seconds"}},
	{"Time from accepting to storing", "seconds", []string{"lag_p50_seconds", "lag_p95_seconds", "lag_p99_seconds"}},
}

// charts draws what the server has kept of the past, and nothing where it keeps nothing.
func (d *Dashboard) charts(v *view, span *string, now time.Time) ([]chart, error) {
	chosen, known := spans[*span]
	if !known {
		*span, chosen = "hour", spans["hour"]
	}
	if len(series) == 0 {
		return nil, nil
	}
	var h history
	since := pillarbox.TimestampOf(now.Add(-chosen.length))
	err := d.ask(v.Request, "/api/v1/history"+query("resolution", chosen.resolution, "since", since.String()), &h)
	var problem *apiError
	if errors.As(err, &problem) && problem.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var charts []chart
	for _, s := range series {
		c := chart{Name: s.name, Unit: s.unit, From: since, Until: pillarbox.TimestampOf(now)}
		top := 0.0
		for _, p := range h.Points {
			for _, name := range s.curves {
				top = max(top, p.Values[name])
			}
		}
		for i, name := range s.curves {
			c.Curves = append(c.Curves, h.curve(name, fmt.Sprintf("curve-%d", i), since, now, top))
		}
		c.Top = number(top)
		charts = append(charts, c)
	}
	return charts, nil
}

func (h *history) curve(name, class string, since pillarbox.Timestamp, now time.Time, top float64) curve {
	var points strings.Builder
	last := 0.0
	width := float64(pillarbox.TimestampOf(now) - since)
	for _, p := range h.Points {
		x, y := float64(p.At-since)/width*chartWidth, float64(chartHeight)
		if last = p.Values[name]; top > 0 {
			y = chartHeight - last/top*(chartHeight-2) - 1
		}
		if x >= 0 && x <= chartWidth && !math.IsNaN(y) {
			fmt.Fprintf(&points, "%.1f,%.1f ", x, y)
		}
	}
	return curve{Name: name, Class: class, Points: points.String(), Last: number(last)}
}

func number(n float64) string {
	if n == math.Trunc(n) && math.Abs(n) < 1e15 {
		return count(int64(n))
	}
	return fmt.Sprintf("%.3g", n)
}
