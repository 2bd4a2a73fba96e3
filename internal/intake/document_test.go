package intake_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pillarbox/internal/intake"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/protocol"
)

// TestDocumentAndPublicHandlerAgree asks the public handler for every documented method, and sees
// that the document has every status which it may refuse with.
func TestDocumentAndPublicHandlerAgree(t *testing.T) {
	b := openBox(t, intake.Options{})
	var names []string
	errors := map[int]bool{http.StatusMethodNotAllowed: true} // of methods that are not in the document
	for _, op := range nodetest.Operations(t) {
		if !op.Public {
			continue
		}
		names = append(names, op.Method+" "+op.Path)
		request, err := http.NewRequest(op.Method, op.Path, strings.NewReader(`[1]`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		if got := nodetest.Do(t, nodetest.Public, b.public, request); got.Status >= 300 {
			t.Errorf("%s %s: status %d", op.Method, op.Path, got.Status)
		}
		for _, status := range op.Answers {
			if status >= 400 && !(op.Admin && (status == 401 || status == 403)) {
				errors[status] = true
			}
		}
	}
	slices.Sort(names)
	want := []string{"GET /app", "GET /openapi.yaml", "OPTIONS /app", "OPTIONS /app/batch",
		"POST /app", "POST /app/batch"}
	if !slices.Equal(names, want) {
		t.Errorf("the document has %v, the handler %v", names, want)
	}
	if got := slices.Sorted(maps.Keys(errors)); !slices.Equal(got, protocol.PublicErrors()) {
		t.Errorf("the document has the errors %v, the handler %v", got, protocol.PublicErrors())
	}
}
