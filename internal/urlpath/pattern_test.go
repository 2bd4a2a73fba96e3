package urlpath_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pillarbox"
	"pillarbox/internal/urlpath"
)

func compile(t testing.TB, path string) *urlpath.Pattern {
	t.Helper()
	p, err := urlpath.Compile(path)
	if err != nil || p == nil {
		t.Fatalf("%s: %v", path, err)
	}
	return p
}

// TestPathsOfAPattern: which it takes, whether they are of batches, and which attributes they give.
func TestPathsOfAPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, path, want string
	}{
		{"/app/*", "/app/a", "single []"}, {"/app/*", "/app/a/b/c", "single []"}, {"/app/*", "/app/a/", "single []"},
		{"/app/*", "/app", "no"}, {"/app/*", "/app/", "no"}, {"/app/*", "/app//", "no"}, {"/app/*", "/apple/a", "no"}, {"/app/*", "/b/a", "no"},
		{"/app/*", "/app/a/batch", "batch []"}, {"/app/*", "/app/batch", "batch []"}, {"/app/*", "/app/a/batch/", "batch []"},
		{"/app/*", "/app/a/batch/b", "single []"}, {"/app/*", "/app/a%2Fb", "single []"}, {"/app/*", "/%61pp/a", "single []"},
		{"/*", "/a", "single []"}, {"/*", "/", "no"}, {"/*", "/batch", "batch []"},
		{"/t/{tenant}/hooks", "/t/acme/hooks", "single [{tenant acme}]"}, {"/t/{tenant}/hooks", "/t/acme/hooks/", "single [{tenant acme}]"},
		{"/t/{tenant}/hooks", "/t/acme/hooks/batch", "batch [{tenant acme}]"}, {"/t/{tenant}/hooks", "/t/acme/hooks/x", "no"},
		{"/t/{tenant}/hooks", "/t//hooks", "no"}, {"/t/{tenant}/hooks", "/t/acme/other", "no"}, {"/t/{tenant}/hooks", "/t/acme", "no"},
		{"/t/{tenant}/hooks", "/t/a%20b%2Fc/hooks", "single [{tenant a b/c}]"}, {"/t/{tenant}/hooks", "/t/%zz/hooks", "single [{tenant %zz}]"},
		{"/t/{tenant}/hooks", "/t/%ff/hooks", "single [{tenant %ff}]"}, {"/t/{tenant}/hooks", "/t/gr%C3%BCn/hooks", "single [{tenant grün}]"},
		{"/t/{tenant}/hooks", "/t/../hooks", "no"}, {"/t/{tenant}/hooks", "/t/%2e%2E/hooks", "no"}, {"/t/{tenant}/hooks", "/t/.../hooks", "single [{tenant ...}]"}, {"/t/{tenant}/hooks", "/t/batch/hooks", "single [{tenant batch}]"},
		{"/{b}/{a}/*", "/1/2/3/4", "single [{a 2} {b 1}]"}, {"/{b}/{a}/*", "/1/2", "no"}, {"/{a}", "/x", "single [{a x}]"},
		{"/{a}", "/x/batch", "batch [{a x}]"}, {"/{a}", "/batch", "single [{a batch}]"},
	} {
		p, got := compile(t, c.pattern), "no"
		if batch, ok := p.Takes(c.path); ok {
			got = fmt.Sprintf("%s %v", map[bool]string{true: "batch", false: "single"}[batch], p.Attributes(nil, c.path))
		}
		if got != c.want {
			t.Errorf("%s: %s is %s, want %s", c.pattern, c.path, got, c.want)
		}
	}
	others := pillarbox.Attributes{{Name: "a", Value: "1"}, {Name: "z", Value: "2"}}
	if got := compile(t, "/{m}").Attributes(others, "/x"); fmt.Sprint(got) != "[{a 1} {m x} {z 2}]" || len(others) != 2 {
		t.Errorf("beside others: %v", got)
	}
}

func TestTheMostExactPatternGoesFirst(t *testing.T) {
	want := []string{"/a/b/{c}", "/a/b/*", "/a/{b}/c/d", "/a/{b}/c", "/a/{b}/{c}", "/a/*", "/{a}/b", "/{a}", "/*"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortStableFunc(got, func(a, b string) int { return compile(t, a).Compare(compile(t, b)) })
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestPathsThatAreNoPatterns(t *testing.T) {
	for path, good := range map[string]bool{"/app": true, "/": true, "/a/{X}": false, "/a/*/b": false, "/a*": false, "/{a": false,
		"/a}": false, "/{a}/{a}": false, "/{}": false, "/a{b}": false} {
		p, err := urlpath.Compile(path)
		if (err == nil) != good || p != nil || err != nil && !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%s: %v, %v", path, p, err)
		}
	}
	for path, want := range map[string]string{"/a": "/a", "/{a}/*": "/{}/*", "/x/{b}": "/x/{}"} {
		if got := urlpath.Shape(path); got != want {
			t.Errorf("%s has the shape %s", path, got)
		}
	}
}
