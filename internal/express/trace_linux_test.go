package express

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/otlp"
)

// plainPost is a request that begins no trace, with these lines in its head.
func plainPost(lines string) []byte {
	return []byte("POST /app HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n" + lines +
		"Content-Length: 200\r\n\r\n" + strings.Repeat("x", 200))
}

// unrecorded makes spans for nobody, and must not be asked to.
type unrecorded struct{ t testing.TB }

func (u unrecorded) Start(start telemetry.SpanStart) telemetry.MadeSpan {
	u.t.Error("a span was made:", start.Name)
	return ended{}
}

type ended struct{}

func (ended) Traceparent() string   { return "" }
func (ended) Set(...slog.Attr)      {}
func (ended) End(time.Time, string) {}

// exchange sends a request, takes one turn, and reads the answer.
func (b *bench) exchange(request, answers []byte) {
	if _, err := unix.Write(b.client, request); err != nil {
		b.t.Fatal(err)
	}
	if err := b.loop.turn(); err != nil {
		b.t.Fatal(err)
	}
	if n, err := unix.Read(b.client, answers); n <= 0 {
		b.t.Fatal(err)
	}
}

// TestWhatIsNotRecordedAllocatesNothing more than without any traces: whether it is recorded is
// decided from the bytes of its head.
func TestWhatIsNotRecordedAllocatesNothing(t *testing.T) {
	const parent = "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n"
	allocated := func(traces *telemetry.Traces) float64 {
		b := openBench(t)
		b.copies, b.loop.opts.Traces = false, traces
		b.connect()
		defer b.disconnect()
		answers := make([]byte, 64<<10)
		return testing.AllocsPerRun(200, func() {
			b.exchange(plainPost(""), answers)
			b.exchange(plainPost(parent), answers)
		})
	}
	off := allocated(nil)
	if on := allocated(telemetry.NewTraces(unrecorded{t}, telemetry.TraceOptions{})); on > off {
		t.Errorf("two requests allocate %v times, and %v times without traces", on, off)
	}
}

// BenchmarkTurn is a turn of one request without its append: with no traces, with traces of which it
// is none, where one in a hundred is recorded, and where each is.
func BenchmarkTurn(b *testing.B) {
	spans, err := otlp.OpenSpans(b.Context(), otlp.Target{Endpoint: "http://127.0.0.1:9", Protocol: otlp.HTTP}, otlp.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		traces *telemetry.Traces
	}{
		{"off", nil},
		{"none recorded", telemetry.NewTraces(spans, telemetry.TraceOptions{})},
		{"1 in 100", telemetry.NewTraces(spans, telemetry.TraceOptions{Ratio: 0.01})},
		{"all", telemetry.NewTraces(spans, telemetry.TraceOptions{Ratio: 1})},
	} {
		b.Run(c.name, func(b *testing.B) {
			bench := openBench(b)
			bench.copies, bench.loop.opts.Traces = false, c.traces
			bench.connect()
			defer bench.disconnect()
			request, answers := plainPost(""), make([]byte, 64<<10)
			b.ReportAllocs()
			b.SetBytes(int64(len(request)))
			for b.Loop() {
				bench.exchange(request, answers)
			}
		})
	}
}
