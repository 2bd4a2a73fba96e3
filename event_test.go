package pillarbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pillarbox"
)

func TestEventJSONIsByteExact(t *testing.T) {
	for name, body := range map[string][]byte{
		"empty": {}, "text": []byte("<a href=\"x\">&\u2028 ☂</a>"), "json": []byte(`{"hello":"world"}`),
		"zero": {0}, "binary": {0xff, 0xfe, 0x00,
			0x80}, "cut rune": []byte("caf\xc3"), "replacement": []byte("\uFFFD"),
	} {
		t.Run(name, func(t *testing.T) {
			event := pillarbox.Event{
				Timestamp: 1763907120123456, RequestID: "019ab", Source: "app", Method: "POST", Path: "/app", Query: "a=1&b=<>",
				Header: pillarbox.Header{{Name: "A", Value: "1"}, {Name: "A", Value: "2"},
					{Name: "B", Value: "ü"}},
				ContentType: "text/plain", RemoteAddr: "203.0.113.7", Traceparent: "00-x", Body: body,
			}
			text, err := json.Marshal(&event)
			if err != nil {
				t.Fatal(err)
			}
			var back pillarbox.Event
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatal(err)
			}
			if string(back.Body) != string(body) || fmt.Sprint(back.Header) != fmt.Sprint(event.Header) ||
				back.Key() != event.Key() || back.Query != event.Query {
				t.Errorf("%s came back as %+v", text, back)
			}
		})
	}
}

func TestEventJSONHasItsNames(t *testing.T) {
	event := &pillarbox.Event{Timestamp: 1763907120123456, RequestID: "id", Source: "app",
		Body: []byte{0xff}}
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"request_id":"id","timestamp":"2025-11-23T14:12:00.123456Z","source":"app","method":"","path":"","query":"","headers":{},` +
		`"content_type":"","remote_addr":"","traceparent":"","body":"/w==","body_encoding":"base64"}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestBytesSayTheirEncoding(t *testing.T) {
	event := &pillarbox.Event{Timestamp: 1763907120123456, RequestID: "id", Query: "n=M\xfcn",
		ContentType: "a/\xff", Header: pillarbox.Header{{Name: "A", Value: "1"},
			{Name: "B", Value: "\xfc"}}}
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"request_id":"id","timestamp":"2025-11-23T14:12:00.123456Z","source":"","method":"","path":"","query":"bj1N/G4=",` +
		`"query_encoding":"base64","headers":{"A":["MQ=="],"B":["/A=="]},"header_encoding":"base64","content_type":"YS//",` +
		`"content_type_encoding":"base64","remote_addr":"","traceparent":"","body":"","body_encoding":"utf8"}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if text, err := json.Marshal(event.Header); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("a header of bytes alone is written as %s, %v", text, err)
	}
}

