package adminapi_test

import (
	"slices"
	"testing"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/node/nodetest"
)

// TestDocumentAndAdminRoutesAgree holds each to the other: routes, parameters of the query,
// statuses, and who may ask. That a handler writes no other status is seen to by the handler, which
// makes 500 of it, and by nodetest, which every answer in these tests goes through.
func TestDocumentAndAdminRoutesAgree(t *testing.T) {
	documented := map[string]nodetest.Operation{}
	for _, op := range nodetest.Operations(t) {
		if op.Admin {
			documented[op.Method+" "+op.Path] = op
		}
	}
	for _, route := range adminapi.Routes() {
		name := route.Method + " " + route.Path
		op, ok := documented[name]
		if !ok {
			t.Errorf("%s is not in the document", name)
			continue
		}
		delete(documented, name)
		want := append(slices.Clone(route.Answers), 500)
		if !route.Open {
			want = append(want, 401, 403)
		}
		slices.Sort(want)
		if !slices.Equal(op.Answers, want) {
			t.Errorf("%s: the document has the statuses %v, the handler %v", name, op.Answers, want)
		}
		params := slices.Sorted(slices.Values(route.Params))
		if got := slices.Sorted(slices.Values(op.Params)); !slices.Equal(got, params) {
			t.Errorf("%s: the document has the parameters %v, the handler %v", name, got, params)
		}
		if op.Open != route.Open {
			t.Errorf("%s: open is %v in the document, %v in the handler", name, op.Open, route.Open)
		}
	}
	for name := range documented {
		t.Errorf("%s is in the document only", name)
	}
}
