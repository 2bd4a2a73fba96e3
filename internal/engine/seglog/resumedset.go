package seglog

import (
	"maps"
	"slices"
)

// resumedSet is the deferred events that were read again, as many as there is memory for.
//
// Locks: that of its consumer.
type resumedSet struct {
	items  map[uint64]*item
	reader *reader // nil until there was one to read
	from   uint64  // where the next one is looked for
}

// next finds a deferred event below the cursor that is not in memory. It goes around, so that the
// oldest ones do not keep the others from being tried.
func (r *resumedSet) next(s *state) (uint64, bool) {
	for range 2 {
		for seq, ok := s.deferred.next(r.from); ok && seq < s.cursor; seq, ok = s.deferred.next(seq + 1) {
			if r.items[seq] == nil {
				return seq, true
			}
		}
		r.from = 0
	}
	return 0, false
}

func (r *resumedSet) bytes() (sum int64) {
	for _, it := range r.items {
		sum += it.bytes
	}
	return sum
}

func (r *resumedSet) inOrder() []*item {
	return slices.SortedFunc(maps.Values(r.items),
		func(a, b *item) int { return int(int64(a.seq) - int64(b.seq)) })
}
