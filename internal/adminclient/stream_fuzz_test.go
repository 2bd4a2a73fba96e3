package adminclient

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

// FuzzEventStream reads anything as a stream of server-sent events: it ends, and every message was
// there.
func FuzzEventStream(f *testing.F) {
	f.Add([]byte("event: event\nid: a\ndata: {}\n\n: comment\n\nevent: lagged\n\n"))
	f.Add([]byte("data: a\ndata: b\n\n\n\n"))
	f.Add([]byte("data: a\r\n\r\nid\n\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		messages := &messageReader{lines: bufio.NewReader(bytes.NewReader(stream))}
		for n := 0; ; n++ {
			read, err := messages.next()
			if err != nil {
				return
			}
			if n > len(stream) {
				t.Fatalf("more messages than bytes in %q", stream)
			}
			if !strings.Contains(string(stream), read.data) || !strings.Contains(string(stream), read.id) {
				t.Errorf("message %+v is not in %q", read, stream)
			}
		}
	})
}
