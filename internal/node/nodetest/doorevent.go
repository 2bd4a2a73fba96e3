package nodetest

import (
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/cloudevent"
	"pillarbox/internal/source"
)

// EventCase is a request that is a CloudEvent, or nearly one.
type EventCase struct {
	Name   string
	Header []string
	Body   string
	Facts  *pillarbox.Facts // nil for what is none
	Why    string           // a part of the reason
}

// ceHeader is the header of an event in binary mode, with more lines, or others for those.
func ceHeader(more ...string) []string {
	header := []string{"ce-specversion", "1.0", "ce-id", "1", "ce-source", "/sensors", "ce-type", "com.example.a"}
	for i := 0; i < len(more); i += 2 {
		found := false
		for j := 0; j < len(header); j += 2 {
			if header[j] == more[i] {
				header[j+1], found = more[i+1], true
			}
		}
		if !found {
			header = append(header, more[i:i+2]...)
		}
	}
	return header
}

// ceWithout is ceHeader without one line.
func ceWithout(name string) (header []string) {
	whole := ceHeader()
	for i := 0; i < len(whole); i += 2 {
		if whole[i] != name {
			header = append(header, whole[i:i+2]...)
		}
	}
	return header
}

func ceFacts(id, from, kind, at, subject string) *pillarbox.Facts {
	return &pillarbox.Facts{CEID: id, CESource: from, CEType: kind, CETime: at, CESubject: subject}
}

const twice = "ce-id is there twice"

const ceJSON = `{"specversion":"1.0","id":"1","source":"/sensors","type":"com.example.a"`

