package clock_test

import (
	"fmt"
	"time"

	"pillarbox/internal/clock"
)

// A clock that is set for a second is not believed.
func ExampleOpen() {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	reading := clock.Reading{Wall: noon, ID: "boot", Boot: time.Hour}
	c := clock.Open(nil, "", clock.Options{Read: func() clock.Reading { return reading }})
	pass := func(passes, jumps time.Duration) {
		reading.Wall, reading.Mono, reading.Boot = reading.Wall.Add(
			passes+jumps), reading.Mono+passes, reading.Boot+passes
	}
	pass(time.Second, 15*24*time.Hour)
	fmt.Println(c.Now().Format(time.TimeOnly), c.Elapsed())
	pass(time.Second, -15*24*time.Hour)
	fmt.Println(c.Now().Format(time.TimeOnly), c.Elapsed(), c.Close())
	// Output:
	// 12:00:01 1s
	// 12:00:02 2s <nil>
}
