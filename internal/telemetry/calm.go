package telemetry

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// The bounds of Calm.
const (
	CalmBurst  = 10          // lines alike that are written in a window
	CalmWindow = time.Minute // from the first of them
	MaxCalm    = 1000        // kinds of lines that are told apart; what is beyond them is written
)

// varying are the keys whose values do not make lines different from each other.
var varying = []string{KeyAfter, KeyAttempt, KeyBatch, KeyBytes, KeyClient, KeyConnections, KeyDuration, KeyErr, KeyEventID, KeyEvents,
	KeyItems, KeyOffset, KeyRequestID, KeyRequests, KeyRetryIn, KeyTook, KeyTraceID}

// Calm is a handler that sums up floods: of lines that differ in what varies alone, it writes the first
// CalmBurst of each CalmWindow, and then, at its end, the last one with how many it stands for
// (KeyRepeated). Lines of the level DEBUG are all written. It drops no line without counting it.
type Calm struct {
	next   slog.Handler
	within string // attributes and groups of the logger, as a part of the key
	state  *calmState
}

type calmState struct {
	mu    sync.Mutex
	kinds map[string]*calmKind // guarded by mu
}

// calmKind is lines that are alike, of one window.
type calmKind struct {
	until time.Time
	lines int
	held  int         // of lines, what was not written
	last  slog.Record // of what was not written
	to    slog.Handler
	timer *time.Timer // ends the window; nil while nothing is held
}

// NewCalm makes a Calm in front of a handler. Flush it at the end.
func NewCalm(next slog.Handler) *Calm {
	return &Calm{next: next, state: &calmState{kinds: map[string]*calmKind{}}}
}

// Enabled implements slog.Handler.
func (c *Calm) Enabled(ctx context.Context, level slog.Level) bool { return c.next.Enabled(ctx, level) }

// WithAttrs implements slog.Handler.
func (c *Calm) WithAttrs(attrs []slog.Attr) slog.Handler {
	var key strings.Builder
	key.WriteString(c.within)
	for _, attr := range attrs {
		addToKey(&key, attr)
	}
	return &Calm{c.next.WithAttrs(attrs), key.String(), c.state}
}

// WithGroup implements slog.Handler.
func (c *Calm) WithGroup(name string) slog.Handler {
	return &Calm{c.next.WithGroup(name), c.within + "\x00" + name, c.state}
}

// Handle implements slog.Handler.
func (c *Calm) Handle(ctx context.Context, line slog.Record) error {
	if line.Level < slog.LevelInfo || c.state.writes(c.keyOf(line), c.next, line) {
		return c.next.Handle(ctx, line)
	}
	return nil
}

func (c *Calm) keyOf(line slog.Record) string {
	var key strings.Builder
	key.WriteString(line.Level.String())
	key.WriteString(line.Message)
	key.WriteString(c.within)
	line.Attrs(func(attr slog.Attr) bool {
		addToKey(&key, attr)
		return true
	})
	return key.String()
}

func addToKey(key *strings.Builder, attr slog.Attr) {
	if !slices.Contains(varying, attr.Key) {
		key.WriteString("\x00" + attr.Key + "=" + attr.Value.String())
	}
}

// writes reports whether a line is to be written now. Else it is held.
func (s *calmState) writes(key string, to slog.Handler, line slog.Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	kind := s.kinds[key]
	if kind == nil || kind.held == 0 && !now.Before(kind.until) {
		if kind == nil && len(s.kinds) >= MaxCalm && !s.makeRoom(now) {
			return true
		}
		kind = &calmKind{until: now.Add(CalmWindow), to: to}
		s.kinds[key] = kind
	}
	if kind.lines++; kind.lines <= CalmBurst {
		return true
	}
	kind.held, kind.last = kind.held+1, line.Clone()
	if kind.timer == nil {
		kind.timer = time.AfterFunc(kind.until.Sub(now), func() { s.end(key, kind) })
	}
	return false
}

// makeRoom forgets kinds whose window has ended. It reports whether there were any.
func (s *calmState) makeRoom(now time.Time) bool {
	for key, kind := range s.kinds {
		if kind.held == 0 && !now.Before(kind.until) {
			delete(s.kinds, key)
		}
	}
	return len(s.kinds) < MaxCalm
}

// end writes what was held of a window.
func (s *calmState) end(key string, kind *calmKind) {
	s.mu.Lock()
	if s.kinds[key] == kind {
		delete(s.kinds, key)
	}
	held, last := kind.held, kind.last
	kind.held = 0
	s.mu.Unlock()
	if held == 0 {
		return // Flush was there first
	}
	last.AddAttrs(slog.Int(KeyRepeated, held))
	_ = kind.to.Handle(context.Background(), last) // who writes lines never fails
}

// Flush writes what is held now.
func (c *Calm) Flush() {
	c.state.mu.Lock()
	held := map[string]*calmKind{}
	for key, kind := range c.state.kinds {
		if kind.timer != nil {
			kind.timer.Stop()
			held[key] = kind
		}
	}
	c.state.mu.Unlock()
	for key, kind := range held {
		c.state.end(key, kind)
	}
}
