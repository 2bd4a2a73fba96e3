package source_test

import (
	"errors"
	"testing"

	"pillarbox"
	"pillarbox/internal/source"
)

// TestTheMostExactPathIsTaken, in whatever order the sources stand.
func TestTheMostExactPathIsTaken(t *testing.T) {
	settings := []source.Settings{{Name: "all", Path: "/*"}, {Name: "below", Path: "/app/*"}, {Name: "app", Path: "/app"},
		{Name: "tenant", Path: "/{tenant}/hooks"}, {Name: "any", Path: "/{any}/{tenant}"}, {Name: "exact", Path: "/app/hooks"}}
	for range 2 {
		table, err := source.Compile(settings, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]string{"/app": "app", "/app/": "app", "/app/batch": "app batch", "/app/hooks": "exact",
			"/app/hooks/": "exact", "/app/hooks/batch": "exact batch", "/app/x": "below", "/app/x/batch": "below batch", "/t/hooks": "tenant",
			"/t/hooks/batch": "tenant batch", "/t/x": "any", "/t/x/batch": "any batch", "/t/x/y": "all", "/x": "all", "/batch": "all batch",
			"/": "", "/app/*": "below", "/{tenant}/hooks": "tenant"} {
			got, route := "", table.Route(path, path)
			if route != nil {
				got = route.Source.Name
				if route.Batch {
					got += " batch"
				}
			}
			if got != want {
				t.Errorf("%s leads to %q, want %q", path, got, want)
			}
			single := table.Single(path)
			if (single == route) != (route == nil || !route.Batch) {
				t.Errorf("%s: single events go to %+v", path, single)
			}
		}
		for i, j := 0, len(settings)-1; i < j; i, j = i+1, j-1 {
			settings[i], settings[j] = settings[j], settings[i]
		}
	}
	for _, two := range [][2]string{{"/{a}/x", "/{b}/x"}, {"/a/*", "/a/*"}} {
		_, err := source.Compile([]source.Settings{{Name: "a", Path: two[0]}, {Name: "b", Path: two[1]}}, source.Options{})
		if !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%v: %v", two, err)
		}
	}
	if _, err := source.Compile([]source.Settings{{Name: "a", Path: "/{A}"}}, source.Options{}); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("a name that is none: %v", err)
	}
}
