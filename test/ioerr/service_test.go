package ioerr_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"pillarbox"
	"pillarbox/internal/clock"
	ways "pillarbox/internal/destination"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/node"
	"pillarbox/internal/source"
	"pillarbox/internal/vfs"
)

const destination = "events"

// service is the node that the server runs, on one disk and without a network.
type service struct {
	node    *node.Node
	queue   *seglog.Log
	letters *files.Letters
	public  http.Handler
	cut     context.CancelFunc // of the deliveries
}

// start opens everything, as the server does, and delivers to the store.
func start(fsys vfs.FS, to *store) (*service, error) {
	letters, err := files.Open(fsys, "dead-letters", files.Options{})
	if err != nil {
		return nil, err
	}
	queue, err := seglog.Open(fsys, "queue",
		seglog.Options{SegmentBytes: 64 << 10, KeepBytes: -1, MinFreeBytes: 1, StateBytes: 4 << 10})
	if err != nil {
		return nil, errors.Join(err, letters.Close())
	}
	n, err := node.Open(context.Background(), node.Options{
		Engines: node.Engines{
			Queue: queue, DeadLetters: letters, Sinks: map[string]pillarbox.Sink{
				destination: to}, Clock: clock.Open(nil, "", clock.Options{}),
		},
		Settings: node.Settings{
			Sources: []source.Settings{{Name: "app", Path: "/app"}},
			Destinations: []ways.Settings{{Name: destination,
				Rule: &pillarbox.Rule{Sources: []string{"app"}}}},
		},
	})
	if err != nil {
		return nil, err
	}
	s := &service{node: n, queue: queue, letters: letters, public: n.PublicHandler(node.Limits{})}
	ctx, cut := context.WithCancel(context.Background())
	s.cut = cut
	n.Start(ctx)
	return s, nil
}

// close ends the service. What can't be closed cleanly is no loss: nothing acknowledged depends on
// it.
func (s *service) close() {
	s.cut()
	_ = s.node.Close()
}

// answer is what a client gets.
type answer struct {
	status     int
	receipt    pillarbox.Receipt
	retryAfter string
	problem    struct{ Title, Detail string }
}

func (s *service) post(body string) (answer, error) {
	request := httptest.NewRequest(http.MethodPost, "/app", strings.NewReader(body))
	recorder := httptest.NewRecorder()
	s.public.ServeHTTP(recorder, request)
	got := answer{status: recorder.Code, retryAfter: recorder.Header().Get("Retry-After")}
	if got.status == http.StatusAccepted {
		return got, json.Unmarshal(recorder.Body.Bytes(), &got.receipt)
	}
	return got, json.Unmarshal(recorder.Body.Bytes(), &got.problem)
}

// store is a destination that is durable when it answers, and refuses what says so.
type store struct {
	pillarbox.SinkDefaults

	mu   sync.Mutex
	rows map[pillarbox.Key]string // body by key
	down bool
}

func newStore(down bool) *store { return &store{rows: map[pillarbox.Key]string{}, down: down} }

// comeUp ends an outage.
func (s *store) comeUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = false
}

// clone is what is durable now, and up.
func (s *store) clone() *store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &store{rows: maps.Clone(s.rows)}
}

const refusal = "refuse me: "

var (
	errRefused = pillarbox.Permanent(errors.New("it says so"))
	errDown    = fmt.Errorf("the store is down: %w", pillarbox.ErrUnavailable)
)

// Write implements pillarbox.Sink.
func (s *store) Write(ctx context.Context, events []*pillarbox.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errDown
	}
	refused := &pillarbox.BatchError{}
	for i, event := range events {
		if bytes.HasPrefix(event.Body, []byte(refusal)) {
			refused.Items = append(refused.Items, pillarbox.ItemError{Index: i, Err: errRefused})
			continue
		}
		s.rows[event.Key()] = string(event.Body)
	}
	if len(refused.Items) > 0 {
		return refused
	}
	return nil
}

// Close implements pillarbox.Sink.
func (s *store) Close() error { return nil }

// missing returns the first of the acknowledged events that is neither stored nor a letter, with
// its own body.
func missing(acked map[string]pillarbox.Receipt, in *store, letters *files.Letters) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	for body, receipt := range acked {
		key := pillarbox.Key{Timestamp: receipt.Timestamp, RequestID: receipt.RequestID}
		if !strings.HasPrefix(body, refusal) {
			if got, ok := in.rows[key]; !ok || got != body {
				return fmt.Errorf("acknowledged event %s is lost: stored is %q, sent was %q", key.RequestID,
					got, body)
			}
			continue
		}
		letter, err := letters.Get(context.Background(), destination, key.RequestID)
		if err != nil {
			return fmt.Errorf("acknowledged event %s is lost: its letter: %w", key.RequestID, err)
		}
		if string(letter.Event.Body) != body {
			return fmt.Errorf("the letter of event %s has the body %q, sent was %q", key.RequestID,
				letter.Event.Body, body)
		}
	}
	return nil
}
