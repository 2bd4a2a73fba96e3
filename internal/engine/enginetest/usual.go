package enginetest

import (
	"fmt"

	"pillarbox"
)

// Usual returns n events as most senders post them: some 200 bytes of JSON, two headers, no facts.
// Figures of benchmarks are about them; Events are about what is rare. Those of two batches differ in
// their keys, and come one batch behind the other. The caller owns the result.
func Usual(n, batch int) []*pillarbox.Event {
	events := make([]*pillarbox.Event, n)
	for i := range events {
		serial := batch*n + i
		at := firstTimestamp + pillarbox.Timestamp(serial)
		milliseconds := int64(at) / 1000
		events[i] = &pillarbox.Event{
			Timestamp: at, RequestID: fmt.Sprintf("%08x-%04x-7000-8000-%012x", milliseconds>>16, milliseconds&0xffff, serial),
			Source: "app", Method: "POST", Path: "/app", ContentType: "application/json", RemoteAddr: "203.0.113.7",
			Header: pillarbox.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "User-Agent", Value: "bench"}},
			Body:   fmt.Appendf(nil, `{"n":%d,"text":"%0150d"}`, i, batch),
		}
	}
	return events
}
