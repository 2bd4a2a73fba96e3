package adminapi_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/node"
	"pillarbox/internal/node/nodetest"
)

// box is a node, and the handler that is tested.
type box struct {
	*nodetest.Box
	node  *nodetest.Faulty
	admin *adminapi.Handler
}

const destination = nodetest.Destination

func openBox(t *testing.T, options adminapi.Options) *box {
	t.Helper()
	opened := nodetest.Open(t)
	b := &box{Box: opened, node: &nodetest.Faulty{Node: opened.Node}}
	b.admin = adminapi.New(b.node, options)
	t.Cleanup(b.admin.Close)
	return b
}

// get asks the admin handler, from this machine.
func (b *box) get(target string) nodetest.Answer {
	b.T.Helper()
	return b.call(http.MethodGet, target, "")
}

func (b *box) call(method, target, body string) nodetest.Answer {
	b.T.Helper()
	request := httptest.NewRequest(method, "http://localhost:8081"+target, strings.NewReader(body))
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return nodetest.Do(b.T, nodetest.Admin, b.admin, request)
}

// post sends a body to the public handler of the node.
func (b *box) post(path, body string) (receipt string) {
	b.T.Helper()
	recorder := httptest.NewRecorder()
	b.Node.PublicHandler(node.Limits{}).ServeHTTP(recorder,
		httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	if recorder.Code != http.StatusAccepted {
		b.T.Errorf("post: %d %s", recorder.Code, recorder.Body)
	}
	return recorder.Body.String()
}
