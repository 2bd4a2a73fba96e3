package benchmark

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"time"
)

// Class is what an acknowledgement promises.
type Class string

// The classes.
const (
	Nothing Class = "nothing stored" // a yardstick
	Before  Class = "before fsync"   // a crash of the machine may lose what was acknowledged
	Durable Class = "durable"        // on stable storage before the answer
)

// Contender is one that takes part.
type Contender struct {
	Name  string `json:"name"`
	Class Class  `json:"class"`
	Means string `json:"means"` // what the acknowledgement means, in words
	// Missing is why it can't take part, with what to do about it. Empty for one that can.
	Missing string `json:"missing,omitempty"`
	Batches bool   `json:"-"` // takes NDJSON at the path with /batch after it
	Doors   bool   `json:"-"` // takes what Door has
	TLS     bool   `json:"-"` // takes what is over TLS, and nothing else
	Held    bool   `json:"-"` // holds HeldKeys, and takes what is about them, and nothing else
	Peer    bool   `json:"peer"`

	// Start runs it in a directory that is its own. It returns when the contender accepts connections.
	Start func(ctx context.Context, dir string) (*Running, error) `json:"-"`
}

// Running is a contender that runs.
type Running struct {
	Address string // host:port
	Path    string
	Admin   string      // base URL of its admin API; empty where it has none
	TLS     *tls.Config // of its clients; nil for none
	PID     int         // its processor time and memory count together with those of its children

	Accepted func() (uint64, error) // events accepted so far, by its own account; nil where it keeps none
	Pending  func() (uint64, error) // events accepted and not delivered yet; nil where nothing is delivered
	Stop     func() error           // leaves no process behind
	Keys     [2]string              // API keys of two senders; empty where it takes no doors
}

// Scenario is what is asked of a contender.
type Scenario struct {
	Connections int     `json:"connections"`
	Body        int     `json:"body"`            // bytes of an event
	Rate        float64 `json:"rate,omitempty"`  // requests per second; 0 for as fast as it goes
	Items       int     `json:"items,omitempty"` // events of a request that is a batch; 0 for a single event
	Door        Door    `json:"door,omitempty"`  // what else a request has
}

// String names the scenario for people.
func (s Scenario) String() string {
	text := fmt.Sprintf("%d connections, ", s.Connections)
	if s.Connections == 1 {
		text = "1 connection, "
	}
	if s.Items > 0 {
		text += fmt.Sprintf("batches of %s x ", Grouped(float64(s.Items)))
	}
	text += byteText(s.Body)
	if s.Rate > 0 {
		text += fmt.Sprintf(", %s/s", Grouped(s.Rate))
	}
	if s.Door != "" {
		text += ", " + string(s.Door)
	}
	return text
}

func byteText(n int) string {
	if n >= 1024 && n%1024 == 0 {
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d B", n)
}

// events is how many events one request carries.
func (s Scenario) events() uint64 { return uint64(max(s.Items, 1)) }

// takes reports whether a contender can be asked this.
func (s Scenario) takes(c Contender) bool {
	if c.TLS || s.Door.overTLS() {
		return c.TLS && s.Door.overTLS()
	}
	if c.Held || s.Door.onHeld() {
		return c.Held && s.Door.onHeld()
	}
	return (s.Items == 0 || c.Batches) && (s.Door == "" || c.Doors)
}

// minBody is the body without its padding.
const minBody = len(bodyStart) + len(bodyEnd)

const (
	bodyStart = `{"device":"0123456789","temperature":21.5,"pad":"`
	bodyEnd   = `"}`
)

// body is a JSON object of the scenario's size, or as many of them, one a line.
func (s Scenario) body() []byte {
	one := bodyStart + strings.Repeat("x", max(s.Body-minBody, 0)) + bodyEnd
	if s.Items == 0 {
		return []byte(one)
	}
	return []byte(strings.Repeat(one+"\n", s.Items))
}

// Group is a set of scenarios that a contender runs in one turn.
type Group struct {
	Name      string
	Scenarios []Scenario
	Rounds    int
	Duration  time.Duration // of each scenario
	OwnOnly   bool          // without the peers
}
