package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"pillarbox"
)

// Remove implements pillarbox.Sink: one transaction. It needs the right to DELETE, also where
// nothing is there to be removed.
func (s *Store) Remove(ctx context.Context, keys []pillarbox.Key) error {
	if len(keys) == 0 {
		return ctx.Err()
	}
	return s.inTransaction(ctx, "remove from", pgx.TxOptions{}, func(tx pgx.Tx) error {
		_, err := s.deleteRows(ctx, tx, keys)
		return err
	})
}
