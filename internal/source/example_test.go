package source_test

import (
	"errors"
	"fmt"

	"pillarbox"
	"pillarbox/internal/ratelimit"
	"pillarbox/internal/source"
)

// A front looks the path up, asks for admission before it reads the body, and pays for the events
// that it has found.
func ExampleCompile() {
	table, err := source.Compile([]source.Settings{
		{Name: "app", Path: "/app", Limits: []source.Limit{{Rate: ratelimit.Rate{PerSecond: 1, Burst: 3}}}}}, source.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	route := table.Route("/app/batch", "/app/batch")
	fmt.Println(route.Source.Name, route.Batch)
	admission, err := route.Source.Admit(&source.Head{Method: "POST"})
	fmt.Println(err)
	checked, err := admission.Check(&source.Head{Method: "POST"}, []byte("[1, 2, 3]"))
	fmt.Println(err)
	grant, err := checked.Charge(3)
	fmt.Println(grant.Source().Name, err)
	_, err = checked.Charge(1)
	fmt.Println(pillarbox.RetryAfter(err) > 0, errors.Unwrap(err))
	// Output:
	// app true
	// <nil>
	// <nil>
	// app <nil>
	// true the source takes 1 events per second (sources.app.rate); nothing was stored
}
