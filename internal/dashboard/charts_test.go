package dashboard

import (
	"testing"
	"time"

	"pillarbox"
)

// growing is a history of a queue that grows by so many bytes a minute.
func growing(minutes int, bytes float64) *history {
	h := &history{}
	for i := range minutes {
		h.Points = append(h.Points, struct {
			At     pillarbox.Timestamp `json:"at"`
			Values map[string]float64  `json:"values"`
		}{pillarbox.Timestamp(i) * 60_000_000, map[string]float64{queueBytes: 1000 + float64(i)*bytes}})
	}
	return h
}

func TestTimeToFull(t *testing.T) {
	for _, c := range []struct {
		h        *history
		maxBytes int64
		want     time.Duration
	}{
		{growing(31, 10), 1300 + 600, time.Hour}, {growing(31, 0), 2000, 0}, {growing(31, -5), 2000, 0}, {growing(31, 10), 0, 0},
		{growing(1, 10), 2000, 0}, {growing(90, 10), 1890 + 10, time.Minute}, {growing(31, 1e-9), 1 << 50, fullNever}, {&history{}, 5, 0},
	} {
		if got := c.h.fullIn(c.maxBytes).Round(time.Second); got != c.want {
			t.Errorf("%d points, %d bytes: full in %s, want %s", len(c.h.Points), c.maxBytes, got, c.want)
		}
	}
}

func TestAmountsHaveTheirUnit(t *testing.T) {
	for _, c := range []struct {
		n    float64
		unit string
		want string
	}{
		{0.000464, unitSeconds, "464 µs"}, {0.0236, unitSeconds, "23 ms"}, {4630, unitSeconds, "1 h 17 min"}, {5400064, unitBytes, "5.1 MiB"},
		{5950, unitRate, "5\u202f950 a minute"}, {12, unitCount, "12"},
	} {
		if got := amount(c.n, c.unit, "minute"); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.n, c.unit, got, c.want)
		}
	}
}
