package pillarbox_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pillarbox"
)

func knownEvent() *pillarbox.Event {
	return &pillarbox.Event{Timestamp: 1763907120123456, RequestID: "id", Facts: &pillarbox.Facts{
		Caller: "shop <a@b>", CEID: "1", CESource: "/s", CEType: "t", CETime: "2025-11-23T14:12:00Z", CESubject: "ü", Removed: "header Cookie",
		Attributes: pillarbox.Attributes{{Name: "plan", Value: ""}, {Name: "tenant", Value: "a\"b\x00"}},
	}}
}

// TestFactsHaveTheirNamesInJSON, in an event, a message and a dead letter; where nothing is known,
// there is no name of them.
func TestFactsHaveTheirNamesInJSON(t *testing.T) {
	event := knownEvent()
	want := `,"traceparent":"","caller":"shop <a@b>","ce_id":"1","ce_source":"/s","ce_type":"t","ce_time":"2025-11-23T14:12:00Z",` +
		`"ce_subject":"ü","removed":"header Cookie","attributes":{"plan":"","tenant":"a\"b\u0000"},"body":"","body_encoding":"utf8"}`
	text, err := event.MarshalJSON()
	if err != nil || !strings.HasSuffix(string(text), want) {
		t.Errorf("got  %s, %v\nwant %s", text, err, want)
	}
	letter := &pillarbox.DeadLetter{Version: pillarbox.DeadLetterVersion, Event: event}
	claim := pillarbox.NewClaim("k", []byte("x"))
	for name, message := range map[string]*pillarbox.Message{
		"message": {Event: event}, "letter": {Event: event, Letter: letter}, "claim": {Event: event, Claim: &claim},
	} {
		text, err := json.Marshal(message)
		var back pillarbox.Message
		if err == nil {
			err = json.Unmarshal(text, &back)
		}
		if err != nil || !back.Event.Facts.Equal(event.Facts) {
			t.Errorf("%s: %s came back as %+v, %v", name, text, back.Event, err)
		}
	}
	event.Facts = &pillarbox.Facts{}
	if text, err = event.MarshalJSON(); err != nil || strings.Contains(string(text), "caller") || strings.Contains(string(text), "ce_") {
		t.Errorf("nothing is known, and the text is %s, %v", text, err)
	}
	var back pillarbox.Event
	if err := back.UnmarshalJSON(text); err != nil || back.Facts != nil {
		t.Errorf("nothing is known, and %+v is read, %v", back.Facts, err)
	}
}

// TestFactsOfAnEvent are compared whole, and asked for one by one.
func TestFactsOfAnEvent(t *testing.T) {
	event, none := knownEvent(), &pillarbox.Event{}
	for text, is := range map[string]bool{
		`{}`: true, `{"caller":"shop <a@b>"}`: true, `{"caller":"shop"}`: false, `{"ce_type":"t","ce_id":"1"}`: true,
		`{"ce_type":"t","ce_id":"2"}`: false, `{"attributes":{"tenant":"a\"b\u0000"}}`: true, `{"attributes":{"plan":""}}`: true,
		`{"attributes":{"other":""}}`: false, `{"attributes":{"plan":"","tenant":""}}`: false,
	} {
		asked := &pillarbox.Event{}
		text := `{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"x",` + text[1:]
		if err := asked.UnmarshalJSON([]byte(strings.Replace(text, ",}", "}", 1))); err != nil {
			t.Fatal(err)
		}
		if asked.Facts.Of(event) != is || asked.Facts.Of(none) != (asked.Facts == nil) {
			t.Errorf("%s: %v of the event, %v of one of which nothing is known", text, asked.Facts.Of(event), asked.Facts.Of(none))
		}
	}
	clone := event.Facts.Clone()
	if !clone.Equal(event.Facts) {
		t.Error("a copy is not equal")
	}
	clone.Attributes[0].Value = "x"
	if clone.Equal(event.Facts) || clone.Equal(nil) || !(&pillarbox.Facts{}).Equal(nil) {
		t.Error("what is not equal is equal, or the other way round")
	}
	for i, text := range clone.Texts() {
		other := event.Facts.Clone()
		*other.Texts()[i] = "another"
		if other.Equal(event.Facts) || *text == "" {
			t.Errorf("%s is not compared", pillarbox.FactNames()[i])
		}
	}
}

func TestNamesOfAttributes(t *testing.T) {
	long := strings.Repeat("a", pillarbox.MaxAttributeName)
	for name, good := range map[string]bool{"a": true, "tenant_2": true, long: true, long + "a": false, "": false, "2a": false,
		"_a": false, "A": false, "a-b": false, "a.b": false, "a\"": false, "é": false} {
		if err := pillarbox.CheckAttributeName(name); (err == nil) != good || err != nil && !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	var a pillarbox.Attributes
	for _, name := range []string{"b", "c", "a", "b"} {
		a.Set(name, name+"1")
	}
	if text, err := a.MarshalJSON(); string(text) != `{"a":"a1","b":"b1","c":"c1"}` {
		t.Errorf("%s, %v", text, err)
	}
	if err := json.Unmarshal([]byte(`{"a":1}`), &a); err == nil {
		t.Error("a number is read as a text")
	}
}

// TestNamesOfANewerVersionAreWrittenAgain: of an event, a message and a dead letter, as they came.
func TestNamesOfANewerVersionAreWrittenAgain(t *testing.T) {
	const known = `"request_id":"x","timestamp":"2026-11-23T14:12:00.123456Z"`
	for name, c := range map[string]struct{ text, others string }{
		"none":           {`{` + known + `}`, ``},
		"one":            {`{"new":{"a":[1,"<"]},` + known + `}`, `,"new":{"a":[1,"<"]}}`},
		"two, sorted":    {`{"z":1.50,` + known + `,"a":null}`, `,"a":null,"z":1.50}`},
		"in other case":  {`{"Body":"b","CALLER":"c",` + known + `}`, ``},
		"not twice":      {`{"new":1,` + known + `,"new":2}`, `,"new":1}`},
		"a strange name": {`{"a\"b":1,` + known + `}`, `,"a\"b":1}`},
	} {
		var event pillarbox.Event
		var message pillarbox.Message
		if err := event.UnmarshalJSON([]byte(c.text)); err != nil {
			t.Fatal(err)
		}
		if err := message.UnmarshalJSON([]byte(c.text)); err != nil {
			t.Fatal(err)
		}
		letter := &pillarbox.DeadLetter{Version: 1, Event: &event}
		asLetter := pillarbox.Message{Event: &event, Letter: letter}
		for form, value := range map[string]interface{ MarshalJSON() ([]byte, error) }{"event": &event, "message": &message, "letter": &asLetter} {
			text, err := value.MarshalJSON()
			has := strings.Contains(string(text), `"body_encoding":"utf8"`+c.others)
			if c.others == "" {
				has = strings.Contains(string(text), `"body_encoding":"utf8"}`)
			}
			if err != nil || !has || !json.Valid(text) {
				t.Errorf("%s as %s: %s, %v", name, form, text, err)
			}
		}
		text, err := json.Marshal(letter)
		var again pillarbox.DeadLetter
		if err == nil {
			err = json.Unmarshal(text, &again)
		}
		if err != nil || len(again.Event.Others) != len(event.Others) {
			t.Errorf("%s: %s came back as %+v, %v", name, text, again.Event, err)
		}
	}
}