// EventCases are the rules of CloudEvents 1.0.2 over HTTP, in binary and structured mode.
func EventCases() []EventCase {
	plain := ceFacts("1", "/sensors", "com.example.a", "", "")
	cases := []EventCase{
		{"binary", ceHeader(), "data", plain, ""},
		{"binary, names in other case", []string{"CE-SpecVersion", "1.0", "cE-ID", "1", "Ce-Source", "/sensors", "CE-TYPE", "com.example.a"}, "", plain, ""},
		{"binary, all attributes", ceHeader("ce-time", "2018-04-05T17:31:00Z", "ce-subject", "mynewfile.jpg", "ce-comexampleextension1", "value",
			"Content-Type", "application/json; charset=utf-8"), `{"a":1}`,
			ceFacts("1", "/sensors", "com.example.a", "2018-04-05T17:31:00Z", "mynewfile.jpg"), ""},
		{"binary, percent-encoded", ceHeader("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"), "",
			ceFacts("1", "/sensors", "com.example.a", "", "Euro € \U0001F600"), ""},
		{"binary, encoded without need, in lower case", ceHeader("ce-id", "%61%2f%e2%82%ac"), "", ceFacts("a/€", "/sensors", "com.example.a", "", ""), ""},
		{"binary, decoded once", ceHeader("ce-id", "%2541"), "", ceFacts("%41", "/sensors", "com.example.a", "", ""), ""},
		{"binary, a percent sign that encodes nothing", ceHeader("ce-id", "100%"), "", ceFacts("100%", "/sensors", "com.example.a", "", ""), ""},
		{"binary, quoted", ceHeader("ce-subject", `"a \"b\" %41"`), "", ceFacts("1", "/sensors", "com.example.a", "", `a "b" A`), ""},
		{"binary, an absolute source", ceHeader("ce-source", "https://example.com/a?b=c#d"), "", ceFacts("1", "https://example.com/a?b=c#d", "com.example.a", "", ""), ""},
		{"binary, a source of words", ceHeader("ce-source", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"), "",
			ceFacts("1", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", "com.example.a", "", ""), ""},
		{"binary, a time with an offset", ceHeader("ce-time", "1937-01-01T12:00:27.87+00:20"), "",
			ceFacts("1", "/sensors", "com.example.a", "1937-01-01T12:00:27.87+00:20", ""), ""},
		{"binary, a leap second", ceHeader("ce-time", "1990-12-31T23:59:60Z"), "", ceFacts("1", "/sensors", "com.example.a", "1990-12-31T23:59:60Z", ""), ""},
		{"binary, another type that begins the same way", ceHeader("Content-Type", "application/cloudeventsx+json"), "{", plain, ""},

		{"binary, no id", ceWithout("ce-id"), "", nil, "ce-id is missing"},
		{"binary, no source", ceWithout("ce-source"), "", nil, "ce-source is missing"},
		{"binary, no type", ceWithout("ce-type"), "", nil, "ce-type is missing"},
		{"binary, no specversion", ceWithout("ce-specversion"), "", nil, "ce-specversion is missing"},
		{"binary, an id alone", []string{"ce-id", "1"}, "", nil, "ce-specversion, ce-source, ce-type are missing"},
		{"binary, an older version", ceHeader("ce-specversion", "0.3"), "", nil, "ce-specversion is"},
		{"binary, a newer version", ceHeader("ce-specversion", "2.0"), "", nil, "ce-specversion is"},
		{"binary, an empty id", ceHeader("ce-id", ""), "", nil, "ce-id is empty"},
		{"binary, an id of nothing in quotes", ceHeader("ce-id", `""`), "", nil, "ce-id is empty"},
		{"binary, an overlong encoding", ceHeader("ce-subject", "%C0%A0"), "", nil, "ce-subject: is no UTF-8"},
		{"binary, a control character", ceHeader("ce-subject", "a%00b"), "", nil, "ce-subject has control characters"},
		{"binary, no time", ceHeader("ce-time", "yesterday"), "", nil, "ce-time is no time"},
		{"binary, no URI", ceHeader("ce-source", "%25zz:"), "", nil, "ce-source is no URI"},
		{"binary, two ids", append(ceHeader(), "ce-id", "2"), "", nil, twice},
		{"binary, a long subject", ceHeader("ce-subject", strings.Repeat("a", cloudevent.MaxAttributeBytes+1)), "", nil, "ce-subject has 4097 bytes"},
		{"none", nil, `{"specversion":"1.0","id":"1","source":"/s","type":"t"}`, nil, "it has neither"},
		{"none, with an extension alone", []string{"ce-other", "1"}, "", nil, "it has neither"},
	}
	structured := func(name, body string, facts *pillarbox.Facts, why string) {
		cases = append(cases, EventCase{"structured, " + name, []string{"Content-Type", "application/cloudevents+json; charset=UTF-8"}, body, facts, why})
	}
	structured("plain", ceJSON+`}`, plain, "")
	structured("all attributes", ceJSON+`,"time":"2018-04-05T17:31:00Z","subject":"a","comexampleothervalue":5,"datacontenttype":"text/xml","data":"<a/>"}`,
		ceFacts("1", "/sensors", "com.example.a", "2018-04-05T17:31:00Z", "a"), "")
	structured("data of JSON", " \n"+ceJSON+` , "data" : {"id":"2","type":null} } `, plain, "")
	structured("data in base64", ceJSON+`,"data_base64":"AAE="}`, plain, "")
	structured("escapes", `{"specversion":"1.0","\u0069d":"\u0041\n"`[:len(`{"specversion":"1.0","\u0069d":"\u0041`)]+`","source":"/sensors","type":"com.example.a","subject":"gr\u00fcn"}`,
		ceFacts("A", "/sensors", "com.example.a", "", "grün"), "")
	structured("null is nothing", ceJSON+`,"subject":null,"time":null}`, plain, "")
	structured("percent signs are themselves", ceJSON+`,"subject":"%41"}`, ceFacts("1", "/sensors", "com.example.a", "", "%41"), "")
	structured("no type", `{"specversion":"1.0","id":"1","source":"/s"}`, nil, "type is missing")
	structured("an id of null", `{"specversion":"1.0","id":null,"source":"/s","type":"t"}`, nil, "id is missing")
	structured("an id that is a number", `{"specversion":"1.0","id":1,"source":"/s","type":"t"}`, nil, "id is no string")
	structured("an empty source", `{"specversion":"1.0","id":"1","source":"","type":"t"}`, nil, "source is empty")
	structured("an older version", `{"specversion":"0.3","id":"1","source":"/s","type":"t"}`, nil, "specversion is")
	structured("two ids", ceJSON+`,"id":"2"}`, nil, "id is there twice")
	structured("data twice", ceJSON+`,"data":1,"data_base64":"AA=="}`, nil, "data and data_base64")
	structured("an array", `[`+ceJSON+`}]`, nil, "no JSON object")
	structured("a text", `"a"`, nil, "no JSON object")
	structured("no JSON", ceJSON, nil, "no JSON in UTF-8")
	structured("no UTF-8", ceJSON+",\"subject\":\"\xff\"}", nil, "no JSON in UTF-8")
	structured("nothing", "", nil, "no JSON in UTF-8")
	return append(cases, EventCase{"structured, whatever the header says",
		append(ceHeader("ce-id", "of the header"), "Content-Type", "Application/CloudEvents+JSON"), ceJSON + "}", plain, ""})
}

// eventDoors send every case to a source that takes all, to one that wants CloudEvents, and to one
// for which they are data.
func eventDoors(t testing.TB) (doors []Door) {
	app := source.Settings{Name: "app", Path: "/app", MaxBody: 2 * cloudevent.MaxAttributeBytes}
	none := app
	none.CloudEvents = source.CloudEventsNone
	only := DoorSource(t, "cloudevents")
	only.MaxBody = app.MaxBody
	for _, c := range EventCases() {
		door := Door{Name: c.Name, Source: app, Header: c.Header, Body: c.Body, Status: 202, Type: jsonType, Answer: "receipt",
			Stored: true, Facts: c.Facts, Lines: c.Why == twice}
		required, ignored := door, door
		required.Name, required.Source = c.Name+", required", only
		ignored.Name, ignored.Source, ignored.Facts = c.Name+", ignored", none, nil
		if c.Facts == nil {
			required.Status, required.Type, required.Answer, required.Stored, required.Problem = 400, problemType, "problem", false, c.Why
		}
		doors = append(doors, door, required, ignored)
	}
	foreign := Door{Name: "an event in another format", Source: app, Header: []string{"Content-Type", "application/cloudevents+avro"}, Body: "x",
		Status: 202, Type: jsonType, Answer: "receipt", Stored: true}
	refused, latin := foreign, foreign
	refused.Name, refused.Source, refused.Status, refused.Type, refused.Answer, refused.Stored = foreign.Name+", required", only, 415,
		problemType, "problem", false
	latin = refused
	latin.Name, latin.Header = "an event in Latin-1", []string{"Content-Type", "application/cloudevents+json; charset=iso-8859-1"}
	return append(doors, foreign, refused, latin)
}
