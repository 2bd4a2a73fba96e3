package catalog_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/vfs"
)

func open(t *testing.T) catalog.Place {
	t.Helper()
	disk, err := vfs.OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	return catalog.Place{Data: disk}
}

func TestEnginesOpenByTheirURL(t *testing.T) {
	place := open(t)
	queue, err := catalog.OpenQueue(place, "seglog:", catalog.QueueOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sink, err := catalog.OpenSink(context.Background(), place, "events", "sqlite:")
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Write(context.Background(), []*pillarbox.Event{{Timestamp: 1, RequestID: "x"}}); err != nil {
		t.Error(err)
	}
	letters, err := catalog.OpenDeadLetters(place, "files:letters")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(letters.Close(), sink.Close(), queue.Close()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"queue", "events.db", "letters"} {
		if _, err := os.Stat(filepath.Join(place.Data.Dir(), name)); err != nil {
			t.Error(err)
		}
	}
}

func TestUnknownEnginesAreNamedWithWhatIsPossible(t *testing.T) {
	for url, want := range map[string]string{
		"kafka://host": "queue.url", "seglog": "seglog:", "": "possible here", "seglog:../outside": "below the data directory",
	} {
		_, err := catalog.OpenQueue(open(t), url, catalog.QueueOptions{})
		if !errors.Is(err, pillarbox.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want ErrInvalid with %q", url, err, want)
		}
	}
	if err := catalog.CheckSink("events", "oracle:x"); !errors.Is(err, pillarbox.ErrInvalid) || !strings.Contains(err.Error(), "destinations.events.url") {
		t.Errorf("unknown destination: %v", err)
	}
	if _, err := catalog.OpenDeadLetters(open(t), "files:../outside"); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("dead letters outside by a relative path: %v", err)
	}
}

// TestEngineThatCantBeOpenedIsNil: a nil engine in a role would not be nil, and closing it would crash.
func TestEngineThatCantBeOpenedIsNil(t *testing.T) {
	place := open(t)
	for _, name := range []string{"queue", "dead-letters"} {
		if err := os.WriteFile(filepath.Join(place.Data.Dir(), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if queue, err := catalog.OpenQueue(place, "seglog:", catalog.QueueOptions{}); err == nil || queue != nil {
		t.Errorf("queue %v, %v", queue, err)
	}
	if letters, err := catalog.OpenDeadLetters(place, "files:"); err == nil || letters != nil {
		t.Errorf("dead letters %v, %v", letters, err)
	}
}
