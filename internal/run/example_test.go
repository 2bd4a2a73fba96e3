package run_test

import (
	"context"
	"fmt"

	"pillarbox/internal/run"
)

// Services start in order, and stop the other way around.
func ExampleNew() {
	service := func(name string) run.Service {
		return run.Service{
			Name:  name,
			Start: func(context.Context) error { fmt.Println("start", name); return nil },
			Run:   func(ctx context.Context) error { <-ctx.Done(); return nil },
			Close: func() error { fmt.Println("close", name); return nil },
		}
	}
	stop, cancel := context.WithCancel(context.Background())
	group := run.New(run.Options{})
	group.Add(service("data"))
	group.Add(service("listener"))
	group.Add(run.Service{Name: "ready", Start: func(context.Context) error { cancel(); return nil }})
	fmt.Println(group.Run(stop, context.Background()))
	// Output:
	// start data
	// start listener
	// close listener
	// close data
	// <nil>
}
