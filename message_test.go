package pillarbox_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"pillarbox"
)

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	event := &pillarbox.Event{Timestamp: 1, RequestID: "id", Source: "app", Method: "POST",
		Path: "/app", Body: []byte("a\x00\xff")}
	bare := *event
	bare.Body = []byte{}
	claim := pillarbox.NewClaim("bodies/1", event.Body)
	letter := &pillarbox.DeadLetter{
		Version: 1, Destination: "events", Reason: "no", DeadAt: 2, Event: event, Replay: "pillarbox dead replay id",
		Attempts: []pillarbox.Attempt{{At: 1, Class: pillarbox.ClassRefused, Error: "no <&>"}},
	}
	claimed := *letter
	claimed.Event = &bare
	for name, message := range map[string]*pillarbox.Message{
		"event":                    {Event: event},
		"event with a claim":       {Event: &bare, Claim: &claim},
		"dead letter":              {Event: event, Letter: letter},
		"dead letter with a claim": {Event: &bare, Claim: &claim, Letter: &claimed},
	} {
		text, err := json.Marshal(message)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got pillarbox.Message
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(&got, message) {
			t.Errorf("%s came back as %s", name, text)
		}
	}
}

func TestMessageOfAnEventIsTheEvent(t *testing.T) {
	event := &pillarbox.Event{Timestamp: 1, RequestID: "id", Body: []byte("text")}
	want, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(&pillarbox.Message{Event: event}); err != nil ||
		string(got) != string(want) {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

// TestClaimedBodyIsNotTakenForAnEmptyOne: who reads an event and knows no claims gets an error.
func TestClaimedBodyIsNotTakenForAnEmptyOne(t *testing.T) {
	claim := pillarbox.NewClaim("bodies/1", []byte("body"))
	text, err := json.Marshal(&pillarbox.Message{
		Event: &pillarbox.Event{Timestamp: 1, RequestID: "id"}, Claim: &claim})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, new(pillarbox.Event)); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("read as an event: %v, want ErrInvalid", err)
	}
}

func TestBadMessagesAreInvalid(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `"text"`, `{}`, `{"timestamp":"2026-11-23T14:12:00.123456Z"}`, `{"request_id":"id"}`,
		`{"timestamp":"yesterday","request_id":"id"}`, `{"event":null}`, `{"event":{}}`, `{"event":"text"}`,
		`{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"id","body_encoding":"claim"}`,
		`{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"id","body_encoding":"rot13"}`,
		`{"event":{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"id"}}`,
	} {
		var got pillarbox.Message
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s was read as %+v", text, got)
		}
	}
	var got pillarbox.Message
	if err := json.Unmarshal([]byte(`{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"id"}`), &got); err != nil || got.Event.RequestID != "id" {
		t.Errorf("the shortest message: %+v, %v", got, err)
	}
}

func TestClaimKnowsItsBody(t *testing.T) {
	claim := pillarbox.NewClaim("bodies/1", []byte("body"))
	if err := claim.Check([]byte("body")); err != nil {
		t.Error(err)
	}
	for _, other := range []string{"", "bodY", "body "} {
		if err := claim.Check([]byte(other)); !errors.Is(err, pillarbox.ErrCorrupt) {
			t.Errorf("%q: %v, want ErrCorrupt", other, err)
		}
	}
}
