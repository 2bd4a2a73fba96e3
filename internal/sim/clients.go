package sim

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/ingest"
	"pillarbox/internal/source"
)

// visit sends bursts of requests, with long pauses between them.
func (l *life) visit(ctx context.Context) {
	w := l.world
	for {
		if err := pause(ctx, w.clientRNG.about(w.lull)); err != nil {
			return
		}
		begin := w.elapsed()
		sent := l.burst(ctx)
		if w.clientRNG.happens(0.7) {
			l.expectPrompt(ctx, begin, sent)
		}
	}
}

// burst sends some requests from a few clients at once.
func (l *life) burst(ctx context.Context) []*entry {
	var clients sync.WaitGroup
	var mu sync.Mutex
	var sent []*entry
	for range 1 + l.world.clientRNG.below(3) {
		clients.Go(func() {
			for range 1 + l.world.clientRNG.below(4) {
				got := l.post(ctx)
				mu.Lock()
				sent = append(sent, got...)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	return sent
}

// post sends one batch, and now and then hangs up.
func (l *life) post(ctx context.Context) []*entry {
	w := l.world
	if err := pause(ctx, w.clientRNG.upTo(maxJitter)); err != nil {
		return nil
	}
	if !w.calm() && w.clientRNG.happens(0.05) {
		patience, cancel := context.WithTimeout(ctx, w.clientRNG.upTo(2*maxJitter))
		defer cancel()
		ctx = patience
	}
	entries := make([]*entry, 1+w.clientRNG.below(6))
	requests := make([]ingest.Request, len(entries))
	for i := range entries {
		entries[i], requests[i] = l.draw()
	}
	floor := l.latest()
	results := l.node.Acceptor().Accept(ctx, requests)
	if len(results) != len(requests) {
		w.fail(fmt.Errorf("%d requests got %d results", len(requests), len(results)))
	}
	l.hear(entries, results, floor)
	return entries
}

// draw makes one request. Its body says what the destination makes of it, for people who look at a
// failure.
func (l *life) draw() (*entry, ingest.Request) {
	w := l.world
	e := &entry{life: l.number, nature: good, patience: 1 + w.clientRNG.below(2), source: app}
	if w.clientRNG.happens(0.2) {
		e.source = pick(w.clientRNG, audit, choice)
	}
	switch chance := w.clientRNG.chance(); {
	case w.calm() && w.draining.Load():
	case chance < 0.04:
		e.nature = poison
	case chance < 0.05:
		e.nature = barred
	case chance < 0.08:
		e.nature = fussy
	case chance < 0.0805:
		e.nature = wedge
	}
	e.path = fmt.Sprintf("/app/%c", e.nature)
	if e.filtered = l.filters && e.source == choice && e.nature != good; e.filtered {
		w.tally.add("event: not taken by the filter")
	}
	e.body = make([]byte, int(w.clientRNG.about(100)))
	for i := range e.body {
		e.body[i] = byte(w.clientRNG.uint64())
	}
	w.tally.add("event: " + string(rune(e.nature)))
	return e, ingest.Request{
		Grant: l.grant(e.source), Method: "POST", Path: e.path, ContentType: "application/octet-stream", Body: e.body,
		Stamped: func(event *pillarbox.Event) {
			e.key = pillarbox.Key{Timestamp: event.Timestamp, RequestID: strings.Clone(event.RequestID)}
			if err := w.model.send(e); err != nil {
				w.fail(err)
			}
		},
	}
}

// grant is what a front has to ask for.
func (l *life) grant(from string) source.Grant {
	grant, _, err := l.node.Sources().Table().Get(from).AdmitOne(&source.Head{Method: "POST"}, nil)
	if err != nil {
		l.world.fail(fmt.Errorf("the source %s admits nothing: %w", from, err))
	}
	return grant
}

func (l *life) latest() pillarbox.Timestamp {
	l.world.model.mu.Lock()
	defer l.world.model.mu.Unlock()
	return l.last
}

// hear notes what the client was told, if the process was alive to tell it.
func (l *life) hear(entries []*entry, results []ingest.Result, floor pillarbox.Timestamp) {
	m := l.world.model
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, e := range entries {
		if e.key.Timestamp < floor && !l.setBack.Load() {
			l.world.failLocked(fmt.Errorf("the timestamp %v came after %v in one life", e.key.Timestamp,
				floor))
		}
		l.last = max(l.last, e.key.Timestamp)
		switch result := results[i]; {
		case l.gone || result.Err != nil:
			l.world.tally.add("client: no receipt")
		case result.Receipt.RequestID != e.key.RequestID || result.Receipt.Timestamp != e.key.Timestamp:
			l.world.failLocked(fmt.Errorf("the receipt of %v is %+v", e.key, result.Receipt))
		default:
			e.acked, e.ackAt = true, l.world.elapsed()
			l.world.tally.add("client: receipt")
		}
	}
}

const (
	promptly  = 3 * time.Minute  // how long an event waits at most if nothing but refusals happen
	aftermath = 15 * time.Minute // how long trouble may have an effect after it is over
)

// expectPrompt waits a little, and sees that all good events of a burst are stored, unless there
// was trouble.
func (l *life) expectPrompt(ctx context.Context, begin time.Duration, sent []*entry) {
	w := l.world
	if err := pause(ctx, promptly); err != nil || w.hadTrouble(begin-aftermath) {
		return
	}
	w.model.mu.Lock()
	defer w.model.mu.Unlock()
	for _, e := range sent {
		if e.acked && e.nature == good && !e.stored && !l.gone && e.source != choice { // which may be paused
			w.failLocked(fmt.Errorf("event %s is held up for %v while the destination is up",
				e.key.RequestID, promptly))
		}
	}
	w.tally.add("check: prompt")
}
