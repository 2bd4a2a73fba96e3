package intake_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"pillarbox/internal/intake"
	"pillarbox/internal/source"
)

// keyBox is a box that listens, and a client.
type keyBox struct {
	*box
	t      *testing.T
	server *served
}

// onKeyFronts runs a test on each front, and on the function on AWS.
func onKeyFronts(t *testing.T, test func(b *keyBox)) {
	t.Helper()
	onAllFronts(t, func(t *testing.T, f front) {
		b := openBox(t, intake.Options{})
		test(&keyBox{box: b, t: t, server: f.serve(t, b, 0, 0)})
	})
}

func (b *keyBox) rules(settings source.Settings) {
	b.t.Helper()
	settings.Name, settings.Path = "app", "/app"
	table, err := source.Compile([]source.Settings{settings}, source.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	b.sources.Replace(table)
}

// reply is an answer with all of its body.
type reply struct {
	*http.Response
	body string
}

// send posts with header lines, which may stand several times, and wants a status.
func (b *keyBox) send(want int, path, body string, header ...string) reply {
	b.t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+b.server.addr+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		b.t.Fatalf("status %d, want %d; %s, %v", response.StatusCode, want, text, err)
	}
	return reply{response, string(text)}
}

func receiptID(t *testing.T, body string) string {
	t.Helper()
	var receipt struct {
		ID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(body), &receipt); err != nil || receipt.ID == "" {
		t.Fatalf("%q is no receipt: %v", body, err)
	}
	return receipt.ID
}

// TestARepeatedRequestGetsTheFirstReceipt is the table of what is the same request.
func TestARepeatedRequestGetsTheFirstReceipt(t *testing.T) { onKeyFronts(t, repeatedRequests) }

func repeatedRequests(b *keyBox) {
	t := b.t
	first := b.send(202, "/app?a=1", "x", "Idempotency-Key", `"k-1"`)
	id := receiptID(t, first.body)
	if first.Header.Get("Idempotent-Replayed") != "" {
		t.Error("the first one is no replay")
	}
	for _, key := range []string{`"k-1"`, "k-1", `"k\-1"`} {
		again := b.send(202, "/app?a=1", "x", "Idempotency-Key", key)
		if receiptID(t, again.body) != id || again.body != first.body ||
			again.Header.Get("Idempotent-Replayed") != "true" ||
			again.Header.Get("X-Request-Id") != id {
			t.Errorf("%s: %s, want %s", key, again.body, first.body)
		}
	}
	b.send(422, "/app?a=2", "x", "Idempotency-Key", "k-1")
	b.send(422, "/app?a=1", "y", "Idempotency-Key", "k-1")
	other := b.send(202, "/app?a=1", "x", "Idempotency-Key", "k-2")
	if receiptID(t, other.body) == id {
		t.Error("another key is another event")
	}
	for _, bad := range []string{"", `""`, `"k`, strings.Repeat("k", 256)} {
		b.send(400, "/app", "x", "Idempotency-Key", bad)
	}
	b.send(202, "/app", "x", "Idempotency-Key", strings.Repeat("k", 255))
	if n := b.Queue.Stats().Accepted; n != 3 {
		t.Errorf("%d events are stored, want 3", n)
	}
}

// TestKeysStandWhereTheSourceSays is the same for the other places of a key.
func TestKeysStandWhereTheSourceSays(t *testing.T) { onKeyFronts(t, keysStandElsewhere) }

func keysStandElsewhere(b *keyBox) {
	t := b.t
	for i, c := range []struct {
		settings source.Settings
		body     string
		header   []string
		same     string // another body that is the same event
		known    bool
	}{
		{source.Settings{Key: "header:X-GitHub-Delivery"}, "x", []string{"x-github-delivery", "d"}, "x", true},
		{source.Settings{Key: "header:X-GitHub-Delivery"}, "x", []string{"Idempotency-Key", "1"}, "x", false},
		{source.Settings{Key: "body:/data/id~1~0/0"}, `{"data":{"id/~":["a"]},"n":1}`, nil,
			`{"data":{"id/~":["a"]},"n":1}`, true},
		{source.Settings{Key: "body:/id", KeyAlone: true}, `{"id":7,"n":1}`, nil, `{"id":7,"n":2}`, true},
		{source.Settings{Key: "body:/id"}, `{"id":null}`, nil, `{"id":null}`, false},
		{source.Settings{Key: "body:/id"}, `no JSON`, nil, `no JSON`, false},
		{source.Settings{Key: "body:/a.b"}, `{"a.b":"x","a":{"b":"y"}}`, nil, `{"a.b":"x","a":{"b":"y"}}`, true},
		{source.Settings{Key: "cloudevents", KeyAlone: true}, `{"id":"2","source":"/s","n":1}`, nil,
			`{"id":"2","source":"/s","n":2}`, true},
		{source.Settings{Key: "cloudevents"}, `x`, []string{"ce-id", "1", "ce-source", "/s"}, `x`, true},
		{source.Settings{Key: "cloudevents"}, `{"id":"1"}`, nil, `{"id":"1"}`, false},
		{source.Settings{Key: "none"}, "x", []string{"Idempotency-Key", "1"}, "x", false},
	} {
		b.rules(c.settings)
		path := fmt.Sprintf("/app?case=%d", i)
		id := receiptID(t, b.send(202, path, c.body, c.header...).body)
		again := b.send(202, path, c.same, c.header...)
		if known := receiptID(t, again.body) == id; known != c.known {
			t.Errorf("%s, %s: known again: %v", c.settings.Key, c.body, known)
		}
	}
}

// TestItemsOfABatchHaveKeys sends a batch again, a longer one, and one with twins.
func TestItemsOfABatchHaveKeys(t *testing.T) { onKeyFronts(t, itemsHaveKeys) }

func itemsHaveKeys(b *keyBox) {
	t := b.t
	send := func(body string, want int, header ...string) []string {
		t.Helper()
		got := b.send(want, "/app/batch", body, append([]string{"Content-Type", ndjson}, header...)...)
		return strings.Split(strings.TrimSpace(got.body), "\n")
	}
	first := send("1\n2\n", 202, "Idempotency-Key", "b")
	again := b.send(202, "/app/batch", "1\n2\n", "Content-Type", ndjson, "Idempotency-Key", "b")
	if strings.TrimSpace(again.body) != strings.Join(first, "\n") || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%s, want %s", again.body, first)
	}
	longer := send("1\n3\n4\n", 207, "Idempotency-Key", "b")
	if longer[0] != first[0] || !strings.Contains(longer[1], `"code":422`) || strings.Contains(longer[2], "rejected") {
		t.Errorf("%s", longer)
	}
	b.rules(source.Settings{Key: "body:/id"})
	twins := send(`{"id":1}`+"\n"+`{"id":2}`+"\n"+`{"id":1}`+"\n", 202)
	if twins[0] != twins[2] || twins[0] == twins[1] {
		t.Errorf("%s", twins)
	}
	if n := b.Queue.Stats().Accepted; n != 5 {
		t.Errorf("%d events are stored, want 5", n)
	}
}

func TestSeveralKeysAreNone(t *testing.T) {
	onKeyFronts(t, func(b *keyBox) {
		b.send(400, "/app", "x", "Idempotency-Key", "a", "Idempotency-Key", "a")
	})
}
