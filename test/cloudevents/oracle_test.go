// Package cloudevents holds what pillarbox reads of CloudEvents against the SDK of those who have
// written the specification. It is a module of its own, because nothing else needs the SDK.
package cloudevents_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"pillarbox"
	"pillarbox/internal/cloudevent"
	"pillarbox/internal/node/nodetest"
)

// differs are the cases in which the SDK does not do what the specification says, or in which we
// are stricter, and why.
var differs = map[string]string{
	"binary, percent-encoded":                     "the SDK does not decode",
	"binary, encoded without need, in lower case": "the SDK does not decode",
	"binary, decoded once":                        "the SDK does not decode",
	"binary, an id of nothing in quotes":          "the SDK does not decode",
	"binary, quoted":                              "the SDK does not decode",
	"binary, an overlong encoding":                "the SDK does not decode",
	"binary, a control character":                 "the SDK does not decode",
	"binary, a leap second":                       "package time does not know it",
	"binary, two ids":                             "the SDK takes the first one",
	"binary, a long subject":                      "a limit of ours",
	"structured, two ids":                         "the SDK takes the last one",
	"structured, data twice":                      "the SDK takes the last one",
	"structured, no UTF-8":                        "the SDK does not look",
	"binary, an older version":                    "the SDK knows 0.3, we do not",
	"structured, an older version":                "the SDK knows 0.3, we do not",
}

// TestTheSDKReadsTheSame: each case of the table that it takes we take, with the same attributes,
// and the other way round.
func TestTheSDKReadsTheSame(t *testing.T) {
	same := 0
	for _, c := range nodetest.EventCases() {
		request := httptest.NewRequest(http.MethodPost, "/app", strings.NewReader(c.Body))
		for i := 0; i < len(c.Header); i += 2 {
			request.Header.Add(c.Header[i], c.Header[i+1])
		}
		got := read(t, request)
		if agreed := got.Equal(c.Facts); agreed == (differs[c.Name] != "") {
			t.Errorf("%s: the SDK reads %+v, we read %+v, and what is known of it is %q", c.Name, got, c.Facts, differs[c.Name])
		} else if agreed {
			same++
		}
	}
	if same < 25 {
		t.Errorf("only %d cases are read in the same way", same)
	}
}

// read returns what the SDK reads, or nil.
func read(t *testing.T, request *http.Request) *pillarbox.Facts {
	t.Helper()
	message := cehttp.NewMessageFromHttpRequest(request)
	if message.ReadEncoding() == binding.EncodingUnknown {
		return nil
	}
	e, err := binding.ToEvent(t.Context(), message)
	if err != nil || e.Validate() != nil {
		return nil
	}
	facts := &pillarbox.Facts{CEID: e.ID(), CESource: e.Source(), CEType: e.Type(), CESubject: e.Subject()}
	if !e.Time().IsZero() {
		facts.CETime = timeText(request, e)
	}
	return facts
}

// timeText is the time as it came, if it is the one that the SDK has read.
func timeText(request *http.Request, e *event.Event) string {
	text := request.Header.Get("Ce-Time")
	if text == "" {
		text = "2018-04-05T17:31:00Z" // of the only body with one
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err != nil || !at.Equal(e.Time()) {
		return "another time"
	}
	return text
}

// TestWhatTheSDKSendsIsRead, in each mode.
func TestWhatTheSDKSendsIsRead(t *testing.T) {
	e := event.New()
	e.SetID("A234-1234-1234")
	e.SetSource("https://github.com/cloudevents/spec/pull")
	e.SetType("com.github.pull_request.opened")
	e.SetSubject("123")
	e.SetTime(time.Date(2026, 11, 23, 14, 12, 0, 5e8, time.UTC))
	e.SetExtension("comexampleothervalue", 5)
	if err := e.SetData("application/json", map[string]string{"id": "of the data"}); err != nil {
		t.Fatal(err)
	}
	want := &pillarbox.Facts{CEID: e.ID(), CESource: e.Source(), CEType: e.Type(), CESubject: e.Subject(), CETime: "2026-11-23T14:12:00.5Z"}
	for name, mode := range map[string]func(r *http.Request) error{
		"binary": func(r *http.Request) error {
			return cehttp.WriteRequest(binding.WithForceBinary(t.Context()), binding.ToMessage(&e), r)
		},
		"structured": func(r *http.Request) error {
			return cehttp.WriteRequest(binding.WithForceStructured(t.Context()), binding.ToMessage(&e), r)
		},
	} {
		request := httptest.NewRequest(http.MethodPost, "/app", nil)
		if err := mode(request); err != nil {
			t.Fatal(err)
		}
		var facts *pillarbox.Facts
		var err error
		if cloudevent.ModeOf(request.Header.Get("Content-Type")) == cloudevent.Structured {
			body, readErr := io.ReadAll(request.Body)
			if readErr != nil {
				t.Fatal(readErr)
			}
			facts, err = cloudevent.FromJSON(body)
		} else {
			var header pillarbox.Header
			for key, values := range request.Header {
				for _, value := range values {
					header = append(header, pillarbox.HeaderField{Name: key, Value: value})
				}
			}
			facts, err = cloudevent.FromHeader(header)
		}
		if err != nil || !facts.Equal(want) {
			t.Errorf("%s: read as %+v, %v", name, facts, err)
		}
	}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if facts, err := cloudevent.FromJSON(text); err != nil || !facts.Equal(want) {
		t.Errorf("as an item of a batch: %+v, %v", facts, err)
	}
}
