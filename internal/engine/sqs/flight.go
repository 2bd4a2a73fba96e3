package sqs

import (
	"slices"
	"time"

	"pillarbox/internal/telemetry"
)

// takeLocked takes messages into flight. One that is in flight already came a second time, because
// its time was over: its newer receipt counts.
func (q *Queue) takeLocked(messages []*message) {
	for _, m := range messages {
		if known := q.inFlight[m.ID]; known != nil {
			known.receipt, known.hidden, known.Receives = m.receipt, m.hidden, m.Receives
			q.history.of(m.ID, m.delivery.Event.RequestID).idle++
			continue
		}
		q.inFlight[m.ID] = m
		q.readyLocked(m)
	}
	if len(q.inFlight) > 0 {
		q.keepLocked()
	}
}

// readyLocked makes a message wait for the next lease: the rejected first.
func (q *Queue) readyLocked(m *message) {
	if m.delivery.Rejection != nil {
		q.firstLocked(m)
		return
	}
	q.readyBytes += m.delivery.Bytes
	q.ready = append(q.ready, m)
}

// firstLocked is readyLocked for a message that was leased before, or is rejected: only the
// rejected go before it.
func (q *Queue) firstLocked(m *message) {
	q.readyBytes += m.delivery.Bytes
	at := slices.IndexFunc(q.ready, func(other *message) bool {
		return other.delivery.Rejection == nil
	})
	if at < 0 {
		at = len(q.ready)
	}
	q.ready = slices.Insert(q.ready, at, m)
}

func (q *Queue) keepLocked() {
	if !q.keeping {
		q.keeping = true
		q.tasks.Add(1)
		go q.keep()
	}
}

// keepEvery is how often what is in flight is looked through.
const keepEvery = time.Second

// keep keeps others from what is in flight, for as long as there is anything.
func (q *Queue) keep() {
	defer q.tasks.Done()
	for sleep(q.working, keepEvery) == nil {
		q.mu.Lock()
		if len(q.inFlight) == 0 {
			q.keeping = false
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		q.extend()
	}
}

// extend hides what is in flight for another while, once half of the time is over.
func (q *Queue) extend() {
	attributes, err := q.attributes(q.working)
	if err != nil {
		return // nothing was received without them
	}
	until := time.Now().Add(attributes.visibility)
	q.mu.Lock()
	var ending []*message
	var handles []string
	for _, m := range q.inFlight {
		if time.Until(m.hidden) < attributes.visibility/2 && !m.settled {
			ending = append(ending, m)
			handles = append(handles, m.receipt)
		}
	}
	q.mu.Unlock()
	err = q.Hide(q.working, handles, slices.Repeat([]time.Duration{attributes.visibility},
		len(handles)))
	if err != nil && q.working.Err() == nil {
		q.options.Logger.Warn("events in hand may be handed out to others as well, if that can't be kept off in time", telemetry.KeyQueue, q.url, telemetry.KeyErr, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, hidden := range succeeded(len(ending), err) {
		if hidden {
			ending[i].hidden = until // the others are tried again at the next look
		}
	}
}
