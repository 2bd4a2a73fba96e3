package intake_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/admission"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/ingest"
	"pillarbox/internal/intake"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/source"
)

// box is a node, and the handler that is tested.
type box struct {
	*nodetest.Box
	t       *testing.T
	queue   *memory.Queue
	sink    *memory.Sink
	letters *memory.DeadLetters
	accept  *ingest.Ingest
	public  *intake.Handler
	sources *source.Sources
	memory  *admission.Memory
}

const (
	destination = nodetest.Destination
	testMaxBody = nodetest.MaxBody
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
	got := nodetest.Do(t, nodetest.Public, handler, request)
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

// openBox makes a handler with its own limits before the node of a box.
func openBox(t *testing.T, options intake.Options) *box {
	t.Helper()
	opened := nodetest.Open(t)
	b := &box{Box: opened, t: t, queue: opened.Queue, sink: opened.Sink, letters: opened.Letters,
		accept: opened.Node.Acceptor(), sources: opened.Node.Sources()}
	if options.Memory == nil {
		options.Memory = admission.NewMemory(intake.DefaultMaxInFlightBytes)
	}
	b.memory = options.Memory
	if options.Waiter == nil {
		options.Waiter = b.waiter()
	}
	options.Acceptor, options.Sources = b.accept, b.sources
	b.public = intake.New(options)
	return b
}

// waiter waits as the node's own does.
func (b *box) waiter() intake.Waiter { return b.Node.Waiter() }

func (b *box) deliver()                   { b.Start() }
func (b *box) queued() []*pillarbox.Event { return b.Queued() }

// setSources puts other sources in force.
func (b *box) setSources(settings ...source.Settings) {
	b.t.Helper()
	table, err := source.Compile(settings, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.sources.Replace(table)
}

// post sends a body to the public handler. headers are names and values.
func (b *box) post(path, body string, headers ...string) answer {
	b.t.Helper()
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	return do(b.t, b.public, request)
}
