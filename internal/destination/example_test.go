package destination_test

import (
	"fmt"

	"pillarbox"
	"pillarbox/internal/destination"
)

// What a destination takes is asked of it, by whoever wants to know.
func ExampleCompile() {
	table, err := destination.Compile([]destination.Settings{
		{Name: "billing", Rule: &pillarbox.Rule{Sources: []string{"stripe"}}},
		{Name: "archive"},
	}, nil, nil)
	fmt.Println(table.Names(), err)
	fmt.Println(table.Takers(&pillarbox.Event{Source: "stripe"}))
	fmt.Println(table.Takers(&pillarbox.Event{Source: "app"}))
	// An event that was meant for billing, which does not take it any more, and nobody else was to
	// get:
	billing := table.Get("billing")
	meant := pillarbox.Rule{Sources: []string{"app"}}
	fmt.Println(billing.Holds(&pillarbox.Delivery{Event: &pillarbox.Event{Source: "app"},
		Rule: &meant}))
	// Output:
	// [archive billing] <nil>
	// [archive billing]
	// [archive]
	// true
}
