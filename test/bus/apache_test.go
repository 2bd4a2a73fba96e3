package bus_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/bus"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/kafka"
)

// TestApacheKafka tells the stories of the sink to Apache Kafka itself. What it has stored is read back by
// kcat, which shares no code with the sink.
func TestApacheKafka(t *testing.T) {
	a := startApache(t)
	for _, story := range []struct {
		name string
		tell func(*testing.T, *apache)
	}{
		{"KeepsTheContract", apacheContract},
		{"StoresEveryEventOnce", apacheStores},
		{"HasTheBytesHeadersAndKey", apacheBytes},
		{"RefusesWhatIsTooLarge", apacheTooLarge},
		{"SortsErrors", apacheErrors},
		{"MakesATopicAnew", apacheAnew},
		{"OverCutConnectionsAndKills", apacheCuts},
	} {
		t.Run(story.name, func(t *testing.T) { story.tell(t, a) })
	}
}

func apacheContract(t *testing.T, a *apache) {
	n := 0
	enginetest.Sink(t, func(t *testing.T) pillarbox.Sink {
		n++
		return openKafka(t, a.url(fmt.Sprintf("contract-%d", n)), kafka.Options{})
	})
}

func apacheStores(t *testing.T, a *apache) {
	sink := openKafka(t, a.url("events"), kafka.Options{})
	events := enginetest.Events(3000, 1)
	if err := sink.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if most := wantRecords(t, a.read(t, "events"), events); most != 1 {
		t.Errorf("an event is there %d times", most)
	}
}

// apacheBytes: bodies of any bytes are there as they came, with the key and the headers that are
// configured, and those of CloudEvents.
func apacheBytes(t *testing.T, a *apache) {
	sink := openKafka(t, a.url("bytes"), kafka.Options{Options: bus.Options{Format: bus.FormatCloudEvents, Key: "header:X-Key",
		Headers: map[string]string{"X-Team": "a"}}})
	bodies := [][]byte{nil, {0}, []byte("a\nb\r\n\x00\xff\xfe"), bytes.Repeat([]byte{0xff, '\n'}, 50_000)}
	var events []*pillarbox.Event
	for i, body := range bodies {
		events = append(events, &pillarbox.Event{Timestamp: pillarbox.Timestamp(1795443120_000000 + i), RequestID: fmt.Sprint("id-", i), Source: "app",
			ContentType: "text/plain", Header: pillarbox.Header{{Name: "X-Key", Value: fmt.Sprintf("key \xff %d", i)}}, Body: body,
			Facts: &pillarbox.Facts{CEID: fmt.Sprint(i), CESource: "/s", CEType: "t", CESubject: "grün"}})
	}
	if err := sink.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, record := range a.read(t, "bytes") {
		id := header(record, bus.HeaderID)
		var i int
		if _, err := fmt.Sscanf(id, "id-%d", &i); err != nil {
			t.Fatalf("the id is %q: %v", id, err)
		}
		found[id] = true
		if want := events[i].Header[0].Value; string(record.Key) != want || !bytes.Equal(record.Value, bodies[i]) {
			t.Errorf("event %d: the key is %q, and the body has %d bytes", i, record.Key, len(record.Value))
		}
		for name, want := range map[string]string{"ce_id": fmt.Sprint(i), "ce_source": "/s", "ce_type": "t", "ce_subject": "grün", "ce_specversion": "1.0",
			"content-type": "text/plain", "X-Team": "a"} {
			if got := header(record, name); got != want {
				t.Errorf("event %d: %s is %q, want %q", i, name, got, want)
			}
		}
	}
	if len(found) != len(bodies) {
		t.Errorf("%d events are stored, want %d", len(found), len(bodies))
	}
}

// apacheTooLarge: one that the topic does not take is refused for good, and its neighbours are there.
func apacheTooLarge(t *testing.T, a *apache) {
	a.makeTopic(t, "small", map[string]string{"max.message.bytes": "16384"})
	sink := openKafka(t, a.url("small"), kafka.Options{})
	events := enginetest.Usual(5, 1)
	events[2].Body = make([]byte, 16<<10)
	err := sink.Write(t.Context(), events)
	var batch *pillarbox.BatchError
	if !errors.As(err, &batch) || len(batch.Items) != 1 || batch.Items[0].Index != 2 || !pillarbox.IsPermanent(batch.Items[0].Err) ||
		!errors.Is(err, pillarbox.ErrTooLarge) {
		t.Errorf("an event that is too large: %v", err)
	}
	wantRecords(t, a.read(t, "small"), append(events[:2:2], events[3:]...))
}

