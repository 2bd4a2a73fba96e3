package catalog

import (
	"testing"
	"time"
)

// TestLingerOfAURL is what the engine is told. It looks from inside, because the engine does not
// say what it was told.
func TestLingerOfAURL(t *testing.T) {
	for parameters, want := range map[string]time.Duration{
		"": 0, "?linger=5ms": 5 * time.Millisecond, "?linger=1s": time.Second, "?linger=0": -1, "?linger=0s": -1,
	} {
		got, err := parseSQS("queue.url", "//sqs.eu-west-2.amazonaws.com/123456789012/events"+parameters)
		if err != nil || got.linger != want {
			t.Errorf("%s: %v, %v, want %v", parameters, got.linger, err, want)
		}
		if got.queue != "https://sqs.eu-west-2.amazonaws.com/123456789012/events" {
			t.Errorf("%s: queue %s, want it without parameters", parameters, got.queue)
		}
	}
}
