package adminapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"

	"pillarbox/internal/protocol"
)

// readRequest reads a body strictly: a name that is misspelled would do something else than was
// meant. what and hint are for the errors.
func readRequest(w http.ResponseWriter, r *http.Request, into any, what, hint string) error {
	if form, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		form != protocol.TypeJSON {
		return &protocol.Error{Status: http.StatusUnsupportedMediaType,
			Detail: what + " is " + protocol.TypeJSON + "; set Content-Type"}
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxReplayBytes))
	if err != nil {
		return protocol.BodyError(err, MaxReplayBytes, what)
	}
	if trimmed := bytes.Trim(text, protocol.JSONSpace); len(trimmed) == 0 || trimmed[0] != '{' {
		return protocol.Invalid("the body is no JSON object%s", hint)
	}
	return decodeStrictly(text, into)
}

// noBody refuses a body where none is read: whoever sends {"dry_run":true} means something by it.
// An object without names is let pass.
func noBody(w http.ResponseWriter, r *http.Request) error {
	const most = 64 // bytes: two braces, and what may stand around them
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	switch trimmed := bytes.Trim(text, protocol.JSONSpace); {
	case errors.As(err, new(*http.MaxBytesError)):
	case err != nil:
		return protocol.Invalid("the body did not end cleanly: %v", err)
	case len(trimmed) == 0 || string(trimmed) == "{}":
		return nil
	}
	return protocol.Invalid("%s %s takes no body; what it is told stands in the address", r.Method,
		r.URL.Path)
}

// decodeStrictly reads one JSON object into a struct. encoding/json takes the last of several
// values of a name, and any case of it, and leaves a field alone for null; here each of them is
// refused.
func decodeStrictly(text []byte, into any) error {
	if !utf8.Valid(text) {
		return protocol.Invalid("body: it is not UTF-8 text")
	}
	if err := checkNames(text, namesOf(reflect.TypeOf(into).Elem())); err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return malformed(err)
	}
	return nil
}

func malformed(err error) error {
	return protocol.Invalid("body: %s", strings.TrimPrefix(err.Error(), "json: "))
}

// namesOf lists the names of the fields of a struct.
func namesOf(form reflect.Type) (names []string) {
	for field := range form.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// checkNames goes through the names of the one object that the text is.
func checkNames(text []byte, known []string) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if _, err := decoder.Token(); err != nil { // the brace
		return malformed(err)
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return malformed(err)
		}
		name, _ := token.(string)
		if err := checkName(name, known, seen); err != nil {
			return err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return malformed(err)
		}
		if string(value) == "null" {
			return protocol.Invalid("body: %q is null; leave it out, or give it a value", name)
		}
	}
	if _, err := decoder.Token(); err != nil { // the other brace
		return malformed(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return protocol.Invalid("body: there is something behind the JSON object")
	}
	return nil
}

func checkName(name string, known []string, seen map[string]bool) error {
	if seen[name] {
		return protocol.Invalid("body: %q is there twice; say it once", name)
	}
	seen[name] = true
	for _, right := range known {
		switch {
		case name == right:
			return nil
		case strings.EqualFold(name, right):
			return protocol.Invalid("body: unknown field %q; it is written %q", name, right)
		}
	}
	return protocol.Invalid("body: unknown field %q; known are %s", name, strings.Join(known, ", "))
}
