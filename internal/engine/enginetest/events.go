package enginetest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"pillarbox"
)

// firstTimestamp is where Events starts: 2026-11-23T14:12:00Z.
const firstTimestamp = pillarbox.Timestamp(1795443120_000000)

// Events returns n events that differ in their keys and are ordered by them. The same n and seed
// give the same events, and a longer list starts with the shorter one. The ids are UUIDv7 of the
// time of the event; sources, queries, headers and bodies vary, and some bodies are empty, binary
// or hold a zero byte. Some queries, content types and values of headers are no valid UTF-8. The
// caller owns the result.
func Events(n int, seed uint64) []*pillarbox.Event {
	random := rand.New(rand.NewPCG(seed, 0x70696c6c6172))
	events := make([]*pillarbox.Event, n)
	at := firstTimestamp
	for i := range events {
		at += pillarbox.Timestamp(1 + random.IntN(2000))
		events[i] = randomEvent(random, at)
	}
	return events
}

func randomEvent(random *rand.Rand, at pillarbox.Timestamp) *pillarbox.Event {
	event := &pillarbox.Event{
		Timestamp: at, RequestID: randomID(random, at),
		Source: pick(random, "app", "orders", "sensors"), Method: pick(random, "POST", "PUT"),
		Query:      pick(random, "", "a=1", "name=J%C3%BCrgen&x=%00", "n=M\xfcn", randomField(random)),
		RemoteAddr: pick(random, "203.0.113.7", "2001:db8::7"),
		Body:       randomBody(random),
	}
	event.Path = "/" + event.Source
	event.ContentType = pick(random, "application/json", "text/plain; charset=utf-8", "",
		"text/plain; name="+randomField(random))
	if event.ContentType != "" {
		event.Header = append(event.Header,
			pillarbox.HeaderField{Name: "Content-Type", Value: event.ContentType})
	}
	if random.IntN(2) == 0 {
		event.Header = append(event.Header,
			pillarbox.HeaderField{Name: "User-Agent", Value: `probe/1.0 <"it's & more">`},
			pillarbox.HeaderField{Name: "X-Tag", Value: "one"}, pillarbox.HeaderField{Name: "X-Tag",
				Value: ""})
		if random.IntN(4) == 0 {
			event.Header = append(event.Header,
				pillarbox.HeaderField{Name: "X-Name", Value: randomField(random)})
		}
		event.Traceparent = fmt.Sprintf("00-%016x%016x-%016x-01", random.Uint64(), random.Uint64(),
			random.Uint64())
	}
	event.Facts = randomFacts(at)
	return event
}

// randomFacts are known of two events of three: of one who it is from, of one everything. They come
// of the time of the event alone, so that the other fields stay as they were.
func randomFacts(at pillarbox.Timestamp) *pillarbox.Facts {
	random := rand.New(rand.NewPCG(uint64(at), 0x6661637473))
	switch random.IntN(3) {
	case 0:
		return nil
	case 1:
		return &pillarbox.Facts{Caller: pick(random, "shop", "Jürgen <j@example.org>", "spiffe://example.org/a")}
	}
	facts := &pillarbox.Facts{
		Caller: pick(random, "", "shop"), CEID: fmt.Sprintf("%x", random.Uint64()),
		CESource: pick(random, "/sensors", "urn:example:a?b=c"), CEType: pick(random, "com.example.a", "com.example.b"),
		CETime: pick(random, "", "2026-11-23T14:12:00.5+01:00"), Removed: pick(random, "", "header Authorization, redacted json /a"), CESubject: pick(random, "", `a "subject" <&> grün`),
	}
	if random.IntN(2) == 0 {
		facts.Attributes.Set("tenant", pick(random, "acme", "", "a.b\"c'\\d", "größe\u0000"))
		facts.Attributes.Set("plan", pick(random, "free", "paid"))
	}
	return facts
}

// randomID makes a UUIDv7 that carries the milliseconds of at.
func randomID(random *rand.Rand, at pillarbox.Timestamp) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(at.Time().UnixMilli())<<16|0x7000|random.Uint64()&0x0fff)
	binary.BigEndian.PutUint64(id[8:], 1<<63|random.Uint64()>>2)
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// randomField is what may stand in a field of a request: any byte but control characters, and no
// space at an end (RFC 9110, section 5.5).
func randomField(random *rand.Rand) string {
	text := make([]byte, random.IntN(40))
	for i := range text {
		text[i] = '!' + byte(random.IntN(256-'!'))
		if text[i] == 0x7f {
			text[i] = 0xff
		}
	}
	return string(text)
}

func randomBody(random *rand.Rand) []byte {
	switch random.IntN(8) {
	case 0:
		return nil
	case 1:
		body := make([]byte, random.IntN(600))
		for i := range body {
			body[i] = byte(random.Uint32())
		}
		return body
	case 2:
		return []byte("text with a zero\x00byte")
	default:
		return fmt.Appendf(nil, `{"n":%d,"text":"gr\u00fc\u00df dich, Grüße <&> %x"}`, random.IntN(1e6), random.Uint64())
	}
}

// headerText is the JSON form of the headers, with their encoding.
func headerText(event *pillarbox.Event) (string, error) {
	header, encoding := event.Header.Encoded()
	text, err := json.Marshal(header)
	return string(text) + encoding, err
}

func pick(random *rand.Rand, choices ...string) string { return choices[random.IntN(len(choices))] }

// Clone returns a copy of the event that shares nothing with it.
func Clone(event *pillarbox.Event) *pillarbox.Event {
	clone := *event
	clone.Header = append(pillarbox.Header(nil), event.Header...)
	clone.Body = append([]byte(nil), event.Body...)
	clone.Facts = event.Facts.Clone()
	return &clone
}

// Diff says in which field two events differ, and is empty where they are the same. Headers are
// compared as their JSON form keeps them: the order of values counts, the order of different names
// does not.
func Diff(got, want *pillarbox.Event) string {
	if got == nil || want == nil {
		if got == want {
			return ""
		}
		return fmt.Sprintf("got event %v, want %v", got, want)
	}
	gotHeader, gotErr := headerText(got)
	wantHeader, wantErr := headerText(want)
	fields := []struct {
		name      string
		got, want any
	}{
		{"timestamp", got.Timestamp, want.Timestamp},
		{"request_id", got.RequestID, want.RequestID},
		{"source", got.Source, want.Source},
		{"method", got.Method, want.Method},
		{"path", got.Path, want.Path},
		{"query", got.Query, want.Query},
		{"headers", gotHeader, wantHeader},
		{"header error", gotErr, wantErr},
		{"content_type", got.ContentType, want.ContentType},
		{"remote_addr", got.RemoteAddr, want.RemoteAddr},
		{"traceparent", got.Traceparent, want.Traceparent},
	}
	for _, field := range fields {
		if field.got != field.want {
			return fmt.Sprintf("%s: got %#v, want %#v", field.name, field.got, field.want)
		}
	}
	if !got.Facts.Equal(want.Facts) {
		return fmt.Sprintf("facts: got %+v, want %+v", got.Facts, want.Facts)
	}
	if !bytes.Equal(got.Body, want.Body) {
		return fmt.Sprintf("body: got %d bytes %.80q, want %d bytes %.80q", len(got.Body), got.Body,
			len(want.Body), want.Body)
	}
	return ""
}
