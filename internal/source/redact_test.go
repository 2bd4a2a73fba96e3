package source

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/protocol"
	"pillarbox/internal/telemetry"
)

var hashKey = []byte("a key of the tests, 32 bytes....")

func masking1() *Source {
	return New(Settings{Name: "app", Path: "/app",
		Redact: Places{Headers: []string{"x-card"}, Query: []string{"card", "späť"}, JSON: []string{"/card", "/items/*/pin", "/a~1b/m~0n", "/deep/*/0"}},
		Hash:   Hash{Key: hashKey, Places: Places{Headers: []string{"X-Email"}, Query: []string{"email"}, JSON: []string{"/user/email", "/card/holder"}}},
	}, Options{})
}

// TestValuesInBodiesAreReplaced: everything else of a body stays as it is, byte for byte, and no value
// that a rule names is left, however it is written.
func TestValuesInBodiesAreReplaced(t *testing.T) {
	ada := (&masks{key: hashKey}).replace(hashed, "ada@example.org")
	for sent, want := range map[string]string{
		``:                          ``,
		`{}`:                        `{}`,
		`[1, 2 ]`:                   `[1, 2 ]`,
		`{"x": 1 , "y":[ ]}`:        `{"x": 1 , "y":[ ]}`,
		` {"card" : "4111" ,"x":1}`: ` {"card" : "REDACTED" ,"x":1}`,
		`{"card":4111,"card":{"n":[4111,{"a":1}]},"card":true}`: `{"card":"REDACTED","card":"REDACTED","card":"REDACTED"}`,
		`{"c\u0061rd":"4111"}`:                      `{"c\u0061rd":"REDACTED"}`,
		`{"Card":"4111","cards":"1","xcard":2}`:     `{"Card":"4111","cards":"1","xcard":2}`,
		`{"x":{"card":"4111"},"card":null}`:         `{"x":{"card":"4111"},"card":null}`,
		`{"items":[{"pin":1},{"pin":"2"},{}, 3]}`:   `{"items":[{"pin":"REDACTED"},{"pin":"REDACTED"},{}, 3]}`,
		`{"items":{"a":{"pin":1},"b":{"pin":"2"}}}`: `{"items":{"a":{"pin":"REDACTED"},"b":{"pin":"REDACTED"}}}`,
		`{"a/b":{"m~n":"x","m":1}}`:                 `{"a/b":{"m~n":"REDACTED","m":1}}`,
		`{"deep":[["x","y"],{"0":"z"},["w"]]}`:      `{"deep":[["REDACTED","y"],{"0":"REDACTED"},["REDACTED"]]}`,
		`{"user":{"email":"ada@example.org"}}`:      `{"user":{"email":"` + ada + `"}}`,
		`{"user":{"email":"\u0061da@example.org"}}`: `{"user":{"email":"` + ada + `"}}`,
		`{"card":{"holder":"ada@example.org"}}`:     `{"card":"REDACTED"}`, // the outer one counts
		"\ufeff{\"card\":1}":                        "\ufeff{\"card\":\"REDACTED\"}",
	} {
		s := masking1()
		before := strings.Clone(sent)
		got, err := s.KeepBody([]byte(sent), nil)
		if err != nil || string(got) != want {
			t.Errorf("%s is kept as %s, %v; want %s", sent, got, err, want)
		}
		if again, err := s.KeepBody(got, nil); err != nil || string(again) != want {
			t.Errorf("%s is kept as %s when it comes again, %v", got, again, err)
		}
		if sent != before {
			t.Errorf("%s was changed", before)
		}
	}
	if !strings.HasPrefix(ada, HashPrefix) || len(ada) != len(HashPrefix)+64 ||
		ada == (&masks{key: []byte("another key of 16 bytes")}).replace(hashed, "ada@example.org") {
		t.Errorf("the digest is %s", ada)
	}
}

// TestBodiesThatNobodyCanReadAreRefused where a rule is about their content.
func TestBodiesThatNobodyCanReadAreRefused(t *testing.T) {
	for _, sent := range []string{"card=4111", `{"card":"4111"`, `{"card":"4111"}}`, "{\x00\"\x00c\x00a\x00r\x00d\x00", `{card:"4111"}`,
		strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), `{"card":"4111"} {"card":"4111"}`, "\ufeff\ufeff{}"} {
		if got, err := masking1().KeepBody([]byte(sent), nil); protocol.StatusOf(err) != 400 {
			t.Errorf("%.40q is kept as %.40q, %v", sent, got, err)
		}
		if got, err := New(Settings{Name: "app", Redact: Places{Query: []string{"card"}}}, Options{}).KeepBody([]byte(sent), nil); err != nil || string(got) != sent {
			t.Errorf("without such a rule, %.40q is kept as %.40q, %v", sent, got, err)
		}
	}
	if _, err := masking1().KeepBody(make([]byte, maxMaskedBody+1), nil); !errors.Is(err, pillarbox.ErrTooLarge) {
		t.Errorf("a body over the limit is answered with %v", err)
	}
}

