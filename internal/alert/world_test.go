package alert_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/internal/alert"
	"pillarbox/internal/vfs/faultfs"
)

// world is a server whose measures a test sets, and whose alerts go to receivers in memory.
type world struct {
	t    *testing.T
	disk *faultfs.FS
	opts alert.Options

	mu      sync.Mutex
	numbers map[string]float64 // by metric{label=value}
	broken  error              // of the metrics

	center *alert.Center
	stop   context.CancelFunc
	ended  chan struct{}
	log    *strings.Builder
}

// newWorld is one in which nothing is wrong, and that does not run yet.
func newWorld(t *testing.T, receivers ...*inbox) *world {
	w := &world{t: t, disk: faultfs.New(faultfs.Options{}), numbers: map[string]float64{},
		log: &strings.Builder{}}
	w.opts = alert.Options{Rules: alert.BuiltIn(), Metrics: w.metrics, Node: "box",
		Logger: slog.New(slog.NewTextHandler(w.log, nil))}
	for _, to := range receivers {
		w.opts.Receivers = append(w.opts.Receivers, alert.Receiver{Name: to.name, Kind: "webhook",
			Severities: to.wants, Sender: to})
	}
	w.set("pillarbox_queue_accepting", 1)
	w.set("pillarbox_ledger_balanced{destination=events}", 1)
	w.set("pillarbox_deliver_breaker_open{destination=events}", 0)
	w.set("pillarbox_deliver_paused{destination=events}", 0)
	return w
}

func (w *world) set(series string, value float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.numbers[series] = value
}

func (w *world) breakMetrics(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = err
}

func (w *world) metrics() (all []alert.Series, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.numbers)) {
		metric, rest, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		s := alert.Series{Metric: metric, Labels: map[string]string{}, Value: w.numbers[name]}
		for pair := range strings.SplitSeq(rest, ",") {
			if label, value, found := strings.Cut(pair, "="); found {
				s.Labels[label] = value
			}
		}
		all = append(all, s)
	}
	return all, w.broken
}

// start begins a life of the server on what is on the disk.
func (w *world) start() {
	w.opts.FS = w.disk
	w.startWithout()
}

func (w *world) startWithout() {
	ctx, stop := context.WithCancel(w.t.Context())
	w.center, w.stop, w.ended = alert.New(w.opts), stop, make(chan struct{})
	go func() {
		defer close(w.ended)
		if err := w.center.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
}

// end stops the server in order.
func (w *world) end() {
	w.stop()
	<-w.ended
}

// kill ends the server as a power cut does: what is not durable is gone, and what it does from here
// on is done to a disk that is no more.
func (w *world) kill() { w.cut(nil, faultfs.Dropped) }

// cut is kill, with chance deciding what is left of what is not durable.
func (w *world) cut(rng *rand.Rand, mode faultfs.Mode) {
	after := w.disk.Crash(rng, mode)
	w.disk.Inject(func(faultfs.Op) error { return errors.New("there is no power") })
	w.end()
	w.disk = after
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// inbox is a receiver in memory.
type inbox struct {
	name   string
	wants  []alert.Severity
	single bool

	mu    sync.Mutex
	down  error
	hangs bool
	got   []got
}

// got is a message and when it came.
type got struct {
	at time.Time
	alert.Message
}

func all(name string) *inbox { return &inbox{name: name, wants: alert.Severities()} }

func (i *inbox) Single() bool { return i.single }
func (i *inbox) Close() error { return nil }

func (i *inbox) Send(ctx context.Context, m *alert.Message) error {
	i.mu.Lock()
	down, hangs := i.down, i.hangs
	i.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if down != nil {
		return down
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.got = append(i.got, got{time.Now(), *m})
	return nil
}

func (i *inbox) set(down error, hangs bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down, i.hangs = down, hangs
}

// take returns what has come since the last time, as a line for each message.
func (i *inbox) take() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	lines := []string{}
	for _, m := range i.got {
		var items []string
		for _, item := range m.Items {
			event := item.Event
			if item.Again {
				event = "still"
			}
			items = append(items, strings.TrimSpace(fmt.Sprintf("%s %s %s", event,
				strings.TrimPrefix(item.Rule, "Pillarbox"), item.Subject.Name)))
		}
		lines = append(lines, strings.Join(items, ", "))
	}
	i.got = nil
	return lines
}

// expect compares what has come since the last time.
func (i *inbox) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := i.take(); !slices.Equal(got, append([]string{}, want...)) {
		t.Fatalf("%s at %s: %s was told %q, want %q", t.Name(), time.Now().UTC().Format(time.DateTime),
			i.name, got, want)
	}
}
