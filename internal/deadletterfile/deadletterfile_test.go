package deadletterfile_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/deadletterfile"
	"pillarbox/internal/engine/enginetest"
)

// TestWalkFollowsTheEvents: of events with the same time, hashed names don't tell the order; the
// ids do.
func TestWalkFollowsTheEvents(t *testing.T) {
	letters := map[deadletterfile.ID]*pillarbox.DeadLetter{}
	var ids []deadletterfile.ID
	for _, requestID := range []string{"c", "a", "019ab123-4567-7abc-8def-0123456789ab", "b", "d"} {
		letter := enginetest.FullLetter()
		letter.Event.RequestID = requestID
		id := deadletterfile.IDOf(letter.Destination, letter.Event.Key())
		letters[id] = letter
		ids = append(ids, id)
	}
	place := deadletterfile.PlaceOf(enginetest.FullLetter().DeadAt, deadletterfile.Open)
	slices.SortFunc(ids, func(a, b deadletterfile.ID) int {
		return deadletterfile.Compare(a, place, b, place)
	})
	load := func(id deadletterfile.ID) (*pillarbox.DeadLetter, error) { return letters[id], nil }
	var got []string
	enough := deadletterfile.Walk(ids, load,
		deadletterfile.Visitor(t.Context(), pillarbox.DeadLetterFilter{},
			func(letter *pillarbox.DeadLetter, err error) bool {
				got = append(got, letter.Event.RequestID)
				return err == nil && letter.Event.RequestID != "c"
			}))
	want := []string{"019ab123-4567-7abc-8def-0123456789ab", "a", "b", "c"}
	if !slices.Equal(got, want) || !errors.Is(enough, deadletterfile.ErrStopped) {
		t.Errorf("walked %q, %v; want %q", got, enough, want)
	}
}

// What is written can be read, for whatever text clients send, and stays inside the directory.
func FuzzDeadLetterJSON(f *testing.F) {
	golden := enginetest.FullLetter()
	f.Add(golden.Event.RequestID, "events", golden.Reason, golden.Event.Path, golden.Event.Body,
		int64(golden.Event.Timestamp), int64(golden.DeadAt))
	f.Add("../../x", "a-b_c", "\xff\u2028", "/\x00", []byte{0xff}, int64(-1), int64(0))
	f.Add("", "..", "", "", []byte(nil), int64(0), int64(1)<<62)
	f.Fuzz(func(t *testing.T, requestID, destination, reason, path string, body []byte, at,
		died int64) {
		letter := enginetest.FullLetter()
		letter.Destination, letter.Reason, letter.DeadAt = destination, reason, pillarbox.Timestamp(died)
		letter.Event.RequestID, letter.Event.Path, letter.Event.Body = requestID, path, body
		letter.Event.Timestamp = pillarbox.Timestamp(at)
		id, content, err := deadletterfile.Encode(letter, nil)
		if err != nil {
			if !errors.Is(err, pillarbox.ErrInvalid) {
				t.Errorf("encode: %v, want ErrInvalid", err)
			}
			return
		}
		name := deadletterfile.Name(id, deadletterfile.PlaceOf(letter.DeadAt, deadletterfile.Open))
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\d/\d{8}T\d{6}\.\d{6}Z\.[a-z0-9][a-z0-9_-]{0,62}\.[0-9a-fx-]{33,36}\.json$`).MatchString(name) {
			t.Errorf("name %q", name)
		}
		if again, place, ok := deadletterfile.ParseName(name); !ok || again != id ||
			place.State != deadletterfile.Open {
			t.Errorf("name %q is read as %+v, %v", name, again, ok)
		}
		var got pillarbox.DeadLetter
		if err := json.Unmarshal(content, &got); err != nil {
			t.Fatal(err)
		}
		// JSON has no way to write bytes that are no text, except in the body.
		letter.Reason, letter.Event.Path = strings.ToValidUTF8(reason, "\ufffd"),
			strings.ToValidUTF8(path, "\ufffd")
		if utf8Runs(reason) || utf8Runs(path) {
			return
		}
		if diff := enginetest.DiffLetter(&got, letter); diff != "" {
			t.Error(diff)
		}
	})
}

// utf8Runs reports whether text has bytes that are no text: several in a row are replaced one by
// one in JSON.
func utf8Runs(text string) bool { return strings.ToValidUTF8(text, "") != text }

// FuzzLetterName takes anything for the name of a file: only names that are written are read, and
// they stay inside of the directory.
func FuzzLetterName(f *testing.F) {
	f.Add("2026-11-23/20261123T141200.123456Z.events.018f0000-0000-7000-8000-000000000000.json")
	f.Add("2026-11-23/../20261123T141200.123456Z.events.018f0000-0000-7000-8000-000000000000.replayed.json")
	f.Add("2026-11-24/20261123T141200,123456Z.a_b-c.x0123456789abcdef0123456789abcdef.discarded.json")
	f.Fuzz(func(t *testing.T, name string) {
		id, place, ok := deadletterfile.ParseName(name)
		if ok && (deadletterfile.Name(id, place) != name || !fs.ValidPath(name) ||
			strings.Count(name, "/") != 1) {
			t.Errorf("%q is read as %+v, %+v", name, id, place)
		}
	})
}
