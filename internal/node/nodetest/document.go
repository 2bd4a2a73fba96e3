package nodetest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"pillarbox/internal/openapi"
)

// Side is one of the listeners that the document describes.
type Side string

// The listeners, by the port that the document has for them.
const (
	Public Side = ":8080"
	Admin  Side = ":8081"
)

// object is any part of the document.
type object = map[string]any

var document = sync.OnceValue(func() object {
	var document object
	if err := yaml.Unmarshal(openapi.Document, &document); err != nil {
		panic(err)
	}
	return document
})

// at goes down into a part by its keys, and through references.
func at(from any, keys ...string) any {
	for _, key := range keys {
		inner, _ := from.(object)
		from = resolve(inner[key])
	}
	return from
}

func resolve(value any) any {
	inner, _ := value.(object)
	ref, ok := inner["$ref"].(string)
	if !ok {
		return value
	}
	return at(document(), strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
}

// Operation is one method of one path in the document.
type Operation struct {
	Method, Path  string
	Public, Admin bool
	Open          bool // to everyone
	Params        []string
	Answers       []int // sorted
}

// Operations lists all that the document has.
func Operations(t *testing.T) []Operation {
	t.Helper()
	var found []Operation
	for path, item := range at(document(), "paths").(object) {
		servers := fmt.Sprint(at(item, "servers"))
		public := strings.Contains(servers, string(Public))
		for _, method := range []string{"get", "post", "delete", "put", "patch", "options"} {
			op, _ := at(item, method).(object)
			if op == nil {
				continue
			}
			o := Operation{Method: strings.ToUpper(method), Path: path, Public: public, Admin: !public ||
				strings.Contains(servers, string(Admin))}
			_, o.Open = op["security"]
			parameters, _ := op["parameters"].([]any)
			for _, parameter := range parameters {
				if in := at(resolve(parameter), "in"); in == "query" {
					o.Params = append(o.Params, at(resolve(parameter), "name").(string))
				}
			}
			for code := range at(op, "responses").(object) {
				status, err := strconv.Atoi(code)
				if err != nil {
					t.Fatalf("%s %s: %v", method, path, err)
				}
				o.Answers = append(o.Answers, status)
			}
			slices.Sort(o.Answers)
			found = append(found, o)
		}
	}
	return found
}

// Answer is what a handler wrote.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Do sends a request to a handler, and checks the answer against the document.
func Do(t *testing.T, side Side, handler http.Handler, request *http.Request) Answer {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	result := recorder.Result()
	text, err := io.ReadAll(result.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := Answer{Status: result.StatusCode, Header: result.Header, Body: string(text)}
	conform(t, side, request, got)
	return got
}

// Wants fails unless the status is as wanted and the body holds every part. An error must say when
// to come again where that helps.
func (a Answer) Wants(t *testing.T, status int, parts ...string) Answer {
	t.Helper()
	if a.Status != status {
		t.Fatalf("status %d, want %d; body %s", a.Status, status, a.Body)
	}
	for _, part := range parts {
		if !strings.Contains(a.Body, part) {
			t.Errorf("body %q has no %q", a.Body, part)
		}
	}
	retriable := status == http.StatusServiceUnavailable || status == http.StatusInsufficientStorage
	if retriable && a.Header.Get("Retry-After") == "" {
		t.Errorf("status %d has no Retry-After", status)
	}
	return a
}

// Decode reads JSON.
func Decode[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return value
}

// conform checks an answer against the document: its status, its type and its content.
func conform(t *testing.T, side Side, request *http.Request, got Answer) {
	t.Helper()
	op := find(request.Method, request.URL.Path, side == Public)
	if op == nil {
		if got.Status < 401 || got.Status > 405 {
			t.Errorf("%s %s is not in the document, and is answered with %d", request.Method,
				request.URL.Path, got.Status)
		}
		op = object{"responses": object{strconv.Itoa(got.Status): at(document(), "components",
			"responses", "NotFound")}}
	}
	response := at(op, "responses", strconv.Itoa(got.Status))
	if response == nil {
		t.Errorf("%s %s: status %d is not in the document", request.Method, request.URL.Path, got.Status)
		return
	}
	if at(response, "content") == nil && got.Body == "" && got.Header.Get("Content-Type") == "" {
		return // an answer without a body, as in the document
	}
	form, _, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
	media, _ := at(response, "content", form).(object)
	if err != nil || media == nil {
		t.Errorf("%s %s: Content-Type %q of status %d is not in the document", request.Method,
			request.URL.Path, got.Header.Get("Content-Type"), got.Status)
		return
	}
	if request.Method == http.MethodHead {
		return
	}
	var bodies []string
	switch form {
	case "application/json", "application/problem+json":
		bodies = []string{got.Body}
	case "application/x-ndjson":
		bodies = strings.Split(strings.TrimSuffix(got.Body, "\n"), "\n")
	}
	for _, body := range bodies {
		if err := check(media["schema"], body); err != nil {
			t.Errorf("%s %s: %v in %s", request.Method, request.URL.Path, err, body)
		}
	}
}

// find returns the operation for a request: that of the path as it is, and else that of a template.
func find(method, path string, public bool) object {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var found object
	for template, item := range at(document(), "paths").(object) {
		servers := fmt.Sprint(at(item, "servers"))
		if servers != "<nil>" && public != strings.Contains(servers, string(Public)) &&
			template != openapi.Path || servers == "<nil>" && public {
			continue
		}
		if matches(template, path) {
			op, _ := at(item, strings.ToLower(method)).(object)
			if found == nil || template == path {
				found = op
			}
			if template == path {
				break
			}
		}
	}
	return found
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

// check holds a text against a schema of the document (JSON Schema 2020-12, as OpenAPI 3.1 has it).
// Names that are not in the document are wrong.
func check(schema any, text string) error {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("answer.json", closed(schema)); err != nil {
		return err
	}
	compiled, err := compiler.Compile("answer.json")
	if err != nil {
		return err
	}
	return compiled.Validate(value)
}

// closed returns a schema without references, whose objects have no other names than those that it
// lists. The parts of an allOf become one.
func closed(schema any) any {
	switch schema := resolve(schema).(type) {
	case object:
		if parts, ok := schema["allOf"].([]any); ok {
			return closed(merge(parts))
		}
		copied := object{}
		for name, inner := range schema {
			copied[name] = closed(inner)
		}
		_, open := schema["additionalProperties"]
		if properties, ok := schema["properties"].(object); ok && !open {
			copied["properties"] = closedProperties(properties)
			copied["additionalProperties"] = false
		}
		return copied
	case []any:
		copied := make([]any, len(schema))
		for i, inner := range schema {
			copied[i] = closed(inner)
		}
		return copied
	case uint64:
		return json.Number(strconv.FormatUint(schema, 10))
	case int:
		return json.Number(strconv.Itoa(schema))
	case float64:
		return json.Number(strconv.FormatFloat(schema, 'g', -1, 64))
	default:
		return schema
	}
}

// closedProperties closes each of the schemas; their names are no keywords.
func closedProperties(properties object) object {
	copied := object{}
	for name, inner := range properties {
		copied[name] = closed(inner)
	}
	return copied
}

func merge(parts []any) object {
	properties, required := object{}, []any{}
	for _, part := range parts {
		s := resolve(part).(object)
		maps.Copy(properties, s["properties"].(object))
		listed, _ := s["required"].([]any)
		required = append(required, listed...)
	}
	return object{"properties": properties, "required": required}
}
