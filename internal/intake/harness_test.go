package intake_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pillarbox/internal/admission"
	"pillarbox/internal/ingest"
	"pillarbox/internal/intake"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/source"
)

// box is a node, and the handler that is tested.
type box struct {
	*nodetest.Box
	accept  *ingest.Ingest
	public  *intake.Handler
	sources *source.Sources
	memory  *admission.Memory
}

const (
	destination = nodetest.Destination
	testMaxBody = nodetest.MaxBody
)

// openBox makes a handler with its own limits before the node of a box.
func openBox(t *testing.T, options intake.Options) *box {
	t.Helper()
	opened := nodetest.Open(t)
	b := &box{Box: opened, accept: opened.Node.Acceptor(), sources: opened.Node.Sources()}
	if options.Memory == nil {
		options.Memory = admission.NewMemory(intake.DefaultMaxInFlightBytes)
	}
	b.memory = options.Memory
	if options.Waiter == nil {
		options.Waiter = b.Node.Waiter()
	}
	options.Acceptor, options.Sources = b.accept, b.sources
	b.public = intake.New(options)
	return b
}

// setSources puts other sources in force.
func (b *box) setSources(settings ...source.Settings) {
	b.T.Helper()
	table, err := source.Compile(settings, source.Options{})
	if err != nil {
		b.T.Fatal(err)
	}
	b.sources.Replace(table)
}

// post sends a body to the public handler. headers are names and values.
func (b *box) post(path, body string, headers ...string) nodetest.Answer {
	b.T.Helper()
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	return nodetest.Do(b.T, nodetest.Public, b.public, request)
}
