package filter_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/benchmark/turns"
	"pillarbox/internal/filter"
)

// invoice is an event of a usual size.
func invoice() *pillarbox.Event {
	body := []byte(`{"id":"evt_1Nf","type":"invoice.paid","created":1700000000,"livemode":true,"data":{"object":{"id":"in_1","amount":1250,"currency":"eur",
"customer":{"id":"cus_9","email":"a@example.org"}}},"request":{"id":"req_1","idempotency_key":"k-123456789"},"pending_webhooks":1}`)
	return &pillarbox.Event{Source: "stripe", Body: body, Header: pillarbox.Header{{Name: "Content-Type", Value: "application/json"}}}
}

// BenchmarkTakes measures what a decision costs.
func BenchmarkTakes(b *testing.B) {
	event := invoice()
	for _, expression := range []string{`json.type.startsWith("invoice.")`, `source == "stripe" && json.data.object.amount > 1000 && json.livemode`,
		`headers["Content-Type"] == "application/json"`} {
		f := compiled(b, expression)
		b.Run(expression, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if taken, err := f.Takes(event); err != nil || !taken {
					b.Fatal(taken, err)
				}
			}
		})
	}
}

func compiled(b *testing.B, expression string) *filter.Filter {
	f, err := filter.Compile(expression)
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// BenchmarkFilter compares a filter with the same rule written in Go: encoding/json that reads one
// member of the body into a struct, and a comparison. Both only compute, and are measured by that.
func BenchmarkFilter(b *testing.B) {
	const events = 20_000
	event, f := invoice(), compiled(b, `json.type.startsWith("invoice.")`)
	side := func(takes func() (bool, error)) turns.Side {
		return func(int) (int, time.Duration) {
			start := turns.ProcessorTime()
			for range events {
				if taken, err := takes(); err != nil || !taken {
					b.Fatal(taken, err)
				}
			}
			return events, turns.ProcessorTime() - start
		}
	}
	turns.Measure(b, side(func() (bool, error) { return f.Takes(event) }), side(func() (bool, error) {
		var body struct{ Type string }
		err := json.Unmarshal(event.Body, &body)
		return strings.HasPrefix(body.Type, "invoice."), err
	}))
}
