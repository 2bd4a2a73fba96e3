package seglog

import (
	"maps"

	"pillarbox"
)

// position is how far a destination is: everything below the cursor is settled, and the frame that
// holds the cursor begins at offset or later.
type position struct {
	start   uint64 // sequence number of the first event that the destination gets
	cursor  uint64 // sequence number of the first event that is not settled
	segment uint64
	offset  int64
}

// counters are what became of the events below the cursor.
type counters struct {
	Stored  uint64 `json:"stored"`
	Dead    uint64 `json:"dead"`
	Skipped uint64 `json:"skipped"`
	Damaged uint64 `json:"damaged"`

	// SkippedBy is Skipped by rule. States from before there were rules have only the sum.
	SkippedBy pillarbox.Skips `json:"skipped_by,omitzero"`
}

// ruleFrom is the rule of a destination for events from a sequence number on.
type ruleFrom struct {
	From uint64         `json:"from"`
	Rule pillarbox.Rule `json:"rule"`
}

// aside are events that are not where the cursor says. All of them are read from their segments
// when they are needed, so their segments are kept while they are held or deferred.
type aside struct {
	held     seqSet // no destination takes them any more: pending, on either side of the cursor
	deferred seqSet // below the cursor and pending: to be handed out again
	routed   seqSet // meant for the destination by a person's word, whatever its rules say
	waived   seqSet // settled as skipped although the rule of their time took them
	filtered seqSet // settled as skipped by the filter of their time, which the log can't evaluate
	backfill seqSet // pending, because a back-fill has taken them from what was skipped
	unread   seqSet // below the cursor; the disk could not read them, and may another time: they count as damaged
}

func (a *aside) sets() map[string]*seqSet {
	return map[string]*seqSet{
		"held": &a.held, "deferred": &a.deferred, "routed": &a.routed, "waived": &a.waived,
		"filtered": &a.filtered, "backfill": &a.backfill, "unread": &a.unread,
	}
}

// asideFrame is the JSON form of one set: all of it in a snapshot, what changes in a delta.
type asideFrame struct {
	Blocks []setBlock `json:"blocks,omitempty"`
	Add    runs       `json:"add,omitempty"`
	Remove runs       `json:"remove,omitempty"`
}

// retryEntry is an event that left the order of the log to wait for another attempt, or for its
// dead letter. It carries the event itself, so that one stubborn event doesn't hold a segment. An
// entry with an outcome is an event that is settled while the cursor has not passed it yet; it
// waits for nothing but the cursor.
type retryEntry struct {
	Seq       uint64                `json:"seq"`
	Outcome   pillarbox.OutcomeKind `json:"outcome,omitempty"`
	Record    []byte                `json:"record,omitempty"` // the fields, as in a segment
	Attempts  []pillarbox.Attempt   `json:"attempts,omitempty"`
	Due       pillarbox.Timestamp   `json:"due"`
	Rejection *pillarbox.Rejection  `json:"verdict,omitempty"`
	Held      bool                  `json:"held,omitempty"` // no destination takes it any more
	Skip      string                `json:"skip,omitempty"` // the rule of an entry whose outcome is skipped
}

// stateFrame is the JSON payload of a snapshot or a delta.
type stateFrame struct {
	Start    uint64        `json:"start"`
	Cursor   uint64        `json:"cursor"`
	Segment  uint64        `json:"segment"`
	Offset   int64         `json:"offset"`
	Counters counters      `json:"counters"`
	Retry    []*retryEntry `json:"retry,omitempty"` // all of them in a snapshot, new or changed ones in a delta
	Done     []uint64      `json:"done,omitempty"`  // sequence numbers that no longer wait

	Store pillarbox.StoreRecord  `json:"store,omitzero"`
	Pause *pillarbox.PauseRecord `json:"pause,omitempty"` // in a delta that changes it, and in a snapshot while it is paused

	Began  pillarbox.Timestamp   `json:"began,omitzero"`   // in a snapshot
	Copied *pillarbox.CopyRecord `json:"copied,omitempty"` // in a delta that changes it, and in a snapshot once there is one

	Rules []ruleFrom             `json:"rules,omitempty"` // all of them in a snapshot, and in a delta that changes them
	Aside map[string]*asideFrame `json:"aside,omitempty"`
}

// aside returns the changes of a set.
func (f *stateFrame) aside(set string) *asideFrame {
	if f.Aside == nil {
		f.Aside = map[string]*asideFrame{}
	}
	if f.Aside[set] == nil {
		f.Aside[set] = &asideFrame{}
	}
	return f.Aside[set]
}

// state is the delivery state of one destination, in memory.
type state struct {
	position
	counters
	retry map[uint64]*retryEntry
	store pillarbox.StoreRecord
	pause pillarbox.PauseRecord

	began  pillarbox.Timestamp // when the destination was made; 0 for a state from before that was kept
	copied pillarbox.CopyRecord

	rules []ruleFrom // in order; empty for a state from before there were rules
	aside
}

func (s *state) apply(frame *stateFrame) {
	s.position = position{
		start: frame.Start, cursor: frame.Cursor, segment: frame.Segment, offset: frame.Offset,
	}
	s.counters = frame.Counters
	if frame.Store != (pillarbox.StoreRecord{}) {
		s.store = frame.Store
	}
	if frame.Pause != nil {
		s.pause = *frame.Pause
	}
	if frame.Began != 0 {
		s.began = frame.Began
	}
	if frame.Copied != nil {
		s.copied = *frame.Copied
	}
	for _, entry := range frame.Retry {
		s.retry[entry.Seq] = entry
	}
	for _, seq := range frame.Done {
		delete(s.retry, seq)
	}
	if frame.Rules != nil {
		s.rules = frame.Rules
	}
	s.applyAside(frame)
}

