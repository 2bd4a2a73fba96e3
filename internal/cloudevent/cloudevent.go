// Package cloudevent reads the attributes of CloudEvents 1.0.2 from requests over HTTP: of the
// header in binary mode, of a JSON body in structured mode and as an item of a batch.
//
// What it reads becomes facts of an event, and neither the header nor the body is changed. It is
// strict about the attributes that become facts, and leaves data and extensions alone: they are
// kept as they came. A request that sets none of them costs one look at each of its headers.
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
package cloudevent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"pillarbox"
)

// MaxAttributeBytes is the longest attribute that becomes a fact, in bytes: events are to be
// forwarded by everybody up to 64 KiB in all (CloudEvents 1.0.2, "Size Limits"), and every store
// has room for five of these.
const MaxAttributeBytes = 4 << 10

// SpecVersion is the one version that is understood.
const SpecVersion = "1.0"

// ErrNone says that a request does not look like a CloudEvent at all.
var ErrNone = errors.New("it has neither the headers ce-specversion, ce-id, ce-source and ce-type nor the Content-Type application/cloudevents+json")

// Mode is how an event is carried.
type Mode int

// The modes.
const (
	Binary     Mode = iota // attributes in the header; also of a request that is no CloudEvent
	Structured             // one event as JSON
	Batched                // a JSON array of them
	Foreign                // in a format that is not understood
)

// The types of bodies that are understood.
const (
	TypeJSON  = "application/cloudevents+json"
	TypeBatch = "application/cloudevents-batch+json"
)

const mediaType = "application/cloudevents"

// ModeOf is the mode that a Content-Type says.
func ModeOf(contentType string) Mode {
	if len(contentType) < len(mediaType) || !strings.EqualFold(contentType[:len(mediaType)], mediaType) {
		return Binary
	}
	rest, parameters, _ := strings.Cut(contentType[len(mediaType):], ";")
	rest = strings.ToLower(strings.TrimRight(rest, " \t"))
	switch {
	case rest != "+json" && rest != "-batch+json" && rest != "" && rest[0] != '+' && rest[0] != '-':
		return Binary // another type, which begins the same way
	case !isUTF8(parameters):
		return Foreign
	case rest == "+json":
		return Structured
	case rest == "-batch+json":
		return Batched
	}
	return Foreign
}

// Look looks at each line of a header once: for its Content-Type, and whether any line may be of an
// event in binary mode.
func Look(header pillarbox.Header) (contentType string, binary bool) {
	for i := range header {
		name := header[i].Name
		switch {
		case len(name) == len("Content-Type") && name == "Content-Type" && contentType == "":
			contentType = header[i].Value
		case len(name) >= len("Ce-Id") && name[0] == 'C' && name[1] == 'e' && name[2] == '-':
			binary = true
		}
	}
	return contentType, binary
}

// isUTF8 reports whether parameters of a media type name no other charset.
func isUTF8(parameters string) bool {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
		value = strings.Trim(value, `"`)
		if strings.EqualFold(name, "charset") && !strings.EqualFold(value, "utf-8") &&
			!strings.EqualFold(value, "us-ascii") {
			return false
		}
	}
	return true
}

// The attributes that are read: FactNames[1:] without their prefix, and specversion.
const (
	specversion = iota
	id
	source
	kind
	at
	subject
	count
)

var names = [count]string{"specversion", "id", "source", "type", "time", "subject"}

// headerNames are those of the attributes in canonical form.
var headerNames = [count]string{"Ce-Specversion", "Ce-Id", "Ce-Source", "Ce-Type", "Ce-Time", "Ce-Subject"}

// attributes are the texts of one event.
type attributes struct {
	texts [count]string
	set   [count]bool
}

// FromHeader reads an event in binary mode. It is nil, without an error, for a request that has
// none of the four headers which every event has. Facts may share memory with the header.
func FromHeader(header pillarbox.Header) (*pillarbox.Facts, error) {
	var a attributes
	found := false
	for i := range header {
		name := header[i].Name
		if len(name) < len("Ce-Id") || name[:3] != "Ce-" {
			continue
		}
		for which := range headerNames {
			if name != headerNames[which] {
				continue
			}
			if a.set[which] {
				return nil, fmt.Errorf("ce-%s is there twice", names[which])
			}
			value, err := decodeHeader(header[i].Value)
			if err != nil {
				return nil, fmt.Errorf("ce-%s: %w", names[which], err)
			}
			a.texts[which], a.set[which] = value, true
			found = found || which < at
		}
	}
	if !found {
		return nil, nil
	}
	return a.facts("ce-")
}

