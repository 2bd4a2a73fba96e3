package terraform_test

import (
	"fmt"
	"testing"
)

// problems are what the rules and the pictures say of a state, by the name of who says it.
func problems(t *testing.T, name string, s state) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, r := range rules {
		r.check(s, func(format string, args ...any) {
			found[r.name] = append(found[r.name], fmt.Sprintf(format, args...))
		})
	}
	for _, p := range pictures {
		if differences := p.differences(t, name, s); len(differences) > 0 {
			found[p.name] = differences
		}
	}
	return found
}

// TestWhatIsMade: the module is applied once for each scenario, and everything that it makes is
// looked at: by rules, and beside the pictures in testdata.
func TestWhatIsMade(t *testing.T) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			made, err := terraform(t).apply(t, module, sc.variables, nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, said := range problems(t, sc.name, made) {
				for _, line := range said {
					t.Errorf("%s: %s", name, line)
				}
			}
		})
	}
}
