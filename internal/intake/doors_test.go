package intake_test

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/intake"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/source"
)

// TestDoors sends every request of the table on real connections: in one piece, in two, and with a
// plain one behind it, which shows that the answer ended where it should.
func TestDoors(t *testing.T) {
	onAllFronts(t, func(t *testing.T, f front) {
		for _, kind := range []string{"", overTLS} { // others have another address
			if f.kind = kind; kind != "" && f.gateway != "" {
				continue
			}
			doors(t, f)
		}
	})
}

func doors(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	plain := source.Settings{Name: "plain", Path: "/plain"}
	for _, door := range nodetest.Doors(t) {
		table, err := source.Compile([]source.Settings{door.Source, plain},
			source.Options{Now: func() time.Time { return nodetest.DoorTime }})
		if err != nil {
			t.Fatal(err)
		}
		b.sources.Replace(table)
		before := len(b.Queued())
		for _, pieces := range []int{1, 2} {
			door.Check(t, send(t, server, &door, pieces))
		}
		door.Check(t, send(t, server, &door, 0))
		checkStored(t, &door, b.Queued()[before:])
	}
}

// send sends a door in so many pieces; 0 is in one, with a plain request right behind it.
func send(t *testing.T, server *served, door *nodetest.Door, pieces int) nodetest.Answer {
	t.Helper()
	conn := server.dial(t)
	defer conn.Close()
	text, reader := textOf(door), bufio.NewReader(conn)
	switch pieces {
	case 0:
		text += "POST /plain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nplain"
	case 2:
		if _, err := io.WriteString(conn, text[:len(text)-1]); err != nil {
			t.Fatal(err)
		}
		text = text[len(text)-1:]
	}
	if _, err := io.WriteString(conn, text); err != nil && pieces != 2 { // it may be refused before its end
		t.Fatal(err)
	}
	got, closed := readAnswer(t, reader, door.Name, methodOf(door))
	if pieces == 0 && !closed {
		if behind, _ := readAnswer(t, reader, door.Name, http.MethodPost); behind.Status != http.StatusAccepted {
			t.Errorf("%s: the one behind it is answered with %d", door.Name, behind.Status)
		}
	}
	return got
}

func readAnswer(t *testing.T, reader *bufio.Reader, name, method string) (got nodetest.Answer, closed bool) {
	t.Helper()
	response, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return nodetest.Answer{Status: response.StatusCode, Header: response.Header, Body: string(body)}, response.Close
}

func methodOf(door *nodetest.Door) string { return cmp.Or(door.Method, http.MethodPost) }

func textOf(door *nodetest.Door) string {
	var text strings.Builder
	method := methodOf(door)
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, cmp.Or(door.Target, "/app"))
	for i := 0; i < len(door.Header); i += 2 {
		fmt.Fprintf(&text, "%s: %s\r\n", door.Header[i], door.Header[i+1])
	}
	if method == http.MethodPost || door.Body != "" {
		fmt.Fprintf(&text, "Content-Length: %d\r\n", len(door.Body))
	}
	return text.String() + "\r\n" + door.Body
}

// checkStored sees that a door's events are there, with their signatures and without their secrets.
func checkStored(t *testing.T, door *nodetest.Door, events []*pillarbox.Event) {
	t.Helper()
	stored := 0
	for _, event := range events {
		if event.Source == "plain" {
			continue
		}
		stored++
		door.CheckEvent(t, event)
	}
	want := map[bool]int{true: 3}[door.Stored]
	if door.Once {
		want = 1
	}
	if stored != want {
		t.Errorf("%s: %d events are stored, want %d", door.Name, stored, want)
	}
}

// TestASignatureCoversAWholeBatch, as it came; one that was made for a single event holds for a
// batch of the same bytes, and no handshake is looked for in it.
func TestASignatureCoversAWholeBatch(t *testing.T) { onAllFronts(t, signedBatches) }

func signedBatches(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	github := nodetest.DoorSource(t, "slack")
	table, err := source.Compile([]source.Settings{github},
		source.Options{Now: func() time.Time { return nodetest.DoorTime }})
	if err != nil {
		t.Fatal(err)
	}
	b.sources.Replace(table)
	const body = `[{"type":"url_verification","challenge":"c"}, 2]`
	for _, c := range []struct {
		signed, sent string
		status       int
	}{
		{body, body, 202}, {body, strings.ReplaceAll(body, " ", ""), 401}, {body, "[1]", 401}, {"", body, 401},
		{"{", "{", 400},
	} {
		door := nodetest.Door{Name: c.sent, Target: "/app/batch", Body: c.sent,
			Header: append(nodetest.SlackHeader(c.signed), "Content-Type", "application/json")}
		if got := send(t, server, &door, 1); got.Status != c.status {
			t.Errorf("%s, signed as %s: answered with %d %s, want %d", c.sent, c.signed, got.Status, got.Body, c.status)
		}
	}
	if events := b.Queued(); len(events) != 2 || string(events[1].Body) != "2" {
		t.Errorf("%d events are stored", len(events))
	}
}

// TestAnUnsignedBodyIsNotWaitedFor: its head says enough.
func TestAnUnsignedBodyIsNotWaitedFor(t *testing.T) { onFronts(t, unsignedBodies) }

func unsignedBodies(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	for _, name := range []string{"github", "slack", "gitlab", "twilio", "standard-webhooks"} {
		table, err := source.Compile([]source.Settings{nodetest.DoorSource(t, name)}, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b.sources.Replace(table)
		for _, path := range []string{"/app", "/app/batch"} {
			response, _ := exchange(t, server, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+
				"Content-Length: 900\r\n\r\n", false)
			if response.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s: answered with %d", name, path, response.StatusCode)
			}
		}
	}
}

// TestASignatureIsOverTheBodyAsItCame: it is verified before anything is decoded.
func TestASignatureIsOverTheBodyAsItCame(t *testing.T) { onAllFronts(t, signedEncoded) }

func signedEncoded(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	table, err := source.Compile([]source.Settings{nodetest.DoorSource(t, "slack")},
		source.Options{Now: func() time.Time { return nodetest.DoorTime }})
	if err != nil {
		t.Fatal(err)
	}
	b.sources.Replace(table)
	const body = `{"event_id":"1"}`
	sent := encoded(t, "gzip", body)
	for signed, status := range map[string]int{sent: 200, body: 401} {
		door := nodetest.Door{Name: "gzip", Body: sent,
			Header: append(nodetest.SlackHeader(signed), "Content-Encoding", "gzip")}
		if got := send(t, server, &door, 1); got.Status != status {
			t.Errorf("signed %q: answered with %d, want %d", signed, got.Status, status)
		}
	}
	if events := b.Queued(); len(events) != 1 || string(events[0].Body) != body {
		t.Errorf("%d events are stored", len(events))
	}
}
