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
		"sources_file=x.yaml":                "use --sources",
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

// TestTheRegionIsKept where the surroundings have chosen it, and what a flag has chosen stays.
func TestTheRegionIsKept(t *testing.T) {
	s, err := stack.Open("staging", module(t), &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range []string{"", "ap-south-1", "eu-west-1"} {
		if err := keepRegion(s, region); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := s.Choices(); err != nil || kept["region"] != "ap-south-1" || kept["name"] != "staging" {
		t.Errorf("kept %v, %v", kept, err)
	}
	flags := &stackFlags{region: "eu-west-1"}
	if err := flags.checkRegion(s); err == nil || !strings.Contains(err.Error(), "is in ap-south-1") {
		t.Errorf("another region: %v", err)
	}
	try(t, "deploy", "--source", s.Source, "--name", "staging", "--yes", "--region", "eu-west-1").failsWith(
		t, exitUsage, "is in ap-south-1")
}

// TestDestroyTakesTheRegionOfTheStack and no other.
func TestDestroyTakesTheRegionOfTheStack(t *testing.T) {
	source := module(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
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

// withoutCredentials is an environment in which nobody finds any.
func withoutCredentials(t *testing.T) {
	t.Helper()
	for _, name := range []string{"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
		"AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "credentials"))
}

// TestDeployLooksForCredentialsFirst: without any it says so, on one line, before anything is
// built.
func TestDeployLooksForCredentialsFirst(t *testing.T) {
	source := module(t)
	withoutCredentials(t)
	got := try(t, "deploy", "--source", source, "--yes")
	got.failsWith(t, exitUsage, "no credentials for AWS are found", "AWS_PROFILE",
		"nothing was changed")
	if got.out != "" || got.talk != "" {
		t.Errorf("it said %q and %q besides", got.out, got.talk)
	}
	t.Setenv("AWS_PROFILE", "nobody")
	try(t, "deploy", "--source", source, "--yes").failsWith(t, exitUsage, "AWS_PROFILE=nobody")
	t.Setenv("AWS_PROFILE", "")
	s, err := stack.Open(defaultStack, source, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Choose(nil); err != nil {
		t.Fatal(err)
	}
	got = try(t, "destroy", "--source", source, "--yes")
	got.failsWith(t, exitUsage, "no credentials for AWS are found")
	if got.talk != "" {
		t.Errorf("destroy said %q besides", got.talk)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	got = try(t, "deploy", "--source", source, "--yes") // it goes on, and there is nothing to build here
	got.failsWith(t, exitFailed, "build the function accept")
	if !strings.Contains(got.talk, "go build") {
		t.Errorf("it said %q", got.talk)
	}
}

// TestDeploySaysWhatToInstall, each in one sentence.
func TestDeploySaysWhatToInstall(t *testing.T) {
	source := module(t)
	withoutCredentials(t)
	t.Setenv("PATH", filepath.Join(source, "bin"))
	try(t, "deploy", "--source", source).failsWith(t, exitUsage, "go is not there",
		"install Go "+stack.GoVersion+" or newer", "https://go.dev/dl/")
	t.Setenv("PATH", t.TempDir())
	try(t, "deploy", "--source", source).failsWith(t, exitUsage, "neither terraform nor tofu is there",
		"install Terraform")
	try(t, "destroy", "--source", source).failsWith(t, exitUsage, "install Terraform")
	text, err := os.ReadFile("../../go.mod")
	if err != nil || !strings.Contains(string(text), "\ngo "+stack.GoVersion+".") {
		t.Errorf("the functions need another Go than %s: %v", stack.GoVersion, err)
	}
}

// TestSourcesOfAStackAreChecked before anything is built or kept, by deploy and by config check alike.
func TestSourcesOfAStackAreChecked(t *testing.T) {
	source := module(t)
	file := filepath.Join(t.TempDir(), "sources.yaml")
	t.Setenv("PILLARBOX_LOG_LEVEL", "nonsense") // is of a server, and of no file of sources
	for text, want := range map[string]string{
		"sources: { app: { rate: { per_second: 5 } } }": "sources.app.rate: has no effect on AWS",
		"data: /tmp":                          "data: has no effect on AWS",
		"sources: { app: { path: nowhere } }": "sources.app.path",
		"sources: { app: { verify_token: \"${NOT_SET_HERE}\" } }":               "the environment variable NOT_SET_HERE is not set",
		"sources: { app: { idempotency: { key: nonsense } } }":                  "sources.app.idempotency.key",
		"sources: { app: { signature: { scheme: github, secrets: [short] } } }": "signature.secrets",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		try(t, "config", "check", "--aws", "--config", file).failsWith(t, exitUsage, file+":1:", want)
		try(t, "deploy", "--source", source, "--yes", "--sources", file).failsWith(t, exitUsage, "--sources: ", want)
	}
	if err := os.WriteFile(file, []byte("sources: { app: { auth: [{ api_key: true }] } }"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := try(t, "config", "check", "--aws", "--config", file); got.code != exitDone || !strings.Contains(got.out, "is right for a stack on AWS") {
		t.Errorf("config check --aws: %+v", got)
	}
	try(t, "config", "check", "--aws").failsWith(t, exitUsage, "name the file of sources with --config")
	try(t, "config", "check", "--aws", "--config", file+".gone").failsWith(t, exitUsage, "no such file")
	s, err := stack.Open(defaultStack, source, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := s.Sources(); err != nil || kept != nil || s.Known() {
		t.Errorf("sources of a refused run are kept: %q, %v", kept, err)
	}
}
