package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"pillarbox"
	"pillarbox/internal/bus"
)

// Sink produces events to a topic. All methods may be called concurrently.
type Sink struct {
	pillarbox.SinkDefaults // it can't be read back, and has no identity

	name    string // the hosts and the topic
	topic   string
	encoder *bus.Encoder
	client  *kgo.Client
	logger  *slog.Logger

	calls *bus.Calls

	looking  chan struct{} // held by who looks at the topic
	isReady  atomic.Bool   // the topic is there, as far as is known
	maxBytes atomic.Int32  // of a batch, as the topic has it
	sized    sync.Once     // maxBytes is
	warned   sync.Once     // of a topic with few replicas
}

// Traits implements pillarbox.Sink.
func (*Sink) Traits() pillarbox.SinkTraits { return pillarbox.SinkTraits{Forwards: true} }

// Open prepares a sink. It makes no connection. Errors: *bus.SettingError.
func Open(url string, opts Options) (*Sink, error) {
	hosts, topic, err := bus.ParseURL(url, DefaultPort)
	if err != nil {
		return nil, err
	}
	if err := checkTopic(topic); err != nil {
		return nil, err
	}
	s := &Sink{name: "kafka://" + strings.Join(hosts, ",") + "/" + topic, topic: topic, logger: opts.Logger,
		looking: make(chan struct{}, 1)}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	s.maxBytes.Store(defaultMaxBytes)
	if s.encoder, err = bus.NewEncoder(bus.Kafka, opts.Options); err != nil {
		return nil, err
	}
	options, err := opts.options(hosts, topic)
	if err != nil {
		return nil, err
	}
	options = append(options, kgo.ProducerBatchMaxBytesFn(func(string) int32 { return s.maxBytes.Load() }))
	if s.client, err = kgo.NewClient(options...); err != nil {
		return nil, bus.Wrong("url", "%v", err)
	}
	s.calls = bus.NewCalls()
	return s, nil
}

// Write implements pillarbox.Sink. The client tries again until the end of ctx what a broker can't
// take for now.
func (s *Sink) Write(ctx context.Context, events []*pillarbox.Event) error {
	ctx, done, open := s.calls.Begin(ctx)
	if !open {
		return s.errClosed()
	}
	defer done()
	if err := ctx.Err(); err != nil || len(events) == 0 {
		return err
	}
	err := s.write(ctx, events)
	if err != nil && s.calls.Closing() {
		return fmt.Errorf("%w: %w", s.errClosed(), err)
	}
	return err
}

func (s *Sink) write(ctx context.Context, events []*pillarbox.Event) error {
	if err := s.ready(ctx); err != nil {
		return s.unavailable(err)
	}
	b := s.batchOf(events)
	if len(b.records) > 0 {
		if err := b.produce(ctx); err != nil {
			s.isReady.Store(false)
			return err
		}
	}
	err := b.err()
	if errors.Is(err, pillarbox.ErrUnavailable) {
		s.isReady.Store(false) // the next Write looks first, and finds at once that nobody answers
	}
	if isGone(err) {
		// The client would go on with the topic that it knew, also where another one has its name by now.
		s.client.PurgeTopicsFromProducing(s.topic)
	}
	return err
}

// Check implements pillarbox.Sink: it makes the topic where it is missing.
func (s *Sink) Check(ctx context.Context) error {
	ctx, done, open := s.calls.Begin(ctx)
	if !open {
		return s.errClosed()
	}
	defer done()
	err := s.ready(ctx)
	if err == nil || errors.Is(err, pillarbox.ErrInvalid) {
		return err
	}
	return s.unavailable(err)
}

func (s *Sink) errClosed() error { return fmt.Errorf("%s: %w", s, pillarbox.ErrClosed) }

// unavailable says that no event is to blame.
func (s *Sink) unavailable(err error) error {
	if errors.Is(err, pillarbox.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", s, err, pillarbox.ErrUnavailable)
}

// Close implements pillarbox.Sink. What is on its way may be stored all the same.
func (s *Sink) Close() error {
	s.calls.Close()
	s.client.Close()
	return nil
}

// String names the sink.
func (s *Sink) String() string { return s.name }
