package parquet_test

import (
	"path/filepath"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/parquet"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// small makes everything happen that takes many files: days get files of their own.
var small = parquet.Options{Unmaintained: true, FoldFiles: 3}

func TestSink(t *testing.T) {
	enginetest.Sink(t, func(t *testing.T) pillarbox.Sink {
		return parquet.Open(filepath.Join(t.TempDir(), "events"), parquet.Options{})
	})
}

// TestSinkOfDays is TestSink with a manifest that is folded all the time.
func TestSinkOfDays(t *testing.T) {
	enginetest.Sink(t, func(t *testing.T) pillarbox.Sink {
		return parquet.Open(filepath.Join(t.TempDir(), "events"), small)
	})
}

func TestSinkDurable(t *testing.T) {
	for name, options := range map[string]parquet.Options{"": {}, "of days": small} {
		t.Run(name, func(t *testing.T) {
			place := func(t *testing.T) func() pillarbox.Sink {
				dir := filepath.Join(t.TempDir(), "events")
				return func() pillarbox.Sink { return parquet.Open(dir, options) }
			}
			enginetest.SinkDurable(t, place)
			enginetest.PurgeDurable(t, place)
		})
	}
}
