package postgres

import "pillarbox"

var _ pillarbox.Sink = (*Store)(nil)

// Traits implements pillarbox.Sink.
func (s *Store) Traits() pillarbox.SinkTraits {
	return pillarbox.SinkTraits{Readable: true, Identified: true, Purges: true, Removes: true}
}
