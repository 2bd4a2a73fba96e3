package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/internal/stack"
)

// module makes a checkout with a module of a few variables, and a terraform that can't plan.
func module(t *testing.T) (source string) {
	t.Helper()
	source = t.TempDir()
	for name, text := range map[string]string{
		"deploy/terraform/main.tf": "variable \"name\" {\n}\nvariable \"region\" {\n}\nvariable \"alarm_emails_high\" {\n}\nvariable \"waf\" {\n}\n" +
			"variable \"functions_zip\" {\n}\n",
		"cmd/pillarbox-lambda/main.go": "", "go.mod": "",
		"bin/terraform": "#!/bin/sh\ntest \"$1\" != plan\n",
	} {
		file := filepath.Join(source, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", filepath.Join(source, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	return source
}

// TestDeployRefusesWhatTheModuleDoesNotHave before anything is built or kept.
func TestDeployRefusesWhatTheModuleDoesNotHave(t *testing.T) {
	source := module(t)
	for choice, want := range map[string]string{
		`alarm_email_high=["a@example.com"]`: "is alarm_emails_high meant?",
		"bananas=1":                          "no such variable",
		"name=other":                         "use --name",
		"region=eu-west-1":                   "use --region",
		"functions_zip=x.zip":                "run terraform itself",
		"accept_zip=x.zip":                   "run terraform itself",
	} {
		try(t, "deploy", "--source", source, "--yes", "--var", "waf=true", "--var", choice).failsWith(t,
			exitUsage, want)
	}
	s, err := stack.Open(defaultStack, source, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Known() {
		t.Error("choices of a refused run are kept")
	}
	if _, err := s.Choose(map[string]any{"waff": true}); err != nil {
		t.Fatal(err)
	}
	try(t, "deploy", "--source", source, "--yes").failsWith(t, exitUsage, "waff", "is waf meant?",
		s.ChoicesFile())
}

// TestChoicesThatCantBePlannedAreNotKept: they would break every later run, and destroy.
func TestChoicesThatCantBePlannedAreNotKept(t *testing.T) {
	s, err := stack.Open("staging", module(t), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if err := planStack(t.Context(), s, map[string]any{"waf": "maybe"}); err == nil ||
		!strings.Contains(err.Error(), "not kept") {
		t.Error(err)
	}
	if s.Known() {
		t.Error("they are kept")
	}
}

// TestDestroyTakesTheRegionOfTheStack and no other.
func TestDestroyTakesTheRegionOfTheStack(t *testing.T) {
	source := module(t)
	s, err := stack.Open("staging", source, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	destroy := func(region string) result {
		return try(t, "destroy", "--source", source, "--name", "staging", "--region", region)
	}
	if _, err := s.Choose(nil); err != nil {
		t.Fatal(err)
	}
	destroy("eu-west-2").failsWith(t, exitUsage, "AWS_REGION")
	if _, err := s.Choose(map[string]any{"region": "eu-west-2"}); err != nil {
		t.Fatal(err)
	}
	destroy("eu-west-1").failsWith(t, exitUsage, "is in eu-west-2")
	destroy("eu-west-2").failsWith(t, exitFailed, "nothing was deleted") // it asks, and nobody says yes
}
