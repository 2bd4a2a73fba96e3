package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"

	"pillarbox/internal/httpapi"
	"pillarbox/internal/protocol"
)

// node is any part of the document.
type node = map[string]any

var document = sync.OnceValue(func() node {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		panic(err)
	}
	var document node
	if err := yaml.Unmarshal(text, &document); err != nil {
		panic(err)
	}
	return document
})

// at goes down into a node by its keys, and through references.
func at(from any, keys ...string) any {
	for _, key := range keys {
		inner, _ := from.(node)
		from = resolve(inner[key])
	}
	return from
}

func resolve(value any) any {
	inner, _ := value.(node)
	ref, ok := inner["$ref"].(string)
	if !ok {
		return value
	}
	return at(document(), strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
}

// operation is one method of one path in the document.
type operation struct {
	method, path  string
	public, admin bool
	open          bool // to everyone
	params        []string
	answers       []int
}

func operations(t *testing.T) []operation {
	t.Helper()
	var found []operation
	for path, item := range at(document(), "paths").(node) {
		servers := fmt.Sprint(at(item, "servers"))
		public := strings.Contains(servers, ":8080")
		for _, method := range []string{"get", "post", "delete", "put", "patch"} {
			op, _ := at(item, method).(node)
			if op == nil {
				continue
			}
			o := operation{method: strings.ToUpper(method), path: path, public: public, admin: !public || strings.Contains(servers, ":8081")}
			_, o.open = op["security"]
			parameters, _ := op["parameters"].([]any)
			for _, parameter := range parameters {
				if in := at(resolve(parameter), "in"); in == "query" {
					o.params = append(o.params, at(resolve(parameter), "name").(string))
				}
			}
			for code := range at(op, "responses").(node) {
				status, err := strconv.Atoi(code)
				if err != nil {
					t.Fatalf("%s %s: %v", method, path, err)
				}
				o.answers = append(o.answers, status)
			}
			slices.Sort(o.answers)
			found = append(found, o)
		}
	}
	return found
}

// TestDocumentAndAdminRoutesAgree holds each to the other: routes, parameters of the query, statuses, and who
// may ask. That a handler writes no other status is seen to by the handler, which makes 500 of it, and by
// conform, which every answer in these tests goes through.
func TestDocumentAndAdminRoutesAgree(t *testing.T) {
	documented := map[string]operation{}
	for _, op := range operations(t) {
		if op.admin {
			documented[op.method+" "+op.path] = op
		}
	}
	for _, route := range httpapi.Routes() {
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
		if !slices.Equal(op.answers, want) {
			t.Errorf("%s: the document has the statuses %v, the handler %v", name, op.answers, want)
		}
		params := slices.Sorted(slices.Values(route.Params))
		if got := slices.Sorted(slices.Values(op.params)); !slices.Equal(got, params) {
			t.Errorf("%s: the document has the parameters %v, the handler %v", name, got, params)
		}
		if op.open != route.Open {
			t.Errorf("%s: open is %v in the document, %v in the handler", name, op.open, route.Open)
		}
	}
	for name := range documented {
		t.Errorf("%s is in the document only", name)
	}
}

// TestDocumentAndPublicHandlerAgree asks the public handler for every documented method, and sees that the
// document has every status which it may refuse with.
func TestDocumentAndPublicHandlerAgree(t *testing.T) {
	b := openBox(t, httpapi.PublicOptions{}, httpapi.AdminOptions{})
	var names []string
	errors := map[int]bool{http.StatusMethodNotAllowed: true} // of methods that are not in the document
	for _, op := range operations(t) {
		if !op.public {
			continue
		}
		names = append(names, op.method+" "+op.path)
		request, err := http.NewRequest(op.method, op.path, strings.NewReader(`[1]`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		if got := do(t, b.public, request); got.status >= 300 {
			t.Errorf("%s %s: status %d", op.method, op.path, got.status)
		}
		for _, status := range op.answers {
			if status >= 400 && !(op.admin && (status == 401 || status == 403)) {
				errors[status] = true
			}
		}
	}
	slices.Sort(names)
	want := []string{"GET /app", "GET /openapi.yaml", "POST /app", "POST /app/batch"}
	if !slices.Equal(names, want) {
		t.Errorf("the document has %v, the handler %v", names, want)
	}
	if got := slices.Sorted(maps.Keys(errors)); !slices.Equal(got, protocol.PublicErrors()) {
		t.Errorf("the document has the errors %v, the handler %v", got, protocol.PublicErrors())
	}
}

// conform checks an answer against the document: its status, its type and its content.
func conform(t *testing.T, handler http.Handler, request *http.Request, got answer) {
	t.Helper()
	_, public := handler.(*httpapi.Public)
	op := find(request.Method, request.URL.Path, public)
	if op == nil {
		if got.status < 401 || got.status > 405 {
			t.Errorf("%s %s is not in the document, and is answered with %d", request.Method, request.URL.Path, got.status)
		}
		op = node{"responses": node{strconv.Itoa(got.status): at(document(), "components", "responses", "NotFound")}}
	}
	response := at(op, "responses", strconv.Itoa(got.status))
	if response == nil {
		t.Errorf("%s %s: status %d is not in the document", request.Method, request.URL.Path, got.status)
		return
	}
	form, _, err := mime.ParseMediaType(got.header.Get("Content-Type"))
	media, _ := at(response, "content", form).(node)
	if err != nil || media == nil {
		t.Errorf("%s %s: Content-Type %q of status %d is not in the document", request.Method, request.URL.Path, got.header.Get("Content-Type"), got.status)
		return
	}
	if request.Method == http.MethodHead {
		return
	}
	var bodies []string
	switch form {
	case "application/json", "application/problem+json":
		bodies = []string{got.body}
	case "application/x-ndjson":
		bodies = strings.Split(strings.TrimSuffix(got.body, "\n"), "\n")
	}
	for _, body := range bodies {
		var value any
		if err := json.Unmarshal([]byte(body), &value); err != nil {
			t.Errorf("%s: %v", body, err)
			return
		}
		if err := check(media["schema"], value, "answer"); err != nil {
			t.Errorf("%s %s: %v in %s", request.Method, request.URL.Path, err, body)
		}
	}
}

// find returns the operation for a request.
func find(method, path string, public bool) node {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for template, item := range at(document(), "paths").(node) {
		servers := fmt.Sprint(at(item, "servers"))
		if servers != "<nil>" && public != strings.Contains(servers, ":8080") && template != "/openapi.yaml" || servers == "<nil>" && public {
			continue
		}
		if matches(template, path) {
			op, _ := at(item, strings.ToLower(method)).(node)
			return op
		}
	}
	return nil
}

func matches(template, path string) bool {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != have[i] && (!strings.HasPrefix(want[i], "{") || have[i] == "") {
			return false
		}
	}
	return true
}

// check is the part of JSON Schema that the document uses. Names that are not in the document are wrong.
func check(schema, value any, where string) error {
	s, _ := resolve(schema).(node)
	if all, ok := s["allOf"].([]any); ok {
		return checkObject(merge(all), value, where)
	}
	if one, ok := s["oneOf"].([]any); ok {
		var err error
		for _, choice := range one {
			if err = check(choice, value, where); err == nil {
				return nil
			}
		}
		return err
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, value) {
		return fmt.Errorf("%s is %v, not one of %v", where, value, enum)
	}
	if want, ok := s["const"]; ok && fmt.Sprint(want) != fmt.Sprint(value) {
		return fmt.Errorf("%s is %v, not %v", where, value, want)
	}
	kinds, _ := s["type"].([]any)
	if kind, ok := s["type"].(string); ok {
		kinds = []any{kind}
	}
	if kinds != nil && !slices.Contains(kinds, any(kindOf(value))) && !(slices.Contains(kinds, any("integer")) && kindOf(value) == "number") {
		return fmt.Errorf("%s is a %s, not %v", where, kindOf(value), kinds)
	}
	switch value := value.(type) {
	case []any:
		for i, item := range value {
			if err := check(s["items"], item, fmt.Sprintf("%s[%d]", where, i)); err != nil {
				return err
			}
		}
	case node:
		return checkObject(s, value, where)
	}
	return nil
}

func merge(parts []any) node {
	properties, required := node{}, []any{}
	for _, part := range parts {
		s := resolve(part).(node)
		maps.Copy(properties, s["properties"].(node))
		required = append(required, s["required"].([]any)...)
	}
	return node{"properties": properties, "required": required}
}

func checkObject(s node, value any, where string) error {
	object, _ := value.(node)
	properties, closed := s["properties"].(node)
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok {
			return fmt.Errorf("%s has no %v", where, name)
		}
	}
	for name, inner := range object {
		schema, ok := properties[name]
		if !ok && closed {
			return fmt.Errorf("%s.%s is not in the document", where, name)
		}
		if err := check(schema, inner, where+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case float64:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}
