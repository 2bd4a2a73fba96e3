package aws_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/parquet"
	"pillarbox/internal/engine/s3"
)

// openParquet opens a store of Parquet files in a bucket, as the binary does.
func openParquet(t *testing.T, bucket string, options parquet.Options) *parquet.Store {
	t.Helper()
	scratch := filepath.Join(t.TempDir(), "uploads")
	return parquet.OpenBucket("s3://"+bucket+"/events", func() (parquet.Bucket, error) {
		return s3.OpenTree(gatewayClient(), bucket, "events", "", scratch)
	}, options)
}

func TestParquetContract(t *testing.T) {
	options := parquet.Options{Unmaintained: true, FoldFiles: 3}
	enginetest.Sink(t, func(t *testing.T) pillarbox.Sink { return openParquet(t, newBucket(t), options) })
	place := func(t *testing.T) func() pillarbox.Sink {
		bucket := newBucket(t)
		return func() pillarbox.Sink { return openParquet(t, bucket, options) }
	}
	enginetest.SinkDurable(t, place)
	enginetest.PurgeDurable(t, place)
}

// A real server refuses the manifest of a writer that does not know the last one, and takes it again when
// the other has gone.
func TestParquetHasOneWriter(t *testing.T) {
	bucket, events := newBucket(t), enginetest.Events(60, 1)
	first := openParquet(t, bucket, parquet.Options{Unmaintained: true})
	write := func(store *parquet.Store, some []*pillarbox.Event) {
		t.Helper()
		if err := store.Write(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	write(first, events[:20])
	second := openParquet(t, bucket, parquet.Options{Unmaintained: true})
	write(second, events[10:40])
	if err := first.Write(t.Context(), events[40:]); !errors.Is(err, pillarbox.ErrUnavailable) || !strings.Contains(err.Error(), "another pillarbox") {
		t.Errorf("the first goes on: %v", err)
	}
	if err := errors.Join(second.Maintain(t.Context()), second.Close()); err != nil {
		t.Fatal(err)
	}
	write(first, events[40:])
	if count, err := first.Count(t.Context()); err != nil || count != 60 {
		t.Errorf("%d events, %v", count, err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
}

// TestParquetTwoAtOnce: two writers put a manifest in the place of the same one, and one of them is told.
func TestParquetTwoAtOnce(t *testing.T) {
	bucket := newBucket(t)
	tree, err := s3.OpenTree(gatewayClient(), bucket, "x", "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	version := ""
	for round := range 10 {
		type answer struct {
			version string
			err     error
		}
		answers := make(chan answer, 2)
		for _, text := range []string{"a", "b"} {
			go func() {
				next, err := tree.Replace(context.Background(), "manifest", []byte(text+strings.Repeat("x", round)), version)
				answers <- answer{next, err}
			}()
		}
		one, other := <-answers, <-answers
		if (one.err == nil) == (other.err == nil) || !errors.Is(errors.Join(one.err, other.err), pillarbox.ErrConflict) {
			t.Fatalf("round %d: %v, and %v", round, one.err, other.err)
		}
		if version = one.version; one.err != nil {
			version = other.version
		}
	}
}
