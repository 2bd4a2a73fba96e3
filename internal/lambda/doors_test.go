package lambda_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/node/nodetest"
	"pillarbox/test/standin/fakelambda"
)

// TestDoors sends every request of the table through each kind of gateway.
func TestDoors(t *testing.T) {
	for _, kind := range []fakelambda.Kind{fakelambda.REST, fakelambda.HTTP, fakelambda.URL} {
		for _, door := range nodetest.Doors(t) {
			if door.Lines && kind != fakelambda.REST {
				continue
			}
			f := newFront(t, door.Source)
			gateway := httptest.NewServer(&fakelambda.Gateway{Kind: kind, Function: f})
			method, target := door.Method, door.Target
			if method == "" {
				method = http.MethodPost
			}
			if target == "" {
				target = "/app"
			}
			request, err := http.NewRequest(method, gateway.URL+target, strings.NewReader(door.Body))
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(door.Header); i += 2 {
				request.Header.Add(door.Header[i], door.Header[i+1])
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			door.Name = string(kind) + ", " + door.Name
			door.Check(t, nodetest.Answer{Status: response.StatusCode, Header: response.Header, Body: string(body)})
			checkDoor(t, &door, f.queued())
			gateway.Close()
		}
	}
}

func checkDoor(t *testing.T, door *nodetest.Door, events []*pillarbox.Event) {
	t.Helper()
	if want := map[bool]int{true: 1}[door.Stored]; len(events) != want {
		t.Errorf("%s: %d events are stored, want %d", door.Name, len(events), want)
	}
	for _, event := range events {
		door.CheckEvent(t, event)
	}
}
