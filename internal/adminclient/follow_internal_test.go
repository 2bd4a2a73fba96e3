package adminclient

import (
	"fmt"
	"testing"

	"pillarbox"
	"pillarbox/internal/adminapi"
)

// TestFollowerRemembersWithinBounds: what it has forgotten is never behind the cursor that it goes
// on from, whatever order it came in.
func TestFollowerRemembersWithinBounds(t *testing.T) {
	const n = followRemembered + 1000
	for name, body := range map[string]int{"events": 0, "bytes": followBytes / 100} {
		told := &followed{}
		var keys []pillarbox.Key
		for i := range n / (1 + min(body, 1)*100) {
			event := &pillarbox.Event{Timestamp: pillarbox.Timestamp(1 + i/2 + i%2*5000),
				RequestID: fmt.Sprintf("%08d", i), Body: make([]byte, body)}
			told.add(event)
			keys = append(keys, event.Key())
		}
		if len(told.order) > followRemembered || told.bytes > followBytes ||
			len(told.seen) != len(told.order) || len(told.order) == len(keys) {
			t.Errorf("%s: %d events of %d bytes are remembered", name, len(told.order), told.bytes)
		}
		from, err := adminapi.ParseEventCursor(told.from(adminapi.EventQuery{}).Cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			behind := key.Timestamp > from.Timestamp ||
				key.Timestamp == from.Timestamp && key.RequestID > from.RequestID
			if behind && !told.seen[key] {
				t.Fatalf("%s: %v is behind %v, and forgotten", name, key, from)
			}
		}
	}
}
