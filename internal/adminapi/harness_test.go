package adminapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/node"
	"pillarbox/internal/node/nodetest"
)

// box is a node, and the handler that is tested.
type box struct {
	*nodetest.Box
	t       *testing.T
	queue   *memory.Queue
	sink    *memory.Sink
	letters *memory.DeadLetters
	node    *nodetest.Faulty
	admin   *adminapi.Handler
}

const (
	destination = nodetest.Destination
)

// answer is what the handler wrote.
type answer struct {
	nodetest.Answer
	status int
	header http.Header
	body   string
}

func do(t *testing.T, handler http.Handler, request *http.Request) answer {
	t.Helper()
	got := nodetest.Do(t, nodetest.Admin, handler, request)
	return answer{Answer: got, status: got.Status, header: got.Header, body: got.Body}
}

func (a answer) wants(t *testing.T, status int, parts ...string) answer {
	t.Helper()
	a.Wants(t, status, parts...)
	return a
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	return nodetest.Decode[T](t, text)
}

func makeEvents(n int) []*pillarbox.Event { return nodetest.Events(n) }

var firstTime = nodetest.FirstTime

func openBox(t *testing.T, options adminapi.Options) *box {
	t.Helper()
	opened := nodetest.Open(t)
	b := &box{Box: opened, t: t, queue: opened.Queue, sink: opened.Sink, letters: opened.Letters,
		node: &nodetest.Faulty{Node: opened.Node}}
	b.admin = adminapi.New(b.node, options)
	t.Cleanup(b.admin.Close)
	return b
}

func (b *box) deliver()                                     { b.Start() }
func (b *box) store(n int) []*pillarbox.Event               { return b.Store(n) }
func (b *box) putDeadLetters(n int) []*pillarbox.DeadLetter { return b.DeadLetter(n) }

// get asks the admin handler, from this machine.
func (b *box) get(target string) answer {
	b.t.Helper()
	return b.call(http.MethodGet, target, "")
}

func (b *box) call(method, target, body string) answer {
	b.t.Helper()
	request := httptest.NewRequest(method, "http://localhost:8081"+target, strings.NewReader(body))
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return do(b.t, b.admin, request)
}

// post sends a body to the public handler of the node.
func (b *box) post(path, body string) (receipt string) {
	b.t.Helper()
	recorder := httptest.NewRecorder()
	b.Node.PublicHandler(node.Limits{}).ServeHTTP(recorder,
		httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	if recorder.Code != http.StatusAccepted {
		b.t.Errorf("post: %d %s", recorder.Code, recorder.Body)
	}
	return recorder.Body.String()
}
