package dynamodb

import "pillarbox"

var _ pillarbox.Sink = (*Store)(nil)

// Traits implements pillarbox.Sink. The package comment says why StoredAt is that of the latest
// write.
func (s *Store) Traits() pillarbox.SinkTraits {
	return pillarbox.SinkTraits{Readable: true, LatestAt: true, Removes: true}
}
