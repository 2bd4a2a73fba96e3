package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/sqlite"
)

// Clients post bodies that occur once, and remember what they were told.
type Clients struct {
	mu       sync.Mutex
	acked    map[string]pillarbox.Receipt // by body
	sent     map[string]bool
	refused  int // answered with something else than 202
	unknown  int // not answered
	sequence int
}

// NewClients makes clients that have sent nothing yet.
func NewClients() *Clients {
	return &Clients{acked: map[string]pillarbox.Receipt{}, sent: map[string]bool{}}
}

// Load posts with some connections until ctx ends.
func (c *Clients) Load(ctx context.Context, url string, connections int) {
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	var running sync.WaitGroup
	for range connections {
		running.Go(func() {
			for ctx.Err() == nil {
				c.post(client, url)
			}
		})
	}
	running.Wait()
}

// Acked is how many events were acknowledged.
func (c *Clients) Acked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acked)
}

func (c *Clients) post(client *http.Client, url string) {
	c.mu.Lock()
	c.sequence++
	body := fmt.Sprintf(`{"sequence":%d,"pad":"%s"}`, c.sequence, strings.Repeat("x", c.sequence%700))
	c.sent[body] = true
	c.mu.Unlock()
	response, err := client.Post(url, "application/json", strings.NewReader(body))
	var text []byte
	if err == nil {
		text, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var receipt pillarbox.Receipt
	switch {
	case err != nil:
		c.unknown++
	case response.StatusCode != http.StatusAccepted || json.Unmarshal(text, &receipt) != nil:
		c.refused++
	default:
		c.acked[body] = receipt
	}
}

// Check holds what the clients were told against the database. The server must be stopped, with nothing
// pending and no dead letter.
func (c *Clients) Check(t *testing.T, data string) {
	t.Helper()
	store, err := sqlite.Open(context.Background(), filepath.Join(data, "events.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	stored := map[string]pillarbox.Key{}
	filter := pillarbox.EventFilter{Limit: pillarbox.MaxListLimit}
	for {
		page, err := store.List(context.Background(), filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range page {
			body := string(event.Body)
			if !c.sent[body] {
				t.Fatalf("stored and never sent: %s", body)
			}
			if other, twice := stored[body]; twice {
				t.Fatalf("stored twice, as %v and %v: %s", other, event.Key(), body)
			}
			stored[body] = event.Key()
		}
		if len(page) < pillarbox.MaxListLimit {
			break
		}
		filter.After = page[len(page)-1].Key()
	}
	for body, receipt := range c.acked {
		if key, ok := stored[body]; !ok || key.RequestID != receipt.RequestID || key.Timestamp != receipt.Timestamp {
			t.Fatalf("acknowledged as %+v and stored as %v: %s", receipt, key, body)
		}
	}
	t.Logf("%d acknowledged, %d without an answer, %d refused, %d stored", len(c.acked), c.unknown, c.refused, len(stored))
}