// FromJSON reads an event in the JSON format.
func FromJSON(body []byte) (*pillarbox.Facts, error) {
	if !valid(body) {
		return nil, errors.New("it is no JSON in UTF-8")
	}
	event := gjson.ParseBytes(body)
	if !event.IsObject() {
		return nil, errors.New("it is no JSON object")
	}
	var a attributes
	var err error
	data := 0
	event.ForEach(func(name, value gjson.Result) bool {
		if name.Str == "data" || name.Str == "data_base64" {
			data++
		}
		err = a.set1(name.Str, value)
		return err == nil
	})
	switch {
	case err != nil:
		return nil, err
	case data > 1:
		return nil, errors.New("data and data_base64 may be there once, and not both")
	}
	return a.facts("")
}

// maxNesting is how deep arrays and objects may be in one another, by encoding/json. gjson knows no
// limit, so it gets what is too short to be deeper.
const maxNesting = 10_000

func valid(body []byte) bool {
	if !utf8.Valid(body) {
		return false
	}
	if len(body) > maxNesting {
		return json.Valid(body)
	}
	return gjson.ValidBytes(body)
}

// set1 notes a member of the object, if it is one of the attributes that are read. Null is as good
// as nothing (JSON format, section 2.1).
func (a *attributes) set1(name string, value gjson.Result) error {
	for which := range names {
		if name != names[which] || value.Type == gjson.Null {
			continue
		}
		switch {
		case a.set[which]:
			return fmt.Errorf("%s is there twice", name)
		case value.Type != gjson.String:
			return fmt.Errorf("%s is no string", name)
		}
		a.texts[which], a.set[which] = value.Str, true
	}
	return nil
}

// facts checks the attributes. prefix stands before their names in errors.
func (a *attributes) facts(prefix string) (*pillarbox.Facts, error) {
	var missing []string
	for which := range at {
		if !a.set[which] {
			missing = append(missing, prefix+names[which])
		}
	}
	if len(missing) == 1 {
		return nil, fmt.Errorf("%s is missing", missing[0])
	}
	if len(missing) > 1 {
		return nil, fmt.Errorf("%s are missing", strings.Join(missing, ", "))
	}
	for which, text := range a.texts {
		if err := check(which, text, a.set[which]); err != nil {
			return nil, fmt.Errorf("%s%s %w", prefix, names[which], err)
		}
	}
	return &pillarbox.Facts{CEID: a.texts[id], CESource: a.texts[source], CEType: a.texts[kind],
		CETime: a.texts[at], CESubject: a.texts[subject]}, nil
}

func check(which int, text string, set bool) error {
	switch {
	case !set:
		return nil
	case text == "":
		return errors.New("is empty")
	case len(text) > MaxAttributeBytes:
		return fmt.Errorf("has %d bytes, and may have %d", len(text), MaxAttributeBytes)
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f }):
		return errors.New("has control characters")
	case which == specversion && text != SpecVersion:
		return fmt.Errorf("is %.20q; want %s", text, SpecVersion)
	case which == at && !isTime(text):
		return errors.New("is no time as of RFC 3339")
	}
	if which == source {
		if _, err := url.Parse(text); err != nil {
			return errors.New("is no URI reference")
		}
	}
	return nil
}

// isTime reads a leap second too, which package time does not know.
func isTime(text string) bool {
	upper := strings.ToUpper(text) // t and z may be small (RFC 3339, section 5.6)
	if _, err := time.Parse(time.RFC3339Nano, upper); err == nil {
		return true
	}
	const seconds = len("2006-01-02T15:04:")
	if len(upper) < seconds+2 || upper[seconds:seconds+2] != "60" {
		return false
	}
	_, err := time.Parse(time.RFC3339Nano, upper[:seconds]+"59"+upper[seconds+2:])
	return err == nil
}

// decodeHeader takes the quotes from a value, and then one round of percent-encoding (HTTP binding,
// section 3.1.3.2). A percent sign that encodes nothing stands for itself. It costs no allocation
// where there is nothing to decode.
func decodeHeader(value string) (string, error) {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = unquote(value[1 : len(value)-1])
	}
	if strings.IndexByte(value, '%') >= 0 {
		value = unescape(value)
	}
	if !utf8.ValidString(value) {
		return "", errors.New("is no UTF-8")
	}
	return value, nil
}

func unquote(text string) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		plain = append(plain, text[i])
	}
	return string(plain)
}

func unescape(text string) string {
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			high, low := hexValue(text[i+1]), hexValue(text[i+2])
			if high|low < 16 {
				plain, i = append(plain, high<<4|low), i+2
				continue
			}
		}
		plain = append(plain, text[i])
	}
	return string(plain)
}

// hexValue is that of a digit, or 16.
func hexValue(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
