package files

import (
	"strings"

	"pillarbox"
)

func (x *index) countLocked(destination string) *pillarbox.DeadLetterCount {
	count := x.counts[destination]
	if count == nil {
		count = new(pillarbox.DeadLetterCount)
		x.counts[strings.Clone(destination)] = count
	}
	return count
}

func counter(count *pillarbox.DeadLetterCount, is kind, in state) *uint64 {
	switch {
	case is == rowMissing:
		return &count.Missing
	case in == replayed:
		return &count.Replayed
	case in == discarded:
		return &count.Discarded
	default:
		return &count.Open
	}
}