func TestShortestEventIsRead(t *testing.T) {
	var event pillarbox.Event
	if err := json.Unmarshal([]byte(`{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"x","unknown":1}`), &event); err != nil {
		t.Error(err)
	}
	for _, text := range []string{
		`{}`, `{"request_id":"x"}`, `{"timestamp":"2026-11-23T14:12:00.123456Z"}`, `{"timestamp":"2026-11-23T14:12:00Z","request_id":"x"}`,
		`{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"x","body":"a","body_encoding":"rot13"}`,
		`{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"x","body":"%","body_encoding":"base64"}`,
		`{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"x","query":"%","query_encoding":"base64"}`,
		`{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"x","content_type":"a","content_type_encoding":"utf16"}`,
		`{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"x","headers":{"A":["%"]},"header_encoding":"base64"}`,
		`{"timestamp":"2026-11-23T14:12:00.123456Z","request_id":"x","headers":[1]}`, `[]`, `x`,
	} {
		if err := json.Unmarshal([]byte(text), &event); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}

func TestTimestampTextOrderIsTimeOrder(t *testing.T) {
	last := ""
	for _, at := range []time.Time{
		time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999999999,
			time.UTC), time.Unix(0, 0),
		time.Date(2026, 11, 23, 14, 12, 0, 1000, time.UTC), time.Date(2026, 11, 23, 14, 12, 0,
			100_000_000, time.FixedZone("x", -3600)),
		time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
	} {
		stamp := pillarbox.TimestampOf(at)
		text, err := stamp.MarshalText()
		if err != nil || len(text) != 27 || string(text) <= last || stamp.String() != string(text) {
			t.Errorf("%v became %q after %q, %v", at, text, last, err)
		}
		back, err := pillarbox.ParseTimestamp(string(text))
		if err != nil || back != stamp {
			t.Errorf("%q came back as %v, %v", text, back, err)
		}
		last = string(text)
	}
	for _, text := range []string{"", "2026-11-23", "2026-11-23T14:12:00Z",
		"2026-11-23T14:12:00.12345Z", "2026-11-23T14:12:00.1234567Z", "2026-11-23T14:12:00.123456+00:00", "2026-13-23T14:12:00.123456Z", "2026-11-23T14:12:00,123456Z"} {
		if _, err := pillarbox.ParseTimestamp(text); !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", text, err)
		}
	}
	if _, err := pillarbox.TimestampOf(
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)).MarshalText(); !errors.Is(
		err, pillarbox.ErrInvalid) {
		t.Errorf("the year 10000: %v, want ErrInvalid", err)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	batch := &pillarbox.BatchError{Items: []pillarbox.ItemError{
		{Index: 3, Err: fmt.Errorf("x: %w", pillarbox.ErrTooLarge)}, {Index: 5,
			Err: pillarbox.Permanent(pillarbox.ErrInvalid)}}}
	wrapped := fmt.Errorf("write: %w", &pillarbox.RetryAfterError{After: time.Minute, Err: batch})
	if !errors.Is(wrapped, pillarbox.ErrTooLarge) || !errors.Is(wrapped, pillarbox.ErrInvalid) ||
		errors.Is(wrapped, pillarbox.ErrFull) {
		t.Errorf("%v has lost its kinds", wrapped)
	}
	if pillarbox.RetryAfter(wrapped) != time.Minute || pillarbox.RetryAfter(batch) != 0 {
		t.Error("the wait is lost")
	}
	if !pillarbox.IsPermanent(batch.Items[1].Err) || pillarbox.IsPermanent(pillarbox.ErrInvalid) ||
		pillarbox.Permanent(nil) != nil {
		t.Error("permanent refusals are told apart")
	}
	if !strings.Contains(wrapped.Error(), "2 items failed, the first at 3") {
		t.Errorf("message %q", wrapped)
	}
	if corrupt := error(&pillarbox.CorruptError{File: "a", Offset: 7, Reason: "b"}); !errors.Is(
		corrupt, pillarbox.ErrCorrupt) || corrupt.Error() != "a at offset 7: b" {
		t.Errorf("corrupt error %v", corrupt)
	}
}

// TestTimestampTextIsTheLayout holds the text to what package time makes of it, from day to day and
// within seconds.
func TestTimestampTextIsTheLayout(t *testing.T) {
	for _, at := range []pillarbox.Timestamp{0, 1, -1, -62167219200_000000, 253402300799_999999,
		951782400_000000, 1709164799_999999} {
		for step := range pillarbox.Timestamp(2000) {
			stamp := at + step/2*86_399_999_983
			if step >= 1000 {
				stamp = at + step*333_333
			}
			text, err := stamp.MarshalText()
			if err != nil {
				break
			}
			if want := stamp.Time().Format("2006-01-02T15:04:05.000000Z"); string(text) != want {
				t.Fatalf("%d is written as %s, want %s", stamp, text, want)
			}
		}
	}
}

func BenchmarkTimestampAppendText(b *testing.B) {
	var text []byte
	for b.Loop() {
		text, _ = pillarbox.Timestamp(1763907120123456).AppendText(text[:0])
	}
}
