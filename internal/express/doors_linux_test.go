package express_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/express"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/source"
)

// TestDoorsAreAnsweredByTheLoop: what a source asks of every post does not send it the slow way.
func TestDoorsAreAnsweredByTheLoop(t *testing.T) {
	b := open(t, express.Options{})
	asked := 0
	for _, door := range nodetest.Doors(t) {
		if door.Method != "" || len(door.Body) > testMaxBody || len(strings.Join(door.Header, "")) > 8<<10 ||
			door.Status == 404 || strings.Contains(door.Target, "%") {
			continue
		}
		table, err := source.Compile([]source.Settings{door.Source},
			source.Options{Now: func() time.Time { return nodetest.DoorTime }})
		if err != nil {
			t.Fatal(err)
		}
		b.sources.Replace(table)
		target := door.Target
		if target == "" {
			target = "/app"
		}
		request, err := http.NewRequest(http.MethodPost, "http://"+b.addr+target, strings.NewReader(door.Body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(door.Header); i += 2 {
			request.Header.Add(door.Header[i], door.Header[i+1])
		}
		request.Header.Set("Accept-Encoding", "identity")
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != door.Status {
			t.Errorf("%s: answered with %d, want %d", door.Name, response.StatusCode, door.Status)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		asked++
	}
	http.DefaultClient.CloseIdleConnections()
	if moved := b.moved.Load(); moved > 0 || asked < 30 {
		t.Errorf("%d of %d requests were answered by net/http", moved, asked)
	}
}
