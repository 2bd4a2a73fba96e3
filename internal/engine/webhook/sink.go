package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"pillarbox"
	"pillarbox/internal/signature"
)

// Sink posts events to a URL. All methods may be called concurrently.
type Sink struct {
	pillarbox.SinkDefaults // it can't be read back, and has no identity

	opts    Options
	to      *url.URL
	client  *http.Transport
	signer  *signature.Signer // nil without secrets
	tokens  *tokens           // nil without OAuth2
	limiter *rate.Limiter     // nil without a limit
	slots   chan struct{}     // one for each request in flight
	header  http.Header       // of every request; not changed

	closing context.Context // ended by Close; here to be merged with the context of Write
	end     context.CancelFunc

	mu      sync.Mutex
	closed  bool           // no Write begins any more
	writing sync.WaitGroup // Add under mu
	away    time.Time      // nothing is sent before, because an answer has asked for that
	why     error          // that answer
}

// Traits implements pillarbox.Sink.
func (*Sink) Traits() pillarbox.SinkTraits { return pillarbox.SinkTraits{Forwards: true} }

// Open prepares a sink. It makes no connection. Errors: *SettingError.
func Open(to string, opts Options) (*Sink, error) {
	opts = opts.withDefaults()
	at, err := parseURL("url", to, opts.AllowPrivate)
	if err != nil {
		return nil, err
	}
	if err := opts.validate(at); err != nil {
		return nil, err
	}
	s := &Sink{opts: opts, to: at, slots: make(chan struct{}, opts.Concurrency)}
	if s.client, err = opts.transport(); err != nil {
		return nil, err
	}
	if len(opts.SigningSecrets) > 0 {
		if s.signer, err = signature.NewSigner(opts.SigningSecrets); err != nil {
			return nil, settingOfSecrets(err)
		}
	}
	if opts.OAuth2.TokenURL != "" {
		s.tokens = newTokens(opts.OAuth2, s.client)
	}
	if opts.Rate > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(opts.Rate), max(1, opts.Rate/20)) // at once, what 50 ms bring
	}
	s.header = http.Header{"User-Agent": {agent}}
	for name, value := range opts.Headers {
		s.header.Set(name, value)
	}
	s.closing, s.end = context.WithCancel(context.Background())
	return s, nil
}

func settingOfSecrets(err error) error {
	var setting *signature.SettingError
	if errors.As(err, &setting) {
		return wrong("signing_"+setting.Key, "%s", setting.Reason)
	}
	return err
}

// transport makes connections: to public addresses only unless others are allowed, and by no proxy
// but the one that is configured.
func (o *Options) transport() (*http.Transport, error) {
	config, err := o.tlsConfig()
	if err != nil {
		return nil, err
	}
	through, err := o.proxyURL()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext: dialer(o.AllowPrivate).DialContext, TLSClientConfig: config, TLSHandshakeTimeout: connectTime,
		ForceAttemptHTTP2: true, HTTP2: &http.HTTP2Config{SendPingTimeout: keepAlive, PingTimeout: pingTime},
		MaxIdleConns: o.Concurrency + 1, MaxIdleConnsPerHost: o.Concurrency, IdleConnTimeout: idleTime,
		MaxResponseHeaderBytes: maxHeader, ReadBufferSize: bufferSize, WriteBufferSize: bufferSize,
		DisableCompression: true, // a small answer that unpacks to a large one is no answer
	}
	if through != nil {
		transport.Proxy = http.ProxyURL(through)
	}
	return transport, nil
}

// Write implements pillarbox.Sink. Where each event has a request of its own, a request may take half
// of the time until ctx's deadline, and none is begun after half of it: what was not sent by then is
// unavailable, and comes again.
func (s *Sink) Write(ctx context.Context, events []*pillarbox.Event) error {
	if !s.begin() {
		return s.errClosed()
	}
	defer s.writing.Done()
	if err := ctx.Err(); err != nil || len(events) == 0 {
		return err
	}
	if err := s.stayAway(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	var err error
	if s.opts.isBatch() {
		err = s.writeBatch(ctx, events)
	} else {
		err = s.writeEach(ctx, events)
	}
	if err != nil && s.closing.Err() != nil {
		return fmt.Errorf("%w: %w", s.errClosed(), err)
	}
	return err
}

func (s *Sink) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.writing.Add(1)
	}
	return !s.closed
}

func (s *Sink) errClosed() error { return fmt.Errorf("webhook %s: %w", s.to.Host, pillarbox.ErrClosed) }

// stayAway returns an error while the receiver has asked to be left alone.
func (s *Sink) stayAway() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := time.Until(s.away)
	if wait <= 0 {
		return nil
	}
	return &pillarbox.RetryAfterError{After: wait,
		Err: fmt.Errorf("%w; it is left alone for %s more", s.why, wait.Round(time.Second))}
}

// keepAway notes that the receiver has asked to be left alone.
func (s *Sink) keepAway(outage *outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := time.Now().Add(outage.after); until.After(s.away) {
		s.away, s.why = until, outage.failure()
	}
}

// writeBatch sends all events in one request.
func (s *Sink) writeBatch(ctx context.Context, events []*pillarbox.Event) error {
	m, err := s.batchMessage(events)
	if err != nil {
		return err
	}
	whole, _ := timeOf(ctx)
	if err := s.pace(ctx, time.Now().Add(whole)); err != nil {
		return err
	}
	defer s.release()
	result := s.post(ctx, m, whole)
	return result.failure()
}

// timeOf returns how long ctx lasts, and what a request may take where there are many.
func timeOf(ctx context.Context) (whole, one time.Duration) {
	whole = defaultTime
	if deadline, limited := ctx.Deadline(); limited {
		whole = time.Until(deadline)
	}
	return whole, whole / 2
}

// pace waits until a request may be sent, and takes a place in flight, which release gives back. It
// fails where none comes in time.
func (s *Sink) pace(ctx context.Context, until time.Time) error {
	if s.limiter == nil {
		select {
		case s.slots <- struct{}{}:
			return nil // nearly always, where one Write is under way
		default:
		}
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("no place for one more request to %s in time (concurrency): %w", s.to.Host, errLate(ctx))
	}
	if s.limiter == nil {
		return nil
	}
	if err := s.limiter.Wait(ctx); err != nil {
		s.release()
		return fmt.Errorf("no request to %s is due in time (rate): %w", s.to.Host, errLate(ctx))
	}
	return nil
}

// errLate is the error of what could not be sent in time.
func errLate(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return pillarbox.ErrUnavailable
}

func (s *Sink) release() { <-s.slots }

// Close implements pillarbox.Sink. It cuts off what is in flight.
func (s *Sink) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.writing.Wait()
	s.client.CloseIdleConnections()
	return nil
}

// String names the sink as far as nobody minds: what follows the host of a URL may be a secret.
func (s *Sink) String() string { return strings.TrimSuffix(s.to.Scheme+"://"+s.to.Host, "/") }