func TestValuesInHeadersAndQueriesAreReplaced(t *testing.T) {
	s := masking1()
	ada := s.keeper.masks.replace(hashed, "ada@example.org")
	var removed Removed
	header := pillarbox.Header{{Name: "X-Card", Value: "4111"}, {Name: "X-Email", Value: "ada@example.org"}, {Name: "X-Email", Value: ada}, {Name: "X-Email", Value: HashPrefix + "ada"},
		{Name: "X-Cards", Value: "4111"}, {Name: "Authorization", Value: "Bearer s3cret"}, {Name: "X-Card", Value: ""},
		{Name: "Referer", Value: "https://u:p@h/?card=1&x=2"}}
	want := pillarbox.Header{{Name: "X-Card", Value: Redacted}, {Name: "X-Email", Value: ada}, {Name: "X-Email", Value: ada}, {Name: "X-Email", Value: s.keeper.masks.replace(hashed, HashPrefix+"ada")},
		{Name: "X-Cards", Value: "4111"}, {Name: "X-Card", Value: ""}, {Name: "Referer", Value: "https://REDACTED@h/?card=REDACTED&x=2"}}
	if got := s.Keep(nil, header, &removed); !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	for sent, want := range map[string]string{
		"card=4111&c%61rd=1&Card=2&x=card": "card=REDACTED&c%61rd=REDACTED&Card=2&x=card",
		"email=ada%40example.org;email=":   "email=" + ada + ";email=",
		"sp%C3%A4%C5%A5=1&token=s3cret":    "sp%C3%A4%C5%A5=REDACTED&token=REDACTED",
	} {
		if got := s.KeepQuery(sent, &removed); got != want {
			t.Errorf("%q is kept as %q, want %q", sent, got, want)
		}
		if again := s.KeepQuery(want, nil); again != want {
			t.Errorf("%q is kept as %q when it comes again", want, again)
		}
	}
	if _, err := s.KeepBody([]byte(`{"items":[{"pin":1},{"pin":2}],"user":{"email":"x"}}`), &removed); err != nil {
		t.Fatal(err)
	}
	for _, one := range []string{"redacted header X-Card", "hashed header X-Email", "header Authorization", "redacted url card", "url Referer", "redacted query card",
		"hashed query email", `redacted query "sp\u00e4\u0165"`, "query token", "redacted json /items/*/pin", "hashed json /user/email"} {
		if strings.Count(", "+removed.String()+", ", ", "+one+", ") != 1 {
			t.Errorf("%q is not there once: %s", one, removed.String())
		}
	}
	if got := [...]uint64{s.Removed(telemetry.Redacted), s.Removed(telemetry.Hashed), s.Removed(telemetry.RemovedHeader), s.Removed(telemetry.RemovedParameter)}; got != [...]uint64{7, 4, 1, 1} {
		t.Errorf("counted are %v", got)
	}
}

// TestRemovedIsBounded: what is said of one event does not grow with what a client sends.
func TestRemovedIsBounded(t *testing.T) {
	s := New(Settings{Name: "app"}, Options{})
	var removed Removed
	for i := range 1000 {
		s.KeepQuery(strings.Repeat("x", i%100)+"_token=1", &removed)
	}
	if text := removed.String(); len(text) > maxRemoved+200 || !strings.HasSuffix(text, " more") {
		t.Errorf("%d bytes are said: %s", len(text), text)
	}
}

// FuzzRedaction: what is kept is JSON, is the same when it comes again, and is what it was beside the
// places that a rule names.
func FuzzRedaction(f *testing.F) {
	for _, seed := range []string{`{"card":"4111"}`, `{"card":{"holder":1},"items":[{"pin":[1]},{"pin":{}}]}`, `{"c\u0061rd":1,"card":2}`, "\ufeff{}", `[[[]]]`, `"x"`, `{"items":{"":{"pin":1}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		s := masking1()
		got, err := s.KeepBody([]byte(sent), nil)
		if err != nil {
			if json.Valid([]byte(sent)) && len(sent) < 1000 {
				t.Fatalf("%q is refused: %v", sent, err)
			}
			return
		}
		again, err := s.KeepBody(got, nil)
		if err != nil || string(again) != string(got) {
			t.Fatalf("%q is kept as %q, then as %q, %v", sent, got, again, err)
		}
		var was, is any
		if json.Unmarshal([]byte(strings.TrimPrefix(sent, "\ufeff")), &was) != nil || json.Unmarshal([]byte(strings.TrimPrefix(string(got), "\ufeff")), &is) != nil {
			return
		}
		object, _ := is.(map[string]any)
		if value, there := object["card"]; there && value != nil && value != Redacted {
			t.Fatalf("%q is kept as %q", sent, got)
		}
		if before, wasObject := was.(map[string]any); wasObject {
			for _, name := range []string{"card", "items", "a/b", "deep", "user"} {
				delete(before, name)
				delete(object, name)
			}
			if !reflect.DeepEqual(before, object) {
				t.Fatalf("%q is kept as %q", sent, got)
			}
		}
	})
}

// TestWhatIsKnownOfAnEventIsReplacedToo: a rule about a header or a place in the body holds for the
// field that was made of it.
func TestWhatIsKnownOfAnEventIsReplacedToo(t *testing.T) {
	s := New(Settings{Name: "app", Redact: Places{Headers: []string{"CE-Subject"}, JSON: []string{"/source"}},
		Hash: Hash{Key: hashKey, Places: Places{JSON: []string{"/id"}}}}, Options{})
	facts := &pillarbox.Facts{Caller: "shop", CEID: "1", CESource: "/s", CEType: "t", CESubject: "ada"}
	s.MaskFacts(facts)
	want := pillarbox.Facts{Caller: "shop", CEID: s.keeper.masks.replace(hashed, "1"), CESource: Redacted, CEType: "t", CESubject: Redacted}
	if !facts.Equal(&want) {
		t.Errorf("known is %+v, want %+v", facts, want)
	}
	s.MaskFacts(nil)
	if s.MaskFacts(facts); !facts.Equal(&want) {
		t.Errorf("known is %+v when it comes again", facts)
	}
}
