package sqlite

import (
	"context"

	"pillarbox"
)

var _ pillarbox.Sink = (*Store)(nil)

// Traits implements pillarbox.Sink.
func (s *Store) Traits() pillarbox.SinkTraits {
	return pillarbox.SinkTraits{Readable: true, Identified: true, Purges: true, Removes: true}
}

// Check implements pillarbox.Sink. Open has looked at the file, or it is tried again with each
// write.
func (s *Store) Check(context.Context) error { return nil }
