package dynamodb

import "pillarbox"

var _ pillarbox.Sink = (*Store)(nil)

// Traits implements pillarbox.Sink. The package comment says why StoredAt is that of the latest
// write.
func (s *Store) Traits() pillarbox.SinkTraits {
	return pillarbox.SinkTraits{Readable: true, LatestAt: true}
}

// Identity implements pillarbox.Sink: a table has none.
func (s *Store) Identity() pillarbox.StoreIdentity { return pillarbox.StoreIdentity{} }
