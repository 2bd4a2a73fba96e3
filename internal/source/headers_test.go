package source

import (
	"fmt"
	"strings"
	"testing"
)

// TestNamesAreLearnedWithinBounds: a client that invents names takes no memory, and names that lie
// in a buffer may change after the call.
func TestNamesAreLearnedWithinBounds(t *testing.T) {
	filter := HeaderPolicy{Deny: []string{"X-Denied"}}.compile()
	for i := range 10 * maxLearned {
		if !filter.keeps(fmt.Sprintf("X-%d", i)) || filter.keeps(fmt.Sprintf("X-%d-Token", i)) {
			t.Fatalf("wrong about name %d", i)
		}
	}
	filter.keeps(strings.Repeat("x", 10*maxLearnedName))
	learned := *filter.learned.Load()
	if len(learned) > maxLearned {
		t.Errorf("%d names are learned", len(learned))
	}
	for name := range learned {
		if len(name) > maxLearnedName {
			t.Errorf("a name of %d bytes is learned", len(name))
		}
	}
	for _, name := range append(commonHeaders, "X-Denied", "x-denied", "X-1", "COOKIE", "cookie") {
		if filter.keeps(name) != filter.decide(name) {
			t.Errorf("%s is remembered wrongly", name)
		}
	}
}
