package alert

import (
	"fmt"
	"testing"
)

// BenchmarkLook is one look at all rules, with a few destinations and with many.
func BenchmarkLook(b *testing.B) {
	for _, destinations := range []int{2, 100} {
		b.Run(fmt.Sprintf("destinations=%d", destinations), func(b *testing.B) {
			var all []Series
			for i := range destinations {
				labels := map[string]string{"destination": fmt.Sprint("d", i)}
				for _, metric := range []string{"pillarbox_queue_pending_events", "pillarbox_deliver_paused",
					"pillarbox_deliver_breaker_open", "pillarbox_queue_oldest_event_age_seconds"} {
					all = append(all, Series{metric, labels, 0})
				}
				for _, outcome := range []string{"stored", "dead", "retry", "released", "skipped", "held"} {
					all = append(all, Series{outcomes, map[string]string{"destination": fmt.Sprint("d", i), "outcome": outcome}, 7})
				}
			}
			c := New(Options{Rules: BuiltIn(), Metrics: func() ([]Series, error) { return all, nil }})
			b.ReportAllocs()
			for b.Loop() {
				c.look()
			}
		})
	}
}