// apacheErrors: what the broker itself minds of a record is refused for good: that it has no key in a
// topic which is compacted, and its size, where the topic takes less than when the sink has looked.
func apacheErrors(t *testing.T, a *apache) {
	a.makeTopic(t, "compacted", map[string]string{"cleanup.policy": "compact"})
	keyless := openKafka(t, a.url("compacted"), kafka.Options{Options: bus.Options{Key: bus.KeyNone}})
	err := keyless.Write(t.Context(), enginetest.Usual(3, 2))
	var batch *pillarbox.BatchError
	if !errors.As(err, &batch) || len(batch.Items) != 3 || !pillarbox.IsPermanent(batch.Items[0].Err) || errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("records without a key: %v", err)
	}
	if n := len(a.read(t, "compacted")); n != 0 {
		t.Errorf("%d records without a key are stored", n)
	}
	a.makeTopic(t, "lowered", nil)
	sink := openKafka(t, a.url("lowered"), kafka.Options{})
	if err := sink.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.lower(t, "lowered", "1024")
	large := enginetest.Usual(2, 3)
	random := rand.NewChaCha8([32]byte{})
	for _, event := range large {
		event.Body = make([]byte, 4<<10) // what can't be compressed
		_, _ = random.Read(event.Body)
	}
	for n, isBatch := range map[int]bool{2: false, 1: true} {
		err := sink.Write(t.Context(), large[:n])
		if errors.As(err, &batch) != isBatch || !pillarbox.IsPermanent(err) || !errors.Is(err, pillarbox.ErrTooLarge) {
			t.Errorf("%d events that the broker finds too large: %v", n, err)
		}
	}
}

// apacheAnew: a topic that was deleted is made anew, and no event is blamed meanwhile.
func apacheAnew(t *testing.T, a *apache) {
	sink := openKafka(t, a.url("anew"), kafka.Options{})
	events := enginetest.Usual(10, 3)
	if err := sink.Write(t.Context(), events[:5]); err != nil {
		t.Fatal(err)
	}
	a.deleteTopic(t, "anew")
	a.untilWritten(t, sink, events)
	wantRecords(t, a.read(t, "anew"), events)
}

// untilWritten tries for as long as there is an outage.
func (a *apache) untilWritten(t *testing.T, sink pillarbox.Sink, events []*pillarbox.Event) {
	t.Helper()
	for {
		ctx, cancel := contextOf(t, 20*time.Second)
		err := sink.Write(ctx, events)
		cancel()
		if err == nil {
			return
		}
		if !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) {
			t.Fatalf("an event is blamed for an outage: %v", err)
		}
	}
}

// apacheCuts: connections are cut anywhere, and the broker is killed and starts again, twice. No event
// is ever blamed, and in the end each is there.
func apacheCuts(t *testing.T, a *apache) {
	const perWrite, kills = 20, 2
	sink := openKafka(t, a.url("cut"), kafka.Options{})
	events := enginetest.Events(perWrite*10*(kills+1), 5)
	a.front.most.Store(30_000)
	for at := 0; at < len(events); at += perWrite {
		if at > 0 && at%(perWrite*10) == 0 {
			a.kill(t)
			ctx, cancel := contextOf(t, 2*time.Second)
			if err := sink.Write(ctx, events[at:at+perWrite]); !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) {
				t.Errorf("with the broker down: %v", err)
			}
			cancel()
			a.start(t)
		}
		a.untilWritten(t, sink, events[at:at+perWrite])
	}
	if a.front.cuts.Load() == 0 {
		t.Error("no connection was cut: nothing was tried")
	}
	a.front.most.Store(0) // kcat comes through the front, too
	most := wantRecords(t, a.read(t, "cut"), events)
	t.Logf("%d connections were cut; an event is there up to %d times", a.front.cuts.Load(), most)
}
