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
	Last   string // in its unit
	last   float64
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
	curves     []string // what the history calls them
	labels     []string // what people do
}{
	{"Accepted, and what became of events", unitRate, []string{"accepted", "stored", "dead", "skipped"}, nil},
	{"Refused requests", unitRate, []string{"refused"}, nil},
	{"Pending events", unitCount, []string{"pending"}, nil},
	{"Age of the oldest pending event", unitSeconds, []string{"oldest_seconds"}, []string{"oldest"}},
	{"Queue", unitBytes, []string{queueBytes}, []string{"in use"}},
	{"Time to accept", unitSeconds, []string{"accept_p50_seconds", "accept_p95_seconds", "accept_p99_seconds"}, quantiles},
	{"Time from accepting to storing", unitSeconds, []string{"lag_p50_seconds", "lag_p95_seconds", "lag_p99_seconds"}, quantiles},
}

const queueBytes = "queue_bytes"

var quantiles = []string{"p50", "p95", "p99"}

// The units of charts.
const (
	unitRate    = "a point" // of a counter: what was added in a minute, or in an hour
	unitCount   = ""
	unitSeconds = "seconds"
	unitBytes   = "bytes"
)

// amount writes a value in its unit.
func amount(n float64, unit, resolution string) string {
	switch unit {
	case unitSeconds:
		return seconds(n)
	case unitBytes:
		return bytesOf(int64(n))
	case unitRate:
		return number(n) + " a " + resolution
	}
	return number(n)
}

func seconds(n float64) string {
	switch d := time.Duration(n * float64(time.Second)); {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return span(d)
	}
}

// charts draws what the server has kept of the past, and nothing where it keeps nothing.
func (d *Dashboard) charts(v *view, span *string, now time.Time) ([]chart, *history, error) {
	chosen, known := spans[*span]
	if !known {
		*span, chosen = "hour", spans["hour"]
	}
	h := &history{}
	since := pillarbox.TimestampOf(now.Add(-chosen.length))
	err := d.ask(v.Request, "/api/v1/history"+query("resolution", chosen.resolution, "since", since.String()), h)
	var problem *apiError
	if errors.As(err, &problem) && problem.Status == http.StatusNotFound {
		return nil, h, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var charts []chart
	for _, s := range series {
		c := chart{Name: s.name, From: since, Until: pillarbox.TimestampOf(now)}
		top := 0.0
		for _, p := range h.Points {
			for _, name := range s.curves {
				top = max(top, p.Values[name])
			}
		}
		for i, name := range s.curves {
			drawn := h.curve(name, fmt.Sprintf("curve-%d", i), since, now, top)
			drawn.Last = amount(drawn.last, s.unit, chosen.resolution)
			if s.labels != nil {
				drawn.Name = s.labels[i]
			}
			c.Curves = append(c.Curves, drawn)
		}
		c.Top = amount(top, s.unit, chosen.resolution)
		charts = append(charts, c)
	}
	return charts, h, nil
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
	return curve{Name: name, Class: class, Points: points.String(), last: last}
}

// fullIn is when the queue is full, if it goes on as in the last half an hour; 0 where it does not grow.
func (h *history) fullIn(maxBytes int64) time.Duration {
	const look = 30
	if len(h.Points) < 3 || maxBytes <= 0 {
		return 0
	}
	first, last := h.Points[max(0, len(h.Points)-look)], h.Points[len(h.Points)-1]
	grown, passed := last.Values[queueBytes]-first.Values[queueBytes], last.At.Time().Sub(first.At.Time())
	left := float64(maxBytes) - last.Values[queueBytes]
	if grown <= 0 || passed <= 0 || left < 0 {
		return 0
	}
	return time.Duration(min(left/grown*float64(passed), float64(fullNever)))
}

// fullSoon is when somebody should know, and fullNever when nobody has to.
const (
	fullSoon  = 4 * time.Hour
	fullNever = 365 * 24 * time.Hour
)

func number(n float64) string {
	if n == math.Trunc(n) && math.Abs(n) < 1e15 {
		return count(int64(n))
	}
	return fmt.Sprintf("%.3g", n)
}
