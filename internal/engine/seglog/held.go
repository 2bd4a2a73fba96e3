package seglog

import (
	"pillarbox"
)

func (c *consumer) visitPending(read *chunk, visit func(*pillarbox.Delivery) error) error {
	for i := range read.records {
		seq := read.firstSeq + uint64(i)
		event, size := read.event(seq)
		if event == nil {
			continue
		}
		c.mu.Lock()
		it := c.windowItem(seq)
		pending := c.isPending(seq) || it != nil && it.leased
		delivery := pillarbox.Delivery{
			Handle: pillarbox.Handle{Seq: seq}, Event: event, Bytes: size, Rule: c.state.ruleAt(seq), Routed: c.state.routed.has(seq),
		}
		c.mu.Unlock()
		if !pending {
			continue
		}
		if err := visit(&delivery); err != nil {
			return err
		}
	}
	return nil
}

// endHeld settles an event if it is held, and returns how many that are.
func (s *settlement) endHeld(outcome pillarbox.Outcome) int {
	c, seq := s.consumer, outcome.Handle.Seq
	waiting := c.retrying[seq]
	inState := waiting != nil && waiting.held
	if _, again := s.settled[seq]; again || !inState && !c.state.held.has(seq) {
		return 0
	}
	below := seq < c.state.cursor
	s.end(&item{seq: seq}, outcome, inState || !below, below)
	s.leaveAside(seq, outcome.Kind)
	return 1
}
