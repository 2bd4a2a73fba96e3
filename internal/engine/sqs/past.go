package sqs

import (
	"slices"

	"pillarbox"
)

// maxPast is how many messages that wait for another attempt are remembered. What is forgotten only loses the errors
// of its attempts, and counts all its receives as attempts.
const maxPast = 10_000

// past remembers what was done here with messages that come again. Its user has a lock.
type past struct {
	messages map[string]*tried // by message id
	order    []string          // oldest first
}

// tried is what was done with one message.
type tried struct {
	requestID string
	attempts  []pillarbox.Attempt
	verdict   *pillarbox.Verdict
	idle      int // receives that were no attempts
}

func newPast() past { return past{messages: map[string]*tried{}} }

// of returns what is known of the message; it may be changed.
func (p *past) of(id, requestID string) *tried {
	known := p.messages[id]
	if known != nil {
		return known
	}
	for len(p.messages) >= maxPast {
		delete(p.messages, p.order[0])
		p.order = p.order[1:]
	}
	known = &tried{requestID: requestID}
	p.messages[id] = known
	p.order = append(p.order, id)
	return known
}

func (p *past) lookup(id string) tried {
	if known := p.messages[id]; known != nil {
		return *known
	}
	return tried{}
}

func (p *past) forget(id string) {
	if p.messages[id] == nil {
		return
	}
	delete(p.messages, id)
	if len(p.order) > 2*maxPast || len(p.messages) == 0 {
		p.order = slices.DeleteFunc(p.order, func(id string) bool { return p.messages[id] == nil })
	}
}

// retrying counts the messages that were tried here and wait.
func (p *past) retrying() (n int) {
	for _, known := range p.messages {
		if len(known.attempts) > 0 || known.verdict != nil {
			n++
		}
	}
	return n
}

func (p *past) find(requestID string) ([]pillarbox.Attempt, *pillarbox.Verdict, bool) {
	for _, known := range p.messages {
		if known.requestID == requestID && (len(known.attempts) > 0 || known.verdict != nil) {
			return slices.Clone(known.attempts), known.verdict, true
		}
	}
	return nil, nil, false
}
