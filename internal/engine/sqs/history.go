package sqs

import (
	"slices"

	"pillarbox"
)

// maxHistory is how many messages that wait for another attempt are remembered. What is forgotten
// only loses the errors of its attempts, and counts all its receives as attempts.
const maxHistory = 10_000

// receiveHistory remembers what was done here with messages that come again. Its user has a lock.
type receiveHistory struct {
	messages map[string]*messageHistory // by message id
	order    []string                   // oldest first
}

// messageHistory is what was done with one message.
type messageHistory struct {
	requestID string
	attempts  []pillarbox.Attempt
	rejection *pillarbox.Rejection
	idle      int // receives that were no attempts
}

func newReceiveHistory() receiveHistory {
	return receiveHistory{messages: map[string]*messageHistory{}}
}

// of returns what is known of the message; it may be changed.
func (h *receiveHistory) of(id, requestID string) *messageHistory {
	known := h.messages[id]
	if known != nil {
		return known
	}
	for len(h.messages) >= maxHistory {
		delete(h.messages, h.order[0])
		h.order = h.order[1:]
	}
	known = &messageHistory{requestID: requestID}
	h.messages[id] = known
	h.order = append(h.order, id)
	return known
}

func (h *receiveHistory) lookup(id string) messageHistory {
	if known := h.messages[id]; known != nil {
		return *known
	}
	return messageHistory{}
}

func (h *receiveHistory) forget(id string) {
	if h.messages[id] == nil {
		return
	}
	delete(h.messages, id)
	if len(h.order) > 2*maxHistory || len(h.messages) == 0 {
		h.order = slices.DeleteFunc(h.order, func(id string) bool { return h.messages[id] == nil })
	}
}

// retrying counts the messages that were tried here and wait.
func (h *receiveHistory) retrying() (n int) {
	for _, known := range h.messages {
		if len(known.attempts) > 0 || known.rejection != nil {
			n++
		}
	}
	return n
}

func (h *receiveHistory) find(requestID string) ([]pillarbox.Attempt, *pillarbox.Rejection, bool) {
	for _, known := range h.messages {
		if known.requestID == requestID && (len(known.attempts) > 0 || known.rejection != nil) {
			return slices.Clone(known.attempts), known.rejection, true
		}
	}
	return nil, nil, false
}
