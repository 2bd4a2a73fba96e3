package sim

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"pillarbox"
)

// nature is what the destination makes of an event.
type nature byte

const (
	good   nature = 'g' // stored
	fussy  nature = 'f' // refused some times, and then stored
	poison nature = 'p' // refused for ever
	barred nature = 'b' // refused for good
	wedge  nature = 'w' // looks like an outage, alone or among others
)

// entry is one event as the world knows it.
type entry struct {
	key    pillarbox.Key
	nature nature
	body   []byte
	path   string
	source string
	life   int           // in which it was sent
	ackAt  time.Duration // since the start
	acked  bool

	patience int  // refusals that a fussy one needs
	refusals int  // how often the destination has refused it alone or by name
	outages  int  // how often a write of it alone looked like an outage
	mended   bool // its destination takes it by now
	stored   bool
	told     int    // the last life whose delivery was told that it is stored
	replayed bool   // stored by a replay
	letters  int    // how often delivery was told that its letter is durable
	resolved string // how its letter was resolved, as far as somebody was told
	asked    bool   // a person tried to discard it
	filtered bool   // when it was accepted, the filter of its destination did not take it
}

// model is what is known of every event, and the content of the destination. The destination is
// durable when it answers: it outlives every life.
type model struct {
	mu      sync.Mutex
	entries map[string]*entry // by request id
	order   []*entry          // as they were sent
	rows    map[pillarbox.Key]string
}

func newModel() *model {
	return &model{entries: map[string]*entry{}, rows: map[pillarbox.Key]string{}}
}

// send notes an event before it is made durable.
func (m *model) send(e *entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[e.key.RequestID] != nil {
		return fmt.Errorf("the request id %s was given twice", e.key.RequestID)
	}
	m.entries[e.key.RequestID] = e
	m.order = append(m.order, e)
	return nil
}

// with calls do with the entry of the event, or returns an error where the event was never sent as
// it is.
func (m *model) with(event *pillarbox.Event, do func(e *entry)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, err := m.knownLocked(event)
	if err == nil {
		do(e)
	}
	return err
}

func (m *model) knownLocked(event *pillarbox.Event) (*entry, error) {
	e := m.entries[event.RequestID]
	switch {
	case e == nil || e.key != event.Key():
		return nil, fmt.Errorf("event %v was never sent", event.Key())
	case !bytes.Equal(e.body, event.Body) || e.path != event.Path || event.Source != e.source:
		return nil, fmt.Errorf("event %s came with other content than it was sent with", event.RequestID)
	}
	return e, nil
}

// storeLocked writes a row. Writing it again changes nothing.
func (m *model) storeLocked(e *entry, event *pillarbox.Event, replay bool) {
	m.rows[event.Key()] = string(event.Body)
	e.stored = true
	e.replayed = e.replayed || replay
}

// ackedSoFar lists the events that were acknowledged.
func (m *model) ackedSoFar() []*entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	acked := make([]*entry, 0, len(m.order))
	for _, e := range m.order {
		if e.acked {
			acked = append(acked, e)
		}
	}
	return acked
}
