package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"pillarbox"
)

const (
	clientTimeout = 10 * time.Second
	maxPad        = 700 // bytes of a body, besides its number
	maxBroken     = 10  // repeats that got another receipt are told of
	repeatEvery   = 8   // one post in so many repeats one that was answered
	refusedEvery  = 50  // one message in so many asks the store to refuse it, where the run wants that
	refusalWord   = "poison"
)

// message is one thing that a client wants to have accepted. Its body occurs once.
type message struct {
	body     string
	key      string              // of idempotency; empty for none
	streamed bool                // it is posted without a length, which net/http answers
	receipts []pillarbox.Receipt // of the posts that were answered with 202
	unknown  int                 // posts without an answer, or with one that promises nothing
}

// Clients post messages and remember what they were told. A message without an answer is posted
// again, to whatever server comes next: it may then be there more than once, under other request
// ids. Every second message has an idempotency key: it is there once whatever happens, is posted
// again now and then although it was answered, and always gets its first receipt.
type Clients struct {
	refused bool // some messages ask to be refused

	mu       sync.Mutex
	rng      *rand.Rand
	messages map[string]*message // by body
	again    []*message          // to be posted again
	answered []*message          // with a key, to be posted again all the same
	broken   []string            // repeats that were answered with something else than the first receipt
	counts   Counts
	statuses map[int]int // of the answers that are counted as refused
	mute     int         // refusals without Retry-After
}

// Counts is what clients have done.
type Counts struct {
	Posts      int `json:"posts"`
	Acked      int `json:"acknowledged"`
	Unanswered int `json:"unanswered"`
	Refused    int `json:"refused"` // answered with something else than 202
	Retried    int `json:"retried"`
	Repeated   int `json:"repeated"` // posts with an idempotency key that had been answered before, and were again
}

// NewClients makes clients that have sent nothing yet.
func NewClients(seed uint64, refused bool) *Clients {
	return &Clients{refused: refused, rng: rand.New(rand.NewPCG(seed, 2)),
		messages: map[string]*message{}, statuses: map[int]int{}}
}

// Counts is what they have done so far.
func (c *Clients) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

// begin is load in the background, until stop. wait returns when the last client is gone.
func (c *Clients) begin(ctx context.Context, s *Server, connections int) (stop, wait func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.load(ctx, s, connections)
	}()
	return cancel, func() { cancel(); <-done }
}

// load posts to a server with some connections until ctx ends.
func (c *Clients) load(ctx context.Context, s *Server, connections int) {
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: clientTimeout}
	var running sync.WaitGroup
	for range connections {
		running.Go(func() {
			for ctx.Err() == nil {
				if !c.post(client, s.Public+"/app") {
					time.Sleep(time.Millisecond) // it is gone, full or dying: don't just knock
				}
			}
		})
	}
	running.Wait()
}

// post sends one message and reports whether it was acknowledged.
func (c *Clients) post(client *http.Client, url string) bool {
	m := c.next()
	response, err := client.Do(m.request(url))
	var text []byte
	if err == nil {
		text, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var receipt pillarbox.Receipt
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		c.counts.Posts-- // nobody was there to be told
		c.again = append(c.again, m)
	case err != nil:
		c.counts.Unanswered++
		m.unknown++
		c.again = append(c.again, m)
	case response.StatusCode != http.StatusAccepted || json.Unmarshal(text, &receipt) != nil:
		c.counts.Refused++
		c.statuses[response.StatusCode]++
		if response.Header.Get("Retry-After") == "" {
			c.mute++
		}
		m.unknown++
		c.again = append(c.again, m)
	default:
		c.noteReceipt(m, receipt, response.Header.Get(pillarbox.HeaderReplayed) != "")
		return true
	}
	return false
}

// request is a post of the message.
func (m *message) request(url string) *http.Request {
	var body io.Reader = strings.NewReader(m.body)
	if m.streamed {
		body = io.MultiReader(body)
	}
	request, err := http.NewRequest(http.MethodPost, url, body)
	if err != nil {
		panic("pillarbox: bug: " + err.Error())
	}
	request.Header.Set("Content-Type", "application/json")
	if m.key != "" {
		request.Header.Set("Idempotency-Key", m.key)
	}
	return request
}

// noteReceipt holds the receipt of a repeat against the first one.
func (c *Clients) noteReceipt(m *message, receipt pillarbox.Receipt, replayed bool) {
	if m.key == "" {
		c.counts.Acked++
		m.receipts = append(m.receipts, receipt)
		return
	}
	switch {
	case len(m.receipts) == 0:
		c.counts.Acked++ // a repeat is answered without the log, and shows nothing about it
		m.receipts = append(m.receipts, receipt)
		c.answered = append(c.answered, m)
	case (receipt != m.receipts[0] || !replayed) && len(c.broken) == maxBroken:
	case receipt != m.receipts[0] || !replayed:
		c.broken = append(c.broken, fmt.Sprintf("key %s was answered with %+v, replayed: %v, and before with %+v",
			m.key, receipt, replayed, m.receipts[0]))
	default:
		c.counts.Repeated++
	}
}

// next is a message that has had no answer, or a new one.
func (c *Clients) next() *message {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Posts++
	if n := len(c.again); n > 0 && c.rng.IntN(2) == 0 {
		c.counts.Retried++
		i := c.rng.IntN(n)
		m := c.again[i]
		c.again[i] = c.again[n-1]
		c.again = c.again[:n-1]
		return m
	}
	if n := len(c.answered); n > 0 && c.rng.IntN(repeatEvery) == 0 {
		return c.answered[c.rng.IntN(n)]
	}
	number, kind := len(c.messages)+1, "plain"
	if c.refused && number%refusedEvery == 0 {
		kind = refusalWord
	}
	m := &message{body: fmt.Sprintf(`{"message":%d,"kind":"%s","pad":"%s"}`, number, kind, strings.Repeat("x", c.rng.IntN(maxPad)))}
	if number%2 == 0 {
		m.key, m.streamed = fmt.Sprintf("m-%d", number), number%8 == 0
	}
	c.messages[m.body] = m
	return m
}
