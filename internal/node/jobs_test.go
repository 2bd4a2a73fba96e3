package node_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/node"
	"pillarbox/internal/replay"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/prom"
	"pillarbox/internal/telemetry/tracetest"
	"pillarbox/internal/vfs"
)

// roomy is a disk with some room.
type roomy struct{}

func (roomy) Usage() (vfs.Usage, error)        { return vfs.Usage{Free: 1 << 20}, nil }
func (roomy) Close() error                     { return nil }
func (roomy) Hanging() (string, time.Duration) { return "", 0 }

// TestWhatJobsDoIsCounted, by what became of it, and is in the traces of the events.
func TestWhatJobsDoIsCounted(t *testing.T) {
	registry, recorder := prometheus.NewRegistry(), &tracetest.Recorder{}
	with, sink := engines(memory.NewQueue(nil)), memory.NewSink()
	events := enginetest.Events(3, 7)
	sink.Fault = func(written []*pillarbox.Event) error {
		for i, event := range written {
			if event.RequestID == events[2].RequestID {
				return &pillarbox.BatchError{Items: []pillarbox.ItemError{{Index: i, Err: errors.New("no")}}}
			}
		}
		return nil
	}
	name := settings().Destinations[0].Name
	with.Disk, with.Sinks = roomy{}, map[string]pillarbox.Sink{name: sink}
	n, err := node.Open(t.Context(), node.Options{Engines: with, Settings: settings(), Metrics: telemetry.NewMetrics(prom.Keep(registry, prom.Options{})),
		Traces: telemetry.NewTraces(recorder, telemetry.TraceOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for i, event := range events {
		event.Traceparent = fmt.Sprintf("00-%032x-%016x-01", i+1, i+1)
		letter := &pillarbox.DeadLetter{Version: pillarbox.DeadLetterVersion, Destination: name, Reason: "x", DeadAt: event.Timestamp, Event: event}
		if err := pillarbox.PutDeadLetter(t.Context(), with.DeadLetters, letter); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.RunReplay(t.Context(), replay.Request{Filter: pillarbox.DeadLetterFilter{Destination: name}}); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`
# HELP pillarbox_job_events_total %s
# TYPE pillarbox_job_events_total counter
pillarbox_job_events_total{destination="%[2]s",kind="replay",outcome="refused"} 1
pillarbox_job_events_total{destination="%[2]s",kind="replay",outcome="stored"} 2
# HELP pillarbox_disk_free_bytes %[3]s
# TYPE pillarbox_disk_free_bytes gauge
pillarbox_disk_free_bytes 1.048576e+06
# HELP pillarbox_jobs_running %[4]s
# TYPE pillarbox_jobs_running gauge
pillarbox_jobs_running{kind="backfill"} 0
pillarbox_jobs_running{kind="purge"} 0
pillarbox_jobs_running{kind="replay"} 0
`, helpOf("pillarbox_job_events_total"), name, helpOf("pillarbox_disk_free_bytes"), helpOf("pillarbox_jobs_running"))
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "pillarbox_job_events_total", "pillarbox_disk_free_bytes",
		"pillarbox_jobs_running"); err != nil {
		t.Error(err)
	}
	if spans := recorder.Ended()["replay "+name]; len(spans) != 3 || spans[0].Parent != events[0].Traceparent {
		t.Errorf("the spans are %v", recorder.Names())
	}
}

func helpOf(name string) string {
	for _, metric := range telemetry.Table() {
		if metric.Name == name {
			return metric.Help
		}
	}
	return ""
}