func (s *state) applyAside(frame *stateFrame) {
	if len(frame.Aside) == 0 {
		return
	}
	for name, set := range s.sets() {
		if changes := frame.Aside[name]; changes != nil {
			if changes.Blocks != nil {
				*set, _ = decodeSet(changes.Blocks) // plausible has looked at it
			}
			changes.Remove.each(set.remove)
			changes.Add.each(set.add)
		}
	}
}

// with returns a copy of the state with the delta applied.
func (s *state) with(delta *stateFrame) *state {
	result := &state{
		position: s.position, counters: s.counters, retry: maps.Clone(s.retry), rules: s.rules,
		store: s.store, pause: s.pause, began: s.began, copied: s.copied,
	}
	for name, set := range result.sets() {
		*set = s.sets()[name].clone()
	}
	result.apply(delta)
	return result
}

func (s *state) snapshot() *stateFrame {
	frame := &stateFrame{
		Start: s.start, Cursor: s.cursor, Segment: s.segment, Offset: s.offset,
		Counters: s.counters,
	}
	for _, entry := range s.retry {
		frame.Retry = append(frame.Retry, entry)
	}
	frame.Rules, frame.Store = s.rules, s.store
	if s.pause.IsPaused() {
		frame.Pause = &s.pause
	}
	if frame.Began = s.began; s.copied.Job != "" {
		frame.Copied = &s.copied
	}
	for name, set := range s.sets() {
		if set.count > 0 {
			frame.aside(name).Blocks = set.encode()
		}
	}
	return frame
}

// count adds to the counters. rule is that of skipped events.
func (s *state) count(kind pillarbox.OutcomeKind, rule string, n uint64) {
	switch kind {
	case pillarbox.OutcomeStored:
		s.Stored += n
	case pillarbox.OutcomeDead:
		s.Dead += n
	case pillarbox.OutcomeSkipped:
		s.Skipped += n
		*s.SkippedBy.Of(rule) += n
	}
}

// uncount takes skipped events back.
func (s *state) uncount(rule string, n uint64) {
	s.Skipped -= min(s.Skipped, n)
	by := s.SkippedBy.Of(rule)
	*by -= min(*by, n)
}

// skipRule says by which rule an event below the cursor was skipped. Nothing but the canary's rule
// skips an event of the canary that was accepted after the destination began.
func (s *state) skipRule(seq uint64, event *pillarbox.Event) string {
	switch {
	case seq >= s.start && event.IsCanary():
		return pillarbox.SkippedCanary
	case seq < s.start:
		return pillarbox.SkippedBefore
	case s.filtered.has(seq):
		return pillarbox.SkippedFilter
	case !s.waived.has(seq):
		return pillarbox.SkippedSource
	case s.SkippedBy.Elsewhere > 0:
		return pillarbox.SkippedElsewhere
	case s.SkippedBy.Routed > 0:
		return pillarbox.SkippedRouted
	}
	return pillarbox.SkippedForgotten
}

// nothing is the rule of a destination for what was accepted before it began.
var nothing = &pillarbox.Rule{Sources: []string{}}

// ruleAt returns the rule that held for an event, and nil where no rule was recorded yet.
func (s *state) ruleAt(seq uint64) *pillarbox.Rule { return ruleAt(s.rules, s.start, seq) }

func ruleAt(rules []ruleFrom, start, seq uint64) *pillarbox.Rule {
	if seq < start {
		return nothing
	}
	for i := len(rules) - 1; i >= 0; i-- {
		if rules[i].From <= seq {
			return &rules[i].Rule
		}
	}
	return nil
}

// hasHad reports whether the event was meant for the destination anyway. Where no rule is known for
// its time, the first known one speaks for it.
func (s *state) hasHad(delivery *pillarbox.Delivery) bool {
	seq := delivery.Handle.Seq
	rule := s.ruleAt(seq)
	if rule == nil && len(s.rules) > 0 {
		rule = &s.rules[0].Rule
	}
	if rule == nil || !rule.Takes(delivery.Event) || s.waived.has(seq) || s.filtered.has(seq) {
		return false
	}
	return rule.Where == "" || !s.waits(seq) // whether a filter takes what waits is not known yet
}

// waits reports whether the event is pending.
func (s *state) waits(seq uint64) bool {
	if entry := s.retry[seq]; entry != nil {
		return entry.Outcome == 0
	}
	return seq >= s.cursor || s.isAside(seq)
}

// isAside reports whether an event below the cursor is not settled.
func (s *state) isAside(seq uint64) bool {
	return s.held.has(seq) || s.deferred.has(seq) || s.unread.has(seq)
}

func (s *state) hasRetryBelow(seq uint64) bool {
	for waiting := range s.retry {
		if waiting < seq {
			return true
		}
	}
	return false
}

// dropBeyond forgets marks of events that the log does not hold any more: others will get their
// numbers.
func (s *state) dropBeyond(next uint64) {
	for _, set := range s.sets() {
		for seq, ok := set.next(next); ok; seq, ok = set.next(seq) {
			set.remove(seq)
		}
	}
}
