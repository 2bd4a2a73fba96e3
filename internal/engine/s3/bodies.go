package s3

import (
	"context"

	"pillarbox"
	"pillarbox/internal/deadletterfile"
)

var _ pillarbox.Bodies = (*Bodies)(nil)

// Bodies keeps bodies that are too large to travel with their event.
type Bodies struct{ objects objects }

// NewBodies prepares to keep bodies below the prefix. It makes no request.
func NewBodies(client API, bucket, prefix string) *Bodies {
	return &Bodies{newObjects(client, bucket, prefix, "")}
}

// Put implements pillarbox.Bodies. The same event has the same object, and putting it again writes
// the same bytes. A condition (If-None-Match) would spare them, but servers that refuse while the
// body is still on its way hang up on it.
func (b *Bodies) Put(ctx context.Context, key pillarbox.Key, body []byte) (pillarbox.Claim, error) {
	place := deadletterfile.PlaceOf(key.Timestamp, deadletterfile.Open)
	name := place.DayName() + "/" + deadletterfile.Stem(key.Timestamp) + "." +
		deadletterfile.TokenOf(key.RequestID).String()
	if err := b.objects.put(ctx, name, "application/octet-stream", body); err != nil {
		return pillarbox.Claim{}, err
	}
	return pillarbox.NewClaim(name, body), nil
}

// Get implements pillarbox.Bodies.
func (b *Bodies) Get(ctx context.Context, claim pillarbox.Claim) ([]byte, error) {
	body, err := b.objects.get(ctx, claim.Key)
	if err != nil {
		return nil, err
	}
	return body, claim.Check(body)
}
