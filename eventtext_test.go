package pillarbox // what is written by hand is held against what encoding/json makes of the same form

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzEventText: the text of an event is, byte for byte, what encoding/json writes of its form.
func FuzzEventText(f *testing.F) {
	f.Add("plain", "a=1", []byte(`{"type":"a","tab":"	"}`), int64(1_795_443_120_000_000), byte(0))
	f.Add("<&> \u2028 \u2029 \x7f", "\xff", []byte("\x00\x01\b\f\n\r\t\x1f\"\\/ü\U0001F600\ufffd"), int64(0), byte(0xff))
	f.Add("\xff\xc0", "\xed\xa0\x80", []byte("\xff"), int64(-1), byte(0x55))
	f.Add("", "", []byte(nil), int64(minTimestamp-1), byte(0xaa))
	f.Fuzz(func(t *testing.T, text, query string, body []byte, at int64, which byte) {
		part := func(bit int) string {
			if which>>bit&1 == 0 {
				return ""
			}
			return text
		}
		event := &Event{Timestamp: Timestamp(at), RequestID: text, Source: part(0), Method: part(1), Path: part(2), Query: query,
			ContentType: query, RemoteAddr: part(3), Traceparent: part(4), Body: body,
			Header: Header{{Name: "X-B", Value: query}, {Name: "X-A", Value: part(5)}, {Name: "X-B", Value: part(6)}}}
		if which > 100 {
			event.Facts = &Facts{Caller: part(0), CEID: part(1), CESource: part(2), CEType: part(3), CETime: part(4), CESubject: part(5), Removed: part(6)}
			if which%2 == 0 {
				event.Facts.Attributes = Attributes{{Name: "tenant", Value: part(7)}}
			}
		}
		form := formOf(event)
		if which%3 == 0 {
			form.BodyClaim = &Claim{}
		}
		want, wantErr := marshalPlain(form)
		got, err := event.marshal(form)
		if (err == nil) != (wantErr == nil) || !bytes.Equal(got, want) {
			t.Errorf("got  %s, %v\nwant %s, %v", got, err, want, wantErr)
		}
	})
}

// BenchmarkEventText writes an event of the usual kind, as each message of a broker is.
func BenchmarkEventText(b *testing.B) {
	event := &Event{Timestamp: 1_795_443_120_000_000, RequestID: "0199a0b0-0000-7000-8000-000000000001", Source: "app", Method: "POST", Path: "/app",
		ContentType: "application/json", RemoteAddr: "203.0.113.7",
		Header: Header{{Name: "Content-Type", Value: "application/json"}, {Name: "User-Agent", Value: "bench"}},
		Body:   []byte(`{"device":"0123456789","temperature":21.5,"pad":"` + strings.Repeat("x", 150) + `"}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.MarshalJSON(); err != nil {
			b.Fatal(err)
		}
	}
}
