// Package fakexray is a stand-in for the daemon of X-Ray, for tests: it takes documents by UDP and
// keeps them.
//
// It is stricter than the daemon: a document that has not the form of a subsegment fails the test.
package fakexray

import (
	"encoding/json"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"
)

// patience bounds a read of what was sent on the same machine before. It is never waited for,
// unless the test fails.
const patience = 2 * time.Minute

// Subsegment is a document as it came.
type Subsegment struct {
	Name, ID, Type, Namespace string
	TraceID                   string  `json:"trace_id"`
	ParentID                  string  `json:"parent_id"`
	Start                     float64 `json:"start_time"`
	End                       float64 `json:"end_time"`
	Error, Throttle, Fault    bool
	Cause                     struct{ Exceptions []struct{ ID, Type string } }
	HTTP                      struct{ Response struct{ Status int } }
	AWS                       map[string]any
	Annotations               map[string]string
	Text                      string `json:"-"` // as it came
}

// Daemon takes documents.
type Daemon struct {
	t    *testing.T
	conn net.PacketConn
}

// New listens until the test ends.
func New(t *testing.T) *Daemon {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // nobody sends any more
	return &Daemon{t: t, conn: conn}
}

// Address is what AWS_XRAY_DAEMON_ADDRESS says of it.
func (d *Daemon) Address() string { return d.conn.LocalAddr().String() }

const last = "no more"

// Take returns what was sent since it was last called. On one machine, what was sent before has
// come before.
func (d *Daemon) Take() []Subsegment {
	d.t.Helper()
	end, err := net.Dial("udp", d.Address())
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = end.Close() }() // it has sent what it had to
	if _, err := end.Write([]byte(last)); err != nil {
		d.t.Fatal(err)
	}
	if err := d.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		d.t.Fatal(err)
	}
	var taken []Subsegment
	for datagram := make([]byte, 64<<10); ; {
		n, _, err := d.conn.ReadFrom(datagram)
		if err != nil {
			d.t.Fatal(err)
		}
		if string(datagram[:n]) == last {
			return taken
		}
		taken = append(taken, d.read(string(datagram[:n])))
	}
}

var (
	traceForm = regexp.MustCompile(`^1-[0-9a-f]{8}-[0-9a-f]{24}$`)
	idForm    = regexp.MustCompile(`^[0-9a-f]{16}$`)
	nameForm  = regexp.MustCompile(`^[\pL\pN\pZ_.:/%&#=+\\\-@]{1,200}$`)
)

func (d *Daemon) read(datagram string) Subsegment {
	d.t.Helper()
	var header struct {
		Format  string
		Version int
	}
	first, text, _ := strings.Cut(datagram, "\n")
	if err := json.Unmarshal([]byte(first), &header); err != nil || header.Format != "json" ||
		header.Version != 1 {
		d.t.Errorf("a document begins with %q: %v", first, err)
	}
	read := Subsegment{Text: text}
	if err := json.Unmarshal([]byte(text), &read); err != nil {
		d.t.Errorf("%q can't be read: %v", text, err)
	}
	if read.Type != "subsegment" || !traceForm.MatchString(read.TraceID) ||
		!idForm.MatchString(read.ID) || !idForm.MatchString(read.ParentID) ||
		!nameForm.MatchString(read.Name) || read.End < read.Start || read.Start <= 0 {
		d.t.Errorf("no subsegment: %s", text)
	}
	return read
}
