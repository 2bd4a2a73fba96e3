package node_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"pillarbox"
	"pillarbox/internal/clock"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/memory"
	"pillarbox/internal/node"
	"pillarbox/internal/source"
)

// A whole pillarbox on engines in memory: a request is accepted, and waits until its event is
// stored.
func ExampleOpen() {
	ctx := context.Background()
	n, err := node.Open(ctx, node.Options{
		Engines: node.Engines{
			Queue: memory.NewQueue(nil), DeadLetters: memory.NewDeadLetters(), Clock: clock.Open(nil, "",
				clock.Options{}),
			Sinks: map[string]pillarbox.Sink{"events": memory.NewSink()},
		},
		Settings: node.Settings{
			Sources:      []source.Settings{{Name: "app", Path: "/app"}},
			Destinations: []destination.Settings{{Name: "events"}},
		},
		Roles: node.Roles(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	n.Start(ctx)
	request := httptest.NewRequest(http.MethodPost, "/app", strings.NewReader("hello"))
	request.Header.Set("Prefer", "wait=30")
	answer := httptest.NewRecorder()
	n.PublicHandler(node.Limits{MaxWait: 1 << 40}).ServeHTTP(answer, request)
	fmt.Println(answer.Code)
	events, err := n.Events(ctx, "events", pillarbox.EventFilter{})
	fmt.Println(string(events[0].Body), err)
	fmt.Println(n.Drain(ctx), n.Close())
	// Output:
	// 201
	// hello <nil>
	// <nil> <nil>
}
