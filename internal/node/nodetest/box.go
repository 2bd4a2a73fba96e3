// Package nodetest opens nodes on engines in memory, and holds what handlers answer against the
// document of both listeners. It is for tests.
package nodetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/clock"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/node"
	"pillarbox/internal/quarantine"
	"pillarbox/internal/source"
	"pillarbox/internal/vfs/faultfs"
)

// The destination of a Box that can be read back, and another one that can't, which takes no source
// but "archived".
const (
	Destination = "events"
	Archive     = "archive"
)

// Refused is what an event has in its body that its destination refuses.
const Refused = "refuse"

// MaxBody is that of the source "app" at /app. It is small, so that going over it is cheap.
const MaxBody = 1000

// Box is a node on engines in memory, which does not deliver before Start.
type Box struct {
	T       *testing.T
	Node    *node.Node
	Queue   *memory.Queue
	Sink    *memory.Sink
	Letters *memory.DeadLetters
	Keys    *apikey.Store

	Quarantine *quarantine.Store
}

// archive is a sink that can't be read back.
type archive struct {
	pillarbox.SinkDefaults
	*memory.Sink
}

func (a archive) Traits() pillarbox.SinkTraits      { return a.SinkDefaults.Traits() }
func (a archive) Identity() pillarbox.StoreIdentity { return a.SinkDefaults.Identity() }
func (a archive) Check(ctx context.Context) error   { return a.SinkDefaults.Check(ctx) }
func (a archive) Remove(ctx context.Context, keys []pillarbox.Key) error {
	return a.SinkDefaults.Remove(ctx, keys)
}
func (a archive) Purges() []pillarbox.Purge { return a.SinkDefaults.Purges() }
func (a archive) BeginPurge(ctx context.Context,
	filter pillarbox.PurgeFilter) (pillarbox.PurgeStart, error) {
	return a.SinkDefaults.BeginPurge(ctx, filter)
}
func (a archive) Purge(ctx context.Context,
	step pillarbox.PurgeStep) (pillarbox.PurgeResult, error) {
	return a.SinkDefaults.Purge(ctx, step)
}
func (a archive) Count(ctx context.Context) (uint64, error) { return a.SinkDefaults.Count(ctx) }
func (a archive) Find(ctx context.Context, id string) (*pillarbox.Event, error) {
	return a.SinkDefaults.Find(ctx, id)
}
func (a archive) List(ctx context.Context,
	filter pillarbox.EventFilter) ([]*pillarbox.Event, error) {
	return a.SinkDefaults.List(ctx, filter)
}
func (a archive) Missing(ctx context.Context, keys []pillarbox.Key) ([]pillarbox.Key, error) {
	return a.SinkDefaults.Missing(ctx, keys)
}
func (a archive) StoredAt(ctx context.Context, key pillarbox.Key) (pillarbox.Timestamp, error) {
	return a.SinkDefaults.StoredAt(ctx, key)
}

// Open opens a Box. It is closed when the test ends.
func Open(t *testing.T) *Box {
	t.Helper()
	b := &Box{T: t, Queue: memory.NewQueue(nil), Sink: memory.NewSink(),
		Letters: memory.NewDeadLetters()}
	b.Sink.Fault = refuse
	var err error
	if b.Keys, err = apikey.OpenStore(faultfs.New(faultfs.Options{}), apikey.Options{}); err != nil {
		t.Fatal(err)
	}
	if b.Quarantine, err = quarantine.Open(faultfs.New(faultfs.Options{}), quarantine.Options{}); err != nil {
		t.Fatal(err)
	}
	b.Node, err = node.Open(t.Context(), node.Options{
		Engines: node.Engines{
			Queue: b.Queue, DeadLetters: b.Letters, Clock: clock.Open(nil, "", clock.Options{}),
			APIKeys: b.Keys, Quarantine: b.Quarantine,
			Sinks: map[string]pillarbox.Sink{Destination: b.Sink, Archive: archive{Sink: memory.NewSink()}},
		},
		Settings: node.Settings{
			Sources: []source.Settings{{Name: "app", Path: "/app", MaxBody: MaxBody}},
			Destinations: []destination.Settings{
				{Name: Destination, URL: "memory:"},
				{Name: Archive, URL: "memory:archive", Rule: &pillarbox.Rule{Sources: []string{"archived"}}},
			},
		},
		Roles: node.Roles(), Version: "1.2.3", Data: "./data", QueueURL: "memory:",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Node.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// refuse refuses what says so.
func refuse(events []*pillarbox.Event) error {
	refused := &pillarbox.BatchError{}
	for i, event := range events {
		if bytes.Contains(event.Body, []byte(Refused)) {
			refused.Items = append(refused.Items,
				pillarbox.ItemError{Index: i, Err: errors.New("refused again")})
		}
	}
	if len(refused.Items) == 0 {
		return nil
	}
	return refused
}

// Start delivers until the test ends.
func (b *Box) Start() { b.Node.Start(context.Background()) }

// Queued returns what the queue holds, in order.
func (b *Box) Queued() []*pillarbox.Event {
	b.T.Helper()
	var events []*pillarbox.Event
	err := b.Queue.Scan(context.Background(), Destination,
		func(event *pillarbox.Event, _ pillarbox.Standing) error {
			copied := *event
			copied.Body = bytes.Clone(event.Body)
			events = append(events, &copied)
			return nil
		})
	if err != nil {
		b.T.Fatal(err)
	}
	return events
}

// Store puts n events into the destination, one second apart.
func (b *Box) Store(n int) []*pillarbox.Event {
	b.T.Helper()
	events := Events(n)
	if err := b.Sink.Write(context.Background(), events); err != nil {
		b.T.Fatal(err)
	}
	return events
}

// FirstTime is when the first of Events came.
var FirstTime = time.Date(2026, 11, 23, 14, 12, 0, 123456000, time.UTC)

// Events makes n events, one second apart.
func Events(n int) []*pillarbox.Event {
	events := make([]*pillarbox.Event, n)
	for i := range events {
		events[i] = &pillarbox.Event{
			Timestamp: pillarbox.TimestampOf(
				FirstTime.Add(time.Duration(i) * time.Second)), RequestID: fmt.Sprintf("id-%03d", i),
			Source: []string{"app", "orders"}[i%2], Method: "POST", Path: "/app", ContentType: "text/plain",
			Header: pillarbox.Header{{Name: "Content-Type", Value: "text/plain"}}, Body: fmt.Appendf(nil,
				"<body %d>", i),
		}
	}
	return events
}

// DeadLetter makes dead letters of n events, one a day.
func (b *Box) DeadLetter(n int) []*pillarbox.DeadLetter {
	b.T.Helper()
	letters := make([]*pillarbox.DeadLetter, n)
	for i, event := range Events(n) {
		at := event.Timestamp + pillarbox.Timestamp(time.Duration(i)*24*time.Hour/time.Microsecond)
		letters[i] = &pillarbox.DeadLetter{
			Version: pillarbox.DeadLetterVersion, Destination: Destination, Reason: fmt.Sprintf("reason %d",
				i), DeadAt: at, Event: event,
			Attempts: []pillarbox.Attempt{{At: at, Class: pillarbox.ClassRefused,
				Error: "constraint"}}, Replay: "pillarbox dead replay",
		}
		if err := pillarbox.PutDeadLetter(context.Background(), b.Letters, letters[i]); err != nil {
			b.T.Fatal(err)
		}
	}
	return letters
}
