package cloudevent_test

import (
	"testing"

	"pillarbox"
	"pillarbox/internal/cloudevent"
)

func TestModes(t *testing.T) {
	for contentType, want := range map[string]cloudevent.Mode{
		"": cloudevent.Binary, "application/json": cloudevent.Binary, "application/cloudevent": cloudevent.Binary,
		"application/cloudevents+json": cloudevent.Structured, "APPLICATION/CLOUDEVENTS+JSON ; charset=\"UTF-8\"": cloudevent.Structured,
		"application/cloudevents+json;charset=us-ascii;a=b":   cloudevent.Structured,
		"application/cloudevents-batch+json":                  cloudevent.Batched,
		"application/cloudevents-batch+json; charset=utf-8":   cloudevent.Batched,
		"application/cloudevents-batch+json; charset=utf-16":  cloudevent.Foreign,
		"application/cloudevents+avro":                        cloudevent.Foreign,
		"application/cloudevents-batch+protobuf":              cloudevent.Foreign,
		"application/cloudevents":                             cloudevent.Foreign,
		"application/cloudevents2+json":                       cloudevent.Binary,
		"application/cloudevents+json; charset=iso-8859-1":    cloudevent.Foreign,
		"application/cloudevents+json; profile=\"charset=x\"": cloudevent.Structured,
	} {
		if got := cloudevent.ModeOf(contentType); got != want {
			t.Errorf("%s: %d, want %d", contentType, got, want)
		}
	}
}

func header(pairs ...string) (h pillarbox.Header) {
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, pillarbox.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return h
}

// TestOtherRequestsCostNothing, and events in binary mode their facts alone.
func TestOtherRequestsCostNothing(t *testing.T) {
	plain := header("Accept", "*/*", "Content-Type", "application/json", "User-Agent", "x", "Cen", "x")
	if n := testing.AllocsPerRun(100, func() {
		if _, binary := cloudevent.Look(plain); binary {
			t.Error("it may be an event")
		}
		if facts, err := cloudevent.FromHeader(plain); facts != nil || err != nil {
			t.Error(facts, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	event := header("Ce-Id", "1", "Ce-Specversion", "1.0", "Ce-Type", "t", "Ce-Subject", "a")
	event = append(event, header("Ce-Source", "")...)
	event[len(event)-1].Value = "/s"
	if n := testing.AllocsPerRun(100, func() {
		if facts, err := cloudevent.FromHeader(event); facts == nil || err != nil {
			t.Error(facts, err)
		}
	}); n > 2 { // the facts, and what package url makes of the source
		t.Errorf("%v allocations", n)
	}
}

func FuzzFromJSON(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2018-04-05T17:31:00Z","data":{}}`))
	f.Add([]byte(`{"specversion":"1.0","id":"\ud800","source":"/s","type":"t"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		facts, err := cloudevent.FromJSON(body)
		checkFacts(t, facts, err)
	})
}

func FuzzFromHeader(f *testing.F) {
	f.Add("1", "/s", "t", "a%20b")
	f.Add(`"a\""`, "urn:a", "%E2%82%AC", "%C0%A0")
	f.Fuzz(func(t *testing.T, id, source, kind, subject string) {
		facts, err := cloudevent.FromHeader(header("Ce-Specversion", "1.0", "Ce-Id", id, "Ce-Source", source, "Ce-Type", kind,
			"Ce-Subject", subject))
		checkFacts(t, facts, err)
	})
}

// checkFacts sees that what every store has to take is text.
func checkFacts(t *testing.T, facts *pillarbox.Facts, err error) {
	t.Helper()
	if (facts == nil) == (err == nil) {
		t.Fatalf("facts %+v, error %v", facts, err)
	}
	if err != nil {
		return
	}
	event := &pillarbox.Event{Timestamp: 1, RequestID: "x", Facts: facts}
	text, err := event.MarshalJSON()
	var back pillarbox.Event
	if err == nil {
		err = back.UnmarshalJSON(text)
	}
	if err != nil || !back.Facts.Equal(facts) || facts.CEID == "" || facts.CESource == "" || facts.CEType == "" {
		t.Fatalf("%+v came back as %+v, %v", facts, back.Facts, err)
	}
}
