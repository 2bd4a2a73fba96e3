package deliver

import (
	"sync"

	"pillarbox"
)

// MaxHistory is how many stored events History remembers; the oldest are forgotten first.
const MaxHistory = 10_000

// History remembers the attempts of events that were stored after they had been refused: the queue
// forgets them when it settles the event. It lasts as long as the process. All methods may be
// called concurrently.
type History struct {
	mu       sync.Mutex
	attempts map[historyKey][]pillarbox.Attempt
	order    []historyKey
}

type historyKey struct{ destination, requestID string }

// NewHistory makes an empty history for any number of loops.
func NewHistory() *History { return &History{attempts: map[historyKey][]pillarbox.Attempt{}} }

// Attempts returns what was tried before the event was stored, oldest first.
func (h *History) Attempts(destination, requestID string) []pillarbox.Attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.attempts[historyKey{destination, requestID}]
}

// remember keeps the attempts of the events that are settled as stored.
func (h *History) remember(destination string, deliveries []pillarbox.Delivery,
	outcomes []pillarbox.Outcome) {
	for i, outcome := range outcomes {
		if outcome.Kind != pillarbox.OutcomeStored || len(deliveries[i].Attempts) == 0 {
			continue
		}
		h.mu.Lock()
		key := historyKey{destination, deliveries[i].Event.RequestID}
		if _, known := h.attempts[key]; !known {
			h.order = append(h.order, key)
		}
		h.attempts[key] = deliveries[i].Attempts
		if len(h.order) > MaxHistory {
			delete(h.attempts, h.order[0])
			h.order = h.order[1:]
		}
		h.mu.Unlock()
	}
}
