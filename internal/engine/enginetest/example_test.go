package enginetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
)

// begin of the example in docs/ENGINES.md

// Folder is a sink that keeps each event as one JSON file. Writing an event again replaces its
// file, so it is idempotent.
type Folder struct {
	pillarbox.SinkDefaults // it can't be read back, and has no identity
	dir                    string
	closed                 atomic.Bool
}

// OpenFolder makes the directory if it is missing. Errors: ErrUnavailable.
func OpenFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unavailable(err)
	}
	return &Folder{dir: dir}, nil
}

// Write implements pillarbox.Sink.
func (f *Folder) Write(ctx context.Context, events []*pillarbox.Event) error {
	if f.closed.Load() {
		return fmt.Errorf("folder %s: %w", f.dir, pillarbox.ErrClosed)
	}
	for _, event := range events {
		if err := ctx.Err(); err != nil {
			return err // nothing is known about any of them; those that are there are written again
		}
		if err := f.writeOne(event); err != nil {
			return err
		}
	}
	return f.sync()
}

func (f *Folder) writeOne(event *pillarbox.Event) error {
	text, err := json.Marshal(event)
	if err != nil {
		return pillarbox.Permanent(fmt.Errorf("encode event %s: %w", event.RequestID, err)) // it will never be otherwise
	}
	if strings.ContainsAny(event.RequestID, "/\x00") {
		return pillarbox.Permanent(fmt.Errorf("the request id %q is no name of a file", event.RequestID))
	}
	file, err := os.CreateTemp(f.dir, "new-*")
	if err != nil {
		return unavailable(err)
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return unavailable(err)
	}
	return unavailable(os.Rename(file.Name(),
		filepath.Join(f.dir, event.Timestamp.String()+"-"+event.RequestID+".json")))
}

// sync makes the names durable.
func (f *Folder) sync() error {
	dir, err := os.Open(f.dir)
	if err != nil {
		return unavailable(err)
	}
	return unavailable(errors.Join(dir.Sync(), dir.Close()))
}

// unavailable says that no event is to blame for an error of the disk.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", err, pillarbox.ErrUnavailable)
}

// Close implements pillarbox.Sink.
func (f *Folder) Close() error {
	f.closed.Store(true)
	return nil
}

// end of the example

// TestTheExampleKeepsTheContract: what the guide shows is a sink.
func TestTheExampleKeepsTheContract(t *testing.T) {
	enginetest.Sink(t, func(t *testing.T) pillarbox.Sink {
		folder, err := OpenFolder(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return folder
	})
}

// TestTheGuideShowsTheExample as it is compiled.
func TestTheGuideShowsTheExample(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(source), "// begin of the example in docs/ENGINES.md\n")
	example, _, ended := strings.Cut(rest, "// end of the example\n")
	if !found || !ended {
		t.Fatal("the example has no begin or no end")
	}
	guide, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "ENGINES.md"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatal("there is no guide")
	}
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(guide), strings.TrimSpace(example)) {
		t.Error("docs/ENGINES.md shows another example than the one that is tested")
	}
}
