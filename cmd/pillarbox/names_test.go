package main

import (
	"slices"
	"strings"
	"testing"

	"pillarbox/internal/engine/enginetest"
)

// namesText has two sources and two destinations.
const namesText = `sources: {app: {path: /app}, github: {path: /hooks}}
destinations: {events: {url: "sqlite:", sources: [app, github]}, archive: {url: "sqlite:archive.db", sources: [app]}}`

// TestAMisspelledNameIsSaid, online and offline, by every command that takes one: an empty list
// does not tell it from one that nothing came for. The exit code is that of an empty list.
func TestAMisspelledNameIsSaid(t *testing.T) {
	s := startServer(t, namesText)
	stored := enginetest.Events(1, 1)
	stored[0].Source = "old"
	if err := s.engines.Sinks["events"].Write(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	const (
		source      = "no source %q is configured, and no event of it is stored; is github meant? (configured: app, github)\n"
		destination = "no destination %q is configured; is archive meant? (configured: archive, events)\n"
	)
	for _, c := range []struct{ args, says string }{
		{"events --destination events --source gihub", strings.ReplaceAll(source, "%q", `"gihub"`)},
		{"events --destination events --source gihub -o json", strings.ReplaceAll(source, "%q", `"gihub"`)},
		{"events --destination events --source zzz",
			"no source \"zzz\" is configured, and no event of it is stored (configured: app, github)\n"},
		{"events --destination archive --source old", ""}, // it is stored elsewhere
		{"events --destination archive --source app", ""}, // nothing came yet
		{"dead list --destination archiv", strings.ReplaceAll(destination, "%q", `"archiv"`)},
		{"dead list --source gihub", strings.ReplaceAll(source, "%q", `"gihub"`)},
		{"dead list --destination archive --source github", ""},
		{"dead replay --source gihub", strings.ReplaceAll(source, "%q", `"gihub"`)},
		{"dead replay --source gihub --dry-run", strings.ReplaceAll(source, "%q", `"gihub"`)},
		{"held list --source gihub", strings.ReplaceAll(source, "%q", `"gihub"`)},
		{"held list --events --source gihub", strings.ReplaceAll(source, "%q", `"gihub"`)},
		{"held forget --source gihub", strings.ReplaceAll(source, "%q", `"gihub"`)},
	} {
		got := try(t, append(strings.Fields(c.args), "--server", s.admin)...)
		if got.code != exitDone || got.talk != c.says {
			t.Errorf("%s: exit %d, %q (%v), want %q", c.args, got.code, got.talk, got.err, c.says)
		}
	}
	for _, args := range []string{"events --destination archiv",
		"events --follow --destination archiv",
		"dead show x --destination archiv", "dead discard x --destination archiv",
		"dead replay --destination archiv", "dead replay x --destination archiv",
		"held list --destination archiv", "held list --events --destination archiv",
		"held forget --destination archiv", "held route --to archiv --all",
	} {
		got := try(t, append(strings.Fields(args), "--server", s.admin)...)
		got.failsWith(t, exitFailed, "archiv", "is archive meant?")
		if strings.Count(got.err.Error(), "configured") != 1 ||
			!strings.Contains(got.err.Error(), "archive, events") {
			t.Errorf("%s: what is configured is not said once in %q", args, got.err)
		}
	}
	s.stop()
	offline := slices.Concat([]string{"events", "--source", "apps"},
		[]string{"--data", s.data, "--admin", nobody(t)})
	if got := try(t, offline...); got.code != exitDone ||
		!strings.Contains(got.talk, "is app meant?") {
		t.Errorf("offline: exit %d, %q (%v)", got.code, got.talk, got.err)
	}
}
