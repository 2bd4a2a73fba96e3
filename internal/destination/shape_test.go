package destination_test

import (
	"reflect"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/destination"
)

func shaping() *destination.Destination {
	return destination.New(destination.Settings{Shape: destination.Shape{
		Drop:   destination.Places{Headers: []string{"x-debug"}, Query: []string{"utm"}, JSON: []string{"/user/password", "/items/*/note"}},
		Redact: destination.Places{Headers: []string{"X-Card"}, Query: []string{"email"}, JSON: []string{"/card/number"}},
		Rename: destination.Names{Headers: map[string]string{"x-old": "x-new"}, Query: map[string]string{"q": "search term"},
			JSON: map[string]string{"/userId": "user_id", "/items/*/n": "count"}},
	}})
}

func TestShape(t *testing.T) {
	event := &pillarbox.Event{Query: "a=1&utm=x&email=a%40b&email=&q=1;utm=2&%71=3&flag",
		Header: pillarbox.Header{{Name: "X-Debug", Value: "1"}, {Name: "X-Card", Value: "4111"}, {Name: "X-Old", Value: "o"}, {Name: "X-Other", Value: "p"}},
		Body:   []byte("\uFEFF" + ` {"userId": 9007199254740993, "user":{"password":"p","name":"n"}, "card":{"number":"4111"},"items":[{"n":1e0,"note":"x"},{"note":"y"}]} `),
		Facts:  &pillarbox.Facts{Caller: "key", Removed: "header Authorization"}}
	before := *event
	shaped, changes, err := shaping().Shaped(event)
	if err != nil {
		t.Fatal(err)
	}
	if want := (destination.Changes{Dropped: 6, Redacted: 4, Renamed: 5}); changes != want {
		t.Errorf("changes %+v, want %+v", changes, want)
	}
	if want := "\uFEFF" + ` {"user_id": 9007199254740993, "user":{"name":"n"}, "card":{"number":"REDACTED"},"items":[{"count":1e0},{}]} `; string(shaped.Body) != want {
		t.Errorf("body %s\nwant %s", shaped.Body, want)
	}
	if want := "a=1&email=REDACTED&email=REDACTED&search+term=1&search+term=3&flag"; shaped.Query != want {
		t.Errorf("query %s\nwant  %s", shaped.Query, want)
	}
	if want := (pillarbox.Header{{Name: "X-Card", Value: "REDACTED"}, {Name: "X-New", Value: "o"}, {Name: "X-Other", Value: "p"}}); !reflect.DeepEqual(shaped.Header, want) {
		t.Errorf("header %v", shaped.Header)
	}
	for _, said := range []string{"header Authorization, ", "dropped header X-Debug", "redacted header X-Card", "renamed header X-Old to X-New", "dropped query utm",
		"redacted query email", "renamed query q to search term", "dropped json /user/password", "redacted json /card/number", "renamed json /userId to user_id"} {
		if !strings.Contains(shaped.Facts.Removed, said) {
			t.Errorf("%q does not say %q", shaped.Facts.Removed, said)
		}
	}
	if !reflect.DeepEqual(*event, before) || event.Facts.Removed != "header Authorization" {
		t.Errorf("the event was changed: %+v", event)
	}
	again, changes, err := shaping().Shaped(shaped)
	if err != nil || changes != (destination.Changes{}) || again != shaped {
		t.Errorf("shaped anew: %+v, %v", changes, err)
	}
}

func TestWhatIsNotShaped(t *testing.T) {
	for name, c := range map[string]struct {
		body    string
		shape   destination.Shape
		refused bool
	}{
		"no JSON, with values to remove": {body: `{"card":`, shape: destination.Shape{Redact: destination.Places{JSON: []string{"/card"}}}, refused: true},
		"no JSON, with names to change":  {body: `{"card":`, shape: destination.Shape{Rename: destination.Names{JSON: map[string]string{"/card": "c"}}}},
		"an empty body":                  {shape: destination.Shape{Drop: destination.Places{JSON: []string{"/card"}}}},
		"nothing there":                  {body: `{"a":{"card":1}}`, shape: destination.Shape{Drop: destination.Places{JSON: []string{"/card"}}}},
		"the new name is taken":          {body: `{"card":1,"c":2}`, shape: destination.Shape{Rename: destination.Names{JSON: map[string]string{"/card": "c"}}}},
		"a null":                         {body: `{"card":null}`, shape: destination.Shape{Redact: destination.Places{JSON: []string{"/card"}}}},
	} {
		event := &pillarbox.Event{Body: []byte(c.body)}
		shaped, changes, err := destination.New(destination.Settings{Shape: c.shape}).Shaped(event)
		if (err != nil) != c.refused || err != nil && !pillarbox.IsPermanent(err) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (shaped != event || changes != (destination.Changes{})) {
			t.Errorf("%s: %s", name, shaped.Body)
		}
	}
}
