// Package tracetest keeps spans in memory, for tests.
package tracetest

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"pillarbox/internal/telemetry"
)

// Span is one that was made.
type Span struct {
	telemetry.SpanStart
	ID      string // its traceparent
	Ended   time.Time
	Failure string
	ends    int
}

// Attr is the value of an attribute, as text; empty for none.
func (s *Span) Attr(key string) string {
	value := ""
	for _, attr := range s.Attrs {
		if attr.Key == key {
			value = attr.Value.String()
		}
	}
	return value
}

// Recorder makes spans and keeps them. It may be used concurrently.
type Recorder struct {
	mu    sync.Mutex
	spans []*Span
}

// Start implements telemetry.SpanMaker.
func (r *Recorder) Start(start telemetry.SpanStart) telemetry.MadeSpan {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.spans) + 1
	trace := fmt.Sprintf("%032x", n)
	if start.Parent != "" {
		trace = telemetry.TraceID(start.Parent)
	}
	start.Attrs = slices.Clone(start.Attrs)
	s := &Span{SpanStart: start, ID: fmt.Sprintf("00-%s-%016x-01", trace, n)}
	r.spans = append(r.spans, s)
	return made{r, s}
}

type made struct {
	r *Recorder
	s *Span
}

func (m made) Traceparent() string { return m.s.ID }

func (m made) Set(attrs ...slog.Attr) {
	m.r.mu.Lock()
	defer m.r.mu.Unlock()
	m.s.Attrs = append(m.s.Attrs, attrs...)
}

func (m made) End(at time.Time, failure string) {
	m.r.mu.Lock()
	defer m.r.mu.Unlock()
	m.s.Ended, m.s.Failure, m.s.ends = at, failure, m.s.ends+1
}

// Ended returns the spans that have ended, by name, in the order in which they began. It panics where
// one has ended twice.
func (r *Recorder) Ended() map[string][]Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	byName := map[string][]Span{}
	for _, s := range r.spans {
		if s.ends > 1 {
			panic("pillarbox: bug: the span " + s.Name + " has ended twice")
		}
		if s.ends == 1 {
			byName[s.Name] = append(byName[s.Name], *s)
		}
	}
	return byName
}

// Names returns the names of the spans that have ended, sorted.
func (r *Recorder) Names() []string { return slices.Sorted(maps.Keys(r.Ended())) }
