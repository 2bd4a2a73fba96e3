package catalog_test

import (
	"fmt"

	"pillarbox/internal/engine/catalog"
)

// A URL that can't work is refused before anything is opened, by the key of the configuration.
func ExampleCheckSinks() {
	fmt.Println(catalog.CheckSinks(map[string]string{"events": "sqlite:",
		"copies": "sqlite:copies.db"}))
	fmt.Println(catalog.CheckSinks(map[string]string{"events": "sqlite:../events.db"}))
	// Output:
	// <nil>
	// destinations.events.url: want sqlite: or sqlite:PATH, and "../events.db" is outside of the data directory; write the whole path, from / on
}
