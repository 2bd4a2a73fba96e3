package express_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/express"
	"pillarbox/internal/ingest"
	"pillarbox/internal/vfs"
)

// TestLogKeepsWhatWasSent posts to a log on a disk from many connections. Texts of a request are
// parts of buffers that the next turn writes over: what the log holds must be what was sent all the
// same.
func TestLogKeepsWhatWasSent(t *testing.T) {
	disk, err := vfs.OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	log, err := seglog.Open(disk, "queue", seglog.Options{SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if _, err := log.Account(destination); err != nil {
		t.Fatal(err)
	}
	b := prepare(t)
	b.accept.Ingest = ingest.New(log, ingest.Options{})
	b.start(express.Options{Loops: 2})
	var mu sync.Mutex
	sent := map[string]string{} // by id
	var clients sync.WaitGroup
	for who := range 16 {
		c := b.dial()
		clients.Go(func() {
			for i := range 50 {
				mark := fmt.Sprintf("%d-%d", who, i)
				c.send(fmt.Sprintf("POST /app?%s HTTP/1.1\r\nHost: a\r\nX-Mark: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", mark, mark, mark, len(mark), mark))
				id := c.wants(http.StatusAccepted).Header.Get("X-Request-Id")
				mu.Lock()
				sent[id] = mark
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	err = log.Scan(context.Background(), destination,
		func(event *pillarbox.Event, _ pillarbox.Standing) error {
			mark := sent[event.RequestID]
			delete(sent, event.RequestID)
			want := pillarbox.Header{{Name: "X-Mark", Value: mark}, {Name: "Content-Type", Value: mark}}
			if string(event.Body) != mark || event.Query != mark || event.ContentType != mark ||
				event.Path != "/app" || fmt.Sprint(event.Header) != fmt.Sprint(want) {
				return fmt.Errorf("%s was sent, and %+v is stored", mark, event)
			}
			return nil
		})
	if err != nil || len(sent) > 0 {
		t.Errorf("%d are missing, %v", len(sent), err)
	}
}
