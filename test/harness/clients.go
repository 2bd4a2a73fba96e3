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

// Comparison is what the clients were told against what the database holds.
type Comparison struct {
	Acked, Unknown, Refused, Stored int

	Lost   []string // acknowledged, and not stored with the key and the body of the receipt
	Twice  []string // stored under two keys
	Unsent []string // stored, and no client has sent it
}

func (c Comparison) String() string {
	return fmt.Sprintf("%d acknowledged, %d without an answer, %d refused, %d stored", c.Acked, c.Unknown, c.Refused, c.Stored)
}

// Check fails the test where an acknowledged event is not stored exactly once. The server must be stopped, with
// nothing pending and no dead letter.
func (c *Clients) Check(t *testing.T, data string) {
	t.Helper()
	result := c.Compare(t, data)
	for what, events := range map[string][]string{"lost": result.Lost, "twice": result.Twice, "never sent": result.Unsent} {
		for _, event := range events[:min(len(events), 5)] {
			t.Errorf("%s: %s", what, event)
		}
		if len(events) > 0 {
			t.Errorf("%s: %d events", what, len(events))
		}
	}
	t.Log(result)
}

// Compare reads the database of a stopped server.
func (c *Clients) Compare(t *testing.T, data string) Comparison {
	t.Helper()
	store, err := sqlite.Open(context.Background(), filepath.Join(data, "events.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	result := Comparison{Acked: len(c.acked), Unknown: c.unknown, Refused: c.refused}
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
				result.Unsent = append(result.Unsent, fmt.Sprintf("%v: %s", event.Key(), body))
			}
			if other, twice := stored[body]; twice {
				result.Twice = append(result.Twice, fmt.Sprintf("as %v and %v: %s", other, event.Key(), body))
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
			result.Lost = append(result.Lost, fmt.Sprintf("acknowledged as %+v and stored as %v: %s", receipt, key, body))
		}
	}
	result.Stored = len(stored)
	return result
}
