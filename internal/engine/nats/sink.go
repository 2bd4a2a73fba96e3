package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pillarbox"
	"pillarbox/internal/bus"
)

// Sink publishes events to a subject. All methods may be called concurrently.
type Sink struct {
	pillarbox.SinkDefaults // it can't be read back, and has no identity

	servers string // as URLs, by comma
	subject string
	encoder *bus.Encoder
	options []client.Option
	logger  *slog.Logger

	calls   *bus.Calls
	dialing chan struct{} // held by who makes the connection, or looks at the stream

	mu   sync.Mutex
	conn *connection // the last one; nil before the first
}

// Traits implements pillarbox.Sink.
func (*Sink) Traits() pillarbox.SinkTraits { return pillarbox.SinkTraits{Forwards: true} }

// connection is one to a server, for as long as it lasts.
type connection struct {
	client *client.Conn
	js     jetstream.JetStream
	lost   chan struct{} // closed when it is

	hasStream bool // under Sink.dialing: a stream has the subject, as far as is known
}

// Open prepares a sink. It makes no connection. Errors: *bus.SettingError.
func Open(url string, opts Options) (*Sink, error) {
	hosts, subject, err := bus.ParseURL(url, DefaultPort)
	if err != nil {
		return nil, err
	}
	if err := checkSubject(subject); err != nil {
		return nil, err
	}
	if opts.Key != "" {
		return nil, bus.Wrong("key", "has no effect: messages of NATS have no key; leave it out")
	}
	s := &Sink{subject: subject, logger: opts.Logger, dialing: make(chan struct{}, 1)}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	for i := range hosts {
		hosts[i] = "nats://" + hosts[i]
	}
	s.servers = strings.Join(hosts, ",")
	if s.encoder, err = bus.NewEncoder(bus.NATS, opts.Options); err != nil {
		return nil, err
	}
	if s.options, err = opts.Auth.options(); err != nil {
		return nil, err
	}
	config, err := opts.TLS.Config()
	if err != nil {
		return nil, err
	}
	if config != nil {
		s.options = append(s.options, client.Secure(config))
	}
	s.calls = bus.NewCalls()
	return s, nil
}

// Write implements pillarbox.Sink.
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
	conn, err := s.connect(ctx)
	if err != nil {
		return s.unavailable(err)
	}
	b := batch{sink: s, conn: conn, ctx: ctx, futures: make([]jetstream.PubAckFuture, len(events))}
	for i, event := range events {
		if i >= Window {
			b.await(i - Window)
		}
		b.publish(i, event)
	}
	for i := max(0, len(events)-Window); i < len(events); i++ {
		b.await(i)
	}
	return b.err()
}

// Check implements pillarbox.Sink: it makes the stream where none has the subject.
func (s *Sink) Check(ctx context.Context) error {
	ctx, done, open := s.calls.Begin(ctx)
	if !open {
		return s.errClosed()
	}
	defer done()
	_, err := s.connect(ctx)
	if err == nil || errors.Is(err, pillarbox.ErrInvalid) {
		return err
	}
	return s.unavailable(err)
}

// connect returns a connection to a server that has a stream with the subject.
func (s *Sink) connect(ctx context.Context) (*connection, error) {
	select {
	case s.dialing <- struct{}{}:
		defer func() { <-s.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	conn := s.current()
	if conn == nil {
		var err error
		if conn, err = s.dial(ctx); err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.conn = conn
		s.mu.Unlock()
	}
	if conn.hasStream {
		return conn, nil
	}
	if err := s.findStream(ctx, conn.js); err != nil {
		return nil, err
	}
	conn.hasStream = true
	return conn, nil
}

// current returns the connection, and nil where there is none, or it is lost.
func (s *Sink) current() *connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil && !s.conn.client.IsConnected() {
		return nil
	}
	return s.conn
}

// dial makes a connection that is not made again: the next Write does that, and says meanwhile what
// is wrong.
func (s *Sink) dial(ctx context.Context) (*connection, error) {
	conn := &connection{lost: make(chan struct{})}
	wait := connectTime
	if deadline, limited := ctx.Deadline(); limited {
		wait = max(time.Millisecond, min(wait, time.Until(deadline)))
	}
	options := append([]client.Option{client.Name(clientName), client.NoReconnect(), client.Timeout(wait),
		client.PingInterval(pingTime), client.MaxPingsOutstanding(maxPings), client.SetCustomDialer(dialer{ctx}),
		client.ClosedHandler(func(*client.Conn) { close(conn.lost) })}, s.options...)
	var err error
	if conn.client, err = client.Connect(s.servers, options...); err != nil {
		return nil, err
	}
	conn.js, err = jetstream.New(conn.client, jetstream.WithPublishAsyncMaxPending(maxPending))
	if err != nil {
		conn.client.Close()
	}
	return conn, err
}

// dialer is of one connection, and ends with the context of who wants it.
type dialer struct{ ctx context.Context }

// Dial implements client.CustomDialer.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: connectTime}).DialContext(d.ctx, network, address)
}

// lookAgain makes the next Write look for the stream.
func (s *Sink) lookAgain(conn *connection) {
	s.dialing <- struct{}{}
	conn.hasStream = false
	<-s.dialing
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
	if s.conn != nil { // nobody writes it any more
		s.conn.client.Close()
	}
	return nil
}

// String names the sink.
func (s *Sink) String() string { return s.servers + "/" + s.subject }
