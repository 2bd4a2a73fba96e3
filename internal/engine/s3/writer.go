package s3

import (
	"context"
	"fmt"

	"pillarbox"
	"pillarbox/internal/letterfile"
)

// letterType is the content type of a dead letter.
const letterType = "application/json"

// Writer adds dead letters to a bucket, and needs no permission but to put objects.
type Writer struct{ objects objects }

// NewWriter prepares to write below the prefix. It makes no request.
func NewWriter(client API, bucket, prefix string) *Writer {
	return &Writer{newObjects(client, bucket, prefix, "")}
}

// Put makes the letter durable, as an open one. It does what Letters.Put does except for one thing: an older letter of
// the same event under another name stays, and does not count any more. Errors: ErrInvalid, ErrUnavailable.
func (w *Writer) Put(ctx context.Context, letter *pillarbox.DeadLetter) error {
	named, content, err := letterfile.Encode(letter, nil)
	if err != nil {
		return err
	}
	name := letterfile.Name(named, letterfile.PlaceOf(letter.DeadAt, letterfile.Open))
	if err := w.objects.put(ctx, name, letterType, content); err != nil {
		return fmt.Errorf("put dead letter: %w", err)
	}
	return nil
}
