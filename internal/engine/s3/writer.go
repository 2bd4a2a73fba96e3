package s3

import (
	"context"
	"fmt"

	"pillarbox"
	"pillarbox/internal/deadletterfile"
)

// letterType is the content type of a dead letter.
const letterType = "application/json"

// Writer adds dead letters to a bucket, and needs no permission but to put objects.
type Writer struct{ objects objects }

// NewWriter prepares to write below the prefix. It makes no request.
func NewWriter(client API, bucket, prefix string) *Writer {
	return &Writer{newObjects(client, bucket, prefix, "")}
}

// PutMany makes the letters durable, as open ones. It does what Letters.PutMany does except for one
// thing: an older letter of the same event under another name stays, and does not count any more.
// Errors: ErrInvalid, ErrUnavailable.
func (w *Writer) PutMany(ctx context.Context, letters []*pillarbox.DeadLetter) error {
	return each(len(letters), func(i int) error { return w.put(ctx, letters[i]) })
}

func (w *Writer) put(ctx context.Context, letter *pillarbox.DeadLetter) error {
	named, content, err := deadletterfile.Encode(letter, nil)
	if err != nil {
		return err
	}
	name := deadletterfile.Name(named, deadletterfile.PlaceOf(letter.DeadAt, deadletterfile.Open))
	if err := w.objects.put(ctx, name, letterType, content); err != nil {
		return fmt.Errorf("put dead letter: %w", err)
	}
	return nil
}
