package pillarbox_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"pillarbox"
)

// FuzzEventJSON reads anything as an event. What it understands, it writes so that it reads the
// same.
func FuzzEventJSON(f *testing.F) {
	for _, seed := range []string{
		`{"request_id":"a","timestamp":"2026-11-23T14:12:00.123456Z","source":"app","method":"POST","path":"/app","query":"","headers":{"X-A":["1","2"]},"content_type":"","remote_addr":"","traceparent":"","body":"text","body_encoding":"utf8"}`,
		`{"timestamp":"0000-01-01T00:00:00.000000Z","body":"AAEC","body_encoding":"base64"}`, `{"headers":null}`, `{"headers":{"a":[]}}`,
		`{"body":"\ud800","body_encoding":"utf8"}`, `{"headers":[]}`, `{"body_encoding":"rot13"}`, `null`, `[]`, `{`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		event := &pillarbox.Event{}
		if json.Unmarshal(text, event) != nil {
			return
		}
		written, err := json.Marshal(event)
		if err != nil {
			t.Fatalf("%+v can be read and not be written: %v", event, err)
		}
		again := &pillarbox.Event{}
		if err := json.Unmarshal(written, again); err != nil {
			t.Fatalf("its own writing %s: %v", written, err)
		}
		// Names come back sorted; nothing else may change.
		rewritten, err := json.Marshal(again)
		if err != nil || !bytes.Equal(written, rewritten) || !bytes.Equal(event.Body, again.Body) {
			t.Errorf("wrote %s, then %s, %v", written, rewritten, err)
		}
	})
}

// FuzzDeadLetterText reads anything as a dead letter. What it understands, it writes so that it
// reads the same.
func FuzzDeadLetterText(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"destination":"events","reason":"no","dead_at":"2026-11-23T14:12:00.123456Z","attempts":[{"at":"2026-11-23T14:12:00.123456Z","class":"refused","error":"no"}],"event":{"request_id":"a","timestamp":"2026-11-23T14:12:00.123456Z"},"replay":"x"}`,
		`{"event":null,"attempts":null}`, `{"resolved":{"at":"2026-11-23T14:12:00.123456Z","how":"replayed"}}`, `{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		letter := &pillarbox.DeadLetter{}
		if json.Unmarshal(text, letter) != nil {
			return
		}
		written, err := json.Marshal(letter)
		if err != nil {
			t.Fatalf("%+v can be read and not be written: %v", letter, err)
		}
		again := &pillarbox.DeadLetter{}
		if err := json.Unmarshal(written, again); err != nil {
			t.Fatalf("its own writing %s: %v", written, err)
		}
		rewritten, err := json.Marshal(again)
		if err != nil || !bytes.Equal(written, rewritten) {
			t.Errorf("wrote %s, then %s, %v", written, rewritten, err)
		}
	})
}

// FuzzEventBytes writes events of any bytes as JSON, and reads the same bytes.
func FuzzEventBytes(f *testing.F) {
	f.Add("n=M\xfcn", "text/plain; name=\xfc", "X-Name", "M\xfcn", []byte("\xff\x00"))
	f.Add("", "", "A", "", []byte(nil))
	f.Add("bj1N/G4=", "base64", "X-Encoding", "base64", []byte("base64"))
	f.Fuzz(func(t *testing.T, query, contentType, name, value string, body []byte) {
		if !utf8.ValidString(name) {
			return // names are tokens
		}
		event := &pillarbox.Event{Timestamp: 1, RequestID: "id", Query: query, ContentType: contentType,
			Header: pillarbox.Header{{Name: name, Value: value}, {Name: name, Value: "plain"}}, Body: body}
		text, err := json.Marshal(event)
		if err != nil || !utf8.Valid(text) {
			t.Fatalf("%+v is written as %q, %v", event, text, err)
		}
		again := &pillarbox.Event{}
		if err := json.Unmarshal(text, again); err != nil {
			t.Fatalf("its own writing %s: %v", text, err)
		}
		if again.Query != query || again.ContentType != contentType ||
			!reflect.DeepEqual(again.Header, event.Header) || !bytes.Equal(again.Body, body) {
			t.Errorf("%+v is written as %s and read as %+v", event, text, again)
		}
	})
}

// FuzzTimestamp reads anything as a timestamp: there is one text for each instant, and text order
// is time order.
func FuzzTimestamp(f *testing.F) {
	for _, seed := range []string{"2026-11-23T14:12:00.123456Z", "0000-01-01T00:00:00.000000Z",
		"9999-12-31T23:59:59.999999Z", "2026-11-23T14:12:60.000000Z", "2026-11-23t14:12:00.123456z", "2026-11-23T14:12:00,123456Z", ""} {
		f.Add(seed, "2026-11-23T14:12:00.123456Z")
	}
	f.Fuzz(func(t *testing.T, one, other string) {
		first, err := pillarbox.ParseTimestamp(one)
		if err != nil {
			return
		}
		text, err := first.MarshalText()
		if err != nil || string(text) != one {
			t.Fatalf("%q reads as %d and is written as %q, %v", one, first, text, err)
		}
		second, err := pillarbox.ParseTimestamp(other)
		if err == nil && (first < second) != (one < other) {
			t.Errorf("%s and %s: the order of the texts is not that of the instants", one, other)
		}
	})
}

// FuzzHeaderJSON writes any header, which reads the same but for the order of different names.
func FuzzHeaderJSON(f *testing.F) {
	f.Add("X-A", "1", "X-A", "2")
	f.Add("", "", "\xff", "\x00")
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string) {
		if !utf8.ValidString(name1 + "\x00" + name2) {
			return // names are tokens
		}
		sent := pillarbox.Header{{Name: name1, Value: value1}, {Name: name2, Value: value2}}
		header, encoding := sent.Encoded()
		if back, err := header.Decoded(encoding); err != nil || !reflect.DeepEqual(sent, back) {
			t.Fatalf("%q is encoded and decoded as %q, %v", sent, back, err)
		}
		text, err := json.Marshal(header)
		if err != nil {
			t.Fatal(err)
		}
		var first, second pillarbox.Header
		if err := json.Unmarshal(text, &first); err != nil || len(first) != 2 {
			t.Fatalf("%s reads as %v, %v", text, first, err)
		}
		again, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(again, &second); err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("%v, then %v, %v", first, second, err)
		}
	})
}
