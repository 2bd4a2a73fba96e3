package bus_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/bus"
)

// TestKeys: what a key is made of, and none where an event does not have it.
func TestKeys(t *testing.T) {
	event := &pillarbox.Event{Timestamp: 1, RequestID: "id", Source: "app", Header: pillarbox.Header{{Name: "X-Tenant", Value: "acme"}},
		Body: []byte(`{"user":{"id":7,"name":"J\u00fcrgen","none":null}}`)}
	for key, want := range map[string]string{"": "id", "request_id": "id", "source": "app", "none": "-", "header:x-tenant": "acme",
		"header:X-Other": "-", "json:/user/id": "7", "json:/user/name": "J\u00fcrgen", "json:/user/none": "-", "json:/a": "-"} {
		encoder, err := bus.NewEncoder(bus.Kafka, bus.Options{Key: key})
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		m, err := encoder.Encode(event)
		if got := string(m.Key); err != nil || (m.Key == nil) != (want == "-") || m.Key != nil && got != want {
			t.Errorf("%s: %q, %v, want %q", key, got, err, want)
		}
	}
	for _, key := range []string{"id", "header:", "header:a b", "json:a", "json:"} {
		_, err := bus.NewEncoder(bus.Kafka, bus.Options{Key: key})
		var setting *bus.SettingError
		if !errors.As(err, &setting) || setting.Key != "key" {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestCloudEvents: attributes by both bindings, of events that came as such, in either mode, and of
// others.
func TestCloudEvents(t *testing.T) {
	facts := &pillarbox.Facts{CEID: "1", CESource: "/s", CEType: "t", CETime: "2026-11-29T00:00:00Z", CESubject: "gr\u00fcn 5%"}
	came := &pillarbox.Event{Timestamp: 1795443120_000000, RequestID: "id", Source: "app", ContentType: "text/plain", Facts: facts,
		Body:   []byte("\x00body"),
		Header: pillarbox.Header{{Name: "Ce-Id", Value: "1"}, {Name: "Ce-Tenant", Value: "%C3%BC b"}, {Name: "Ce-Tenant", Value: "two"}, {Name: "Ce-A_b", Value: "x"}}}
	structured := &pillarbox.Event{Timestamp: 1, RequestID: "id", Source: "app", ContentType: "application/cloudevents+json", Facts: facts, Body: []byte(`{}`)}
	other := &pillarbox.Event{Timestamp: 1795443120_000000, RequestID: "id", Source: "app", Traceparent: "00-a-b-01"}
	for _, c := range []struct {
		binding bus.Binding
		event   *pillarbox.Event
		want    map[string]string
	}{
		{bus.Kafka, came, map[string]string{"content-type": "text/plain", "ce_specversion": "1.0", "ce_id": "1", "ce_source": "/s", "ce_type": "t",
			"ce_time": "2026-11-29T00:00:00Z", "ce_subject": "gr\u00fcn 5%", "ce_tenant": "\u00fc b"}},
		{bus.NATS, came, map[string]string{"content-type": "text/plain", "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t",
			"ce-time": "2026-11-29T00:00:00Z", "ce-subject": "gr%C3%BCn%205%25", "ce-tenant": "%C3%BC%20b"}},
		{bus.Kafka, structured, map[string]string{"content-type": "application/cloudevents+json"}},
		{bus.NATS, other, map[string]string{"traceparent": "00-a-b-01", "ce-specversion": "1.0", "ce-id": "id", "ce-source": "/app",
			"ce-type": "pillarbox.event", "ce-time": other.Timestamp.String()}},
	} {
		encoder, err := bus.NewEncoder(c.binding, bus.Options{Format: bus.FormatCloudEvents})
		if err != nil {
			t.Fatal(err)
		}
		m, err := encoder.Encode(c.event)
		if err != nil || string(m.Value) != string(c.event.Body) {
			t.Errorf("the body is %q, %v", m.Value, err)
		}
		c.want[bus.HeaderID] = "id"
		got := map[string]string{}
		for _, field := range m.Headers {
			got[field.Name] = field.Value
		}
		if !maps.Equal(got, c.want) || len(got) != len(m.Headers) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestAMessageIsInTheTraceOfItsEvent, with what the sender's systems gave beside it, whatever it holds.
func TestAMessageIsInTheTraceOfItsEvent(t *testing.T) {
	event := &pillarbox.Event{Timestamp: 1, RequestID: "id", Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Header: pillarbox.Header{{Name: "Tracestate", Value: "a=1"}}}
	for _, format := range []string{bus.FormatEvent, bus.FormatCloudEvents} {
		encoder, err := bus.NewEncoder(bus.Kafka, bus.Options{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		message, err := encoder.Encode(event)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, field := range message.Headers {
			got[field.Name] = field.Value
		}
		if got["traceparent"] != event.Traceparent || got["tracestate"] != "a=1" {
			t.Errorf("%s: the headers are %v", format, got)
		}
	}
}

// TestTheCanaryIsMarked, and no user's event is, whatever it came with.
func TestTheCanaryIsMarked(t *testing.T) {
	for source, want := range map[string]string{pillarbox.CanarySource: "1", "app": ""} {
		encoder, err := bus.NewEncoder(bus.NATS, bus.Options{})
		if err != nil {
			t.Fatal(err)
		}
		message, err := encoder.Encode(&pillarbox.Event{Timestamp: 1, RequestID: "id", Source: source,
			Header: pillarbox.Header{{Name: pillarbox.CanaryHeader, Value: "1"}}})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, field := range message.Headers {
			if strings.EqualFold(field.Name, pillarbox.CanaryHeader) {
				got = field.Value
			}
		}
		if got != want {
			t.Errorf("a message of %s is marked %q, want %q", source, got, want)
		}
	}
}
