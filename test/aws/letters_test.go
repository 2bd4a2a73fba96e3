package aws_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"pillarbox"
	"pillarbox/internal/deadletterfile"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/s3"
)

func openLetters(t *testing.T, bucket string) pillarbox.DeadLetters {
	t.Helper()
	letters, err := s3.Open(gatewayClient(), bucket, "dead-letters", s3.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return letters
}

func TestLettersContract(t *testing.T) {
	enginetest.DeadLetters(t, func(t *testing.T) pillarbox.DeadLetters {
		return openLetters(t, newBucket(t))
	})
	enginetest.DeadLettersDurable(t, func(t *testing.T) enginetest.LettersPlace {
		bucket := newBucket(t)
		return enginetest.LettersPlace{
			Open:   func() pillarbox.DeadLetters { return openLetters(t, bucket) },
			Damage: func(destination string, key pillarbox.Key) { damage(t, bucket, destination, key) },
		}
	})
}

// damage cuts the object of a letter in half.
func damage(t *testing.T, bucket, destination string, key pillarbox.Key) {
	t.Helper()
	for name, content := range objectsOf(t, bucket) {
		id, _, ok := deadletterfile.ParseName(strings.TrimPrefix(name, "dead-letters/"))
		if ok && id == deadletterfile.IDOf(destination, key) {
			putObject(t, bucket, name, content[:len(content)/2])
			return
		}
	}
	t.Fatalf("no object of %s for %s", key.RequestID, destination)
}

func putObject(t *testing.T, bucket, name string, content []byte) {
	t.Helper()
	if _, err := gatewayClient().PutObject(t.Context(),
		&awss3.PutObjectInput{Bucket: &bucket, Key: &name, Body: bytes.NewReader(content)}); err != nil {
		t.Fatal(err)
	}
}

// objectsOf reads a whole bucket.
func objectsOf(t *testing.T, bucket string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	pages := awss3.NewListObjectsV2Paginator(gatewayClient(),
		&awss3.ListObjectsV2Input{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range page.Contents {
			out, err := gatewayClient().GetObject(context.Background(),
				&awss3.GetObjectInput{Bucket: &bucket, Key: object.Key})
			if err != nil {
				t.Fatal(err)
			}
			var content bytes.Buffer
			if _, err := content.ReadFrom(out.Body); err != nil {
				t.Fatal(err)
			}
			_ = out.Body.Close()
			all[aws.ToString(object.Key)] = content.Bytes()
		}
	}
	return all
}

// TestLettersOfAWriterAreSeen: a function adds letters, and somebody else reads and resolves them.
func TestLettersOfAWriterAreSeen(t *testing.T) {
	bucket := newBucket(t)
	writer := s3.NewWriter(gatewayClient(), bucket, "dead-letters/")
	reader := openLetters(t, bucket)
	letters := enginetest.Letters(3, 1)
	for i, letter := range letters {
		if err := pillarbox.PutDeadLetter(t.Context(), writer, letter); err != nil {
			t.Fatal(err)
		}
		got, err := reader.Get(t.Context(), letter.Destination, letter.Event.RequestID)
		if err != nil {
			t.Fatalf("letter %d: %v", i, err)
		}
		if diff := enginetest.DiffLetter(got, letter); diff != "" {
			t.Error(diff)
		}
	}
}

// TestLargestLetterIsReadBack: a body of control characters takes six bytes in JSON for each.
func TestLargestLetterIsReadBack(t *testing.T) {
	const maxBody = 16 << 20
	letter := enginetest.Letters(1, 3)[0]
	letter.Event.Body = bytes.Repeat([]byte{1}, maxBody)
	bucket := newBucket(t)
	if err := pillarbox.PutDeadLetter(t.Context(), s3.NewWriter(gatewayClient(), bucket, "dead-letters"),
		letter); err != nil {
		t.Fatal(err)
	}
	got, err := openLetters(t, bucket).Get(t.Context(), letter.Destination, letter.Event.RequestID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := enginetest.DiffLetter(got, letter); diff != "" {
		t.Error(diff[:min(len(diff), 300)])
	}
}

// TestLetterThatDiedAgainCountsOnce: the writer of another day knows nothing of the first, and the
// last one counts.
func TestLetterThatDiedAgainCountsOnce(t *testing.T) {
	bucket := newBucket(t)
	writer := s3.NewWriter(gatewayClient(), bucket, "dead-letters")
	letter := enginetest.Letters(1, 2)[0]
	if err := pillarbox.PutDeadLetter(t.Context(), writer, letter); err != nil {
		t.Fatal(err)
	}
	letter.DeadAt += 3 * 24 * 60 * 60 * 1_000_000
	letter.Reason = "again"
	if err := pillarbox.PutDeadLetter(t.Context(), writer, letter); err != nil {
		t.Fatal(err)
	}
	store := openLetters(t, bucket)
	if count, err := store.Count(t.Context(), letter.Destination); err != nil || count.Open != 1 {
		t.Errorf("count %+v, %v", count, err)
	}
	if got, err := store.Get(t.Context(), letter.Destination, letter.Event.RequestID); err != nil ||
		got.Reason != "again" {
		t.Errorf("got %+v, %v", got, err)
	}
	resolution := pillarbox.Resolution{At: 1, How: pillarbox.ResolvedReplayed}
	if err := pillarbox.ResolveDeadLetter(t.Context(), store,
		pillarbox.DeadLetterKey{Destination: letter.Destination,
			Key: letter.Event.Key()}, resolution); err != nil {
		t.Fatal(err)
	}
	if left := objectsOf(t, bucket); len(left) != 1 {
		t.Errorf("%d objects are left, want 1", len(left))
	}
}

func TestMissingBucketIsAnOutage(t *testing.T) {
	store := openLetters(t, "no-such-bucket")
	if err := pillarbox.PutDeadLetter(t.Context(), store,
		enginetest.Letters(1, 3)[0]); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("put: %v, want ErrUnavailable", err)
	}
	if _, err := store.Count(t.Context(), "a"); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("count: %v, want ErrUnavailable", err)
	}
}

func TestBodiesComeBack(t *testing.T) {
	bucket := newBucket(t)
	bodies := s3.NewBodies(gatewayClient(), bucket, "bodies/")
	events := enginetest.Events(2, 4)
	events[1].RequestID = "no UUID / ../ at all"
	for _, event := range events {
		body := bytes.Repeat([]byte("\x00\xff body "), 1<<17)
		var claim pillarbox.Claim
		for range 2 { // a delivery that comes again claims the same
			again, err := bodies.Put(t.Context(), event.Key(), body)
			if err != nil || claim.Key != "" && again != claim {
				t.Fatalf("put: %+v, %v; before %+v", again, err, claim)
			}
			claim = again
		}
		if got, err := bodies.Get(t.Context(), claim); err != nil || !bytes.Equal(got, body) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		putObject(t, bucket, "bodies/"+claim.Key, []byte("something else"))
		if _, err := bodies.Get(t.Context(), claim); !errors.Is(err, pillarbox.ErrCorrupt) {
			t.Errorf("another body: %v, want ErrCorrupt", err)
		}
	}
	if _, err := bodies.Get(t.Context(), pillarbox.NewClaim("nothing", nil)); !errors.Is(err,
		pillarbox.ErrNotFound) {
		t.Errorf("unknown claim: %v, want ErrNotFound", err)
	}
}
