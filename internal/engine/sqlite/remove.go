package sqlite

import (
	"context"
	"errors"
	"fmt"

	"pillarbox"
)

// Remove implements pillarbox.Sink: one transaction. The mark of the store stays as it is: it grows
// with what is stored, and nothing takes it back.
func (s *Store) Remove(ctx context.Context, keys []pillarbox.Key) error {
	if len(keys) == 0 {
		return ctx.Err()
	}
	if err := s.lock(ctx); err != nil {
		return s.failed(ctx, "remove from", err)
	}
	defer s.unlock()
	writer, err := s.ready(ctx)
	if err != nil {
		return s.failed(ctx, "open", err)
	}
	err = protect(func() error { return writer.remove(ctx, keys) })
	if err == nil {
		err = writer.files.check(s.path)
	}
	if err != nil {
		s.afterError(err)
		return s.failed(ctx, "remove from", err)
	}
	return nil
}

func (w *writer) remove(ctx context.Context, keys []pillarbox.Key) error {
	w.conn.SetInterrupt(ctx)
	defer w.conn.SetInterrupt(context.Background())
	if err := w.conn.Exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	_, err := w.deleteRows(keys)
	if err == nil {
		if err = w.conn.Exec("COMMIT"); err != nil {
			err = fmt.Errorf("commit: %w", err)
		}
	}
	if err != nil {
		return errors.Join(err, w.rollback())
	}
	return nil
}
