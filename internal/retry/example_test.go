package retry_test

import (
	"fmt"

	"pillarbox/internal/retry"
)

// The waits between attempts double; half of each is left to chance, which is an argument.
func ExamplePolicy() {
	policy := retry.Policy{}.WithDefaults()
	for attempt := 1; attempt <= 4; attempt++ {
		fmt.Println(policy.Delay(attempt, 0), policy.Delay(attempt, 0.5), policy.Exhausted(attempt))
	}
	fmt.Println(policy.Exhausted(20))
	// Output:
	// 500ms 750ms false
	// 1s 1.5s false
	// 2s 3s false
	// 4s 6s false
	// true
}
