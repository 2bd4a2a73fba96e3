package stack_test

import (
	"archive/zip"
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pillarbox/internal/stack"
)

const source = "../.."

// terraformScript writes what it was called with into a file, and puts out what a deployed stack
// does.
const terraformScript = `#!/bin/sh
echo "$*" >> "$CALLS"
case "$1" in
  apply) case "$*" in *$BROKEN*) exit 1;; esac;;
  show) printf '%s\n' "${STATE:-{\}}";;
  plan) for arg; do case "$arg" in -out=*) : > "${arg#-out=}";; esac; done;;
  output) printf '%s\n' '{"url":{"value":"https://example.com/live/app"},"region":{"value":"eu-west-2"},"table":{"value":"t"},"serve_config":{"value":"queue: {}\n"},"other":{"value":{"a":1}}}';;
esac
`

// checkout makes something that looks like one, and a terraform that only notes its calls.
func checkout(t *testing.T) (root string, calls func() []string) {
	t.Helper()
	root, bin := t.TempDir(), t.TempDir()
	for _, dir := range []string{"deploy/terraform", "cmd/pillarbox-lambda"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"deploy/terraform/main.tf", "go.mod"} {
		if err := os.WriteFile(filepath.Join(root, file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(bin, "terraform"), []byte(terraformScript),
		0o755); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(bin, "calls")
	t.Setenv("CALLS", log)
	t.Setenv("BROKEN", "nothing is")
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return root, func() []string {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
}

// unprotected is what every run says that is to delete. The zips are files that are there in any
// case.
const unprotected = "-input=false -auto-approve -var-file=stacks/staging.tfvars.json -var=protect=false" +
	" -var=functions_zip=main.tf -var=accept_zip=main.tf -var=deliver_zip=main.tf -var=deadletter_zip=main.tf"

// choose keeps choices, and returns what undoes that.
func choose(t *testing.T, s *stack.Stack, values map[string]any) (undo func() error) {
	t.Helper()
	undo, err := s.Choose(values)
	if err != nil {
		t.Fatal(err)
	}
	return undo
}

// TestDestroyUnprotectsWhatIsThere: nothing is made only to be deleted, what was made in part is
// not replaced, and what can't be unprotected does not keep the rest.
func TestDestroyUnprotectsWhatIsThere(t *testing.T) {
	root, calls := checkout(t)
	t.Setenv("STATE", `{"values":{"root_module":{"resources":[
		{"address":"aws_dynamodb_table.events","type":"aws_dynamodb_table","name":"events","tainted":true},
		{"address":"aws_sqs_queue.events","type":"aws_sqs_queue","name":"events"},
		{"address":"aws_backup_vault.main[0]","type":"aws_backup_vault","name":"main","index":0}]}}}`)
	t.Setenv("BROKEN", "-target=")
	var talk bytes.Buffer
	s, err := stack.Open("staging", root, &talk)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"show -json", "untaint aws_dynamodb_table.events",
		"apply " + unprotected + " -target=aws_dynamodb_table.events -target=aws_backup_vault.main[0]",
		"destroy " + unprotected,
	}
	if got := calls(); !reflect.DeepEqual(got, want) {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(talk.String(), "'-target=aws_backup_vault.main[0]'\n") ||
		!strings.Contains(talk.String(), "going on to destroy") {
		t.Errorf("the talk is\n%s", &talk)
	}
}

// TestProtectedIsWhatTheModuleProtects reads the module: whatever depends on its variable has to be
// unprotected.
func TestProtectedIsWhatTheModuleProtects(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(source, stack.Module, "*.tf"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	head, found := regexp.MustCompile(`(?m)^(?:resource "([^"]+)" "([^"]+)"|[a-z]+ )`), map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, use := range regexp.MustCompile(`\bvar\.protect\b`).FindAllIndex(text, -1) {
			blocks := head.FindAllSubmatch(text[:use[0]], -1)
			found[string(blocks[len(blocks)-1][1])+"."+string(blocks[len(blocks)-1][2])] = true
		}
	}
	if got := slices.Sorted(maps.Keys(found)); !reflect.DeepEqual(got, stack.Protected) {
		t.Errorf("the module protects %v, and destroy unprotects %v", got, stack.Protected)
	}
}

// TestUndoneChoicesAreGone, those of a new stack with their file.
func TestUndoneChoicesAreGone(t *testing.T) {
	root, _ := checkout(t)
	s, err := stack.Open("staging", root, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if err := choose(t, s, map[string]any{"waf": "maybe"})(); err != nil || s.Known() {
		t.Errorf("%v; the stack is known: %v", err, s.Known())
	}
	choose(t, s, map[string]any{"waf": true})
	if err := choose(t, s, map[string]any{"waf": "maybe", "more": 1})(); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"name": "staging", "waf": true}
	if got, err := s.Choices(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("choices %v, %v; want %v", got, err, want)
	}
}

func TestVariables(t *testing.T) {
	checkout(t) // for its terraform
	s, err := stack.Open("staging", source, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	names, err := s.Variables()
	if err != nil || !slices.IsSorted(names) {
		t.Fatal(names, err)
	}
	for _, name := range []string{"name", "region", "functions_zip", "accept_zip", "deliver_zip",
		"deadletter_zip", "protect", "alarm_emails_high"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is no variable of the module", name)
		}
		reserved := name != "protect" && name != "alarm_emails_high"
		if got := stack.Reserved(name); (got != "") != reserved {
			t.Errorf("%s: reserved for %q", name, got)
		}
	}
}

// TestLifeOfAStack: what is shown is what runs, and what is applied is the plan that was shown.
func TestLifeOfAStack(t *testing.T) {
	root, calls := checkout(t)
	var talk bytes.Buffer
	s, err := stack.Open("staging", root, &talk)
	if err != nil {
		t.Fatal(err)
	}
	if s.Known() {
		t.Error("a new stack is known")
	}
	choose(t, s, map[string]any{"region": "eu-west-2", "waf": true})
	choose(t, s, map[string]any{"waf": false})
	want := map[string]any{"name": "staging", "region": "eu-west-2", "waf": false}
	if got, err := s.Choices(); err != nil || !reflect.DeepEqual(got, want) || !s.Known() {
		t.Errorf("choices %v, %v; want %v", got, err, want)
	}
	ctx := t.Context()
	for _, step := range []func() error{
		func() error { return s.Init(ctx) }, func() error { return s.Plan(ctx) }, func() error {
			return s.Apply(ctx)
		},
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	outputs, err := s.Outputs(ctx)
	if err != nil || outputs.URL != "https://example.com/live/app" || outputs.Name != "staging" {
		t.Errorf("outputs %+v, %v", outputs, err)
	}
	if err := s.Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	wantCalls := []string{
		"init -input=false", "workspace select -or-create=true staging",
		"plan -input=false -var-file=stacks/staging.tfvars.json -out=stacks/staging.tfplan",
		"apply -input=false stacks/staging.tfplan", "output -json",
		"show -json",
		"destroy " + unprotected,
	}
	if got := calls(); !reflect.DeepEqual(got, wantCalls) {
		t.Errorf("calls\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(wantCalls, "\n"))
	}
	for _, call := range wantCalls {
		if !strings.Contains(talk.String(), "terraform "+call+"\n") {
			t.Errorf("%q was not shown", call)
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	root, _ := checkout(t)
	for name, test := range map[string]struct{ name, source, want string }{
		"no checkout": {"staging", t.TempDir(), "--source"},
		"bad name":    {"Staging_1", root, "2 to 20"},
		"long name":   {strings.Repeat("x", 21), root, "2 to 20"},
	} {
		if _, err := stack.Open(test.name, test.source, &bytes.Buffer{}); err == nil ||
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := stack.Open("staging", root, &bytes.Buffer{}); err == nil ||
		!strings.Contains(err.Error(), "install Terraform") {
		t.Errorf("without terraform: %v", err)
	}
}

// TestFunctionsAreReproducible: the same source gives the same zips, byte for byte.
func TestFunctionsAreReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the functions twice")
	}
	build := func() map[string][]byte {
		zips, err := stack.BuildFunctions(t.Context(), source, []byte("sources: {}\n"), &bytes.Buffer{})
		if err != nil {
			t.Fatal(err)
		}
		contents := map[string][]byte{}
		for role, path := range zips {
			if contents[role], err = os.ReadFile(filepath.Join(source, stack.Module, path)); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %.1f MB", role, float64(len(contents[role]))/1e6)
		}
		return contents
	}
	first, second := build(), build()
	if len(first) != 3 || !reflect.DeepEqual(first, second) {
		t.Errorf("%d zips, or they differ", len(first))
	}
	for role, want := range map[string][]string{"accept": {"bootstrap -rwxr-xr-x", "sources.yaml -rw-r--r--"},
		"deliver": {"bootstrap -rwxr-xr-x"}, "deadletter": {"bootstrap -rwxr-xr-x"}} {
		archive, err := zip.NewReader(bytes.NewReader(first[role]), int64(len(first[role])))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, file := range archive.File {
			names = append(names, file.Name+" "+file.Mode().String())
		}
		if !slices.Equal(names, want) {
			t.Errorf("the zip of %s has %q, want %q", role, names, want)
		}
	}
}

// TestSourcesAreKept for every later run, put back where a run is not, and taken away.
func TestSourcesAreKept(t *testing.T) {
	root, _ := checkout(t)
	s, err := stack.Open("staging", root, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	kept := func(want string) {
		t.Helper()
		if text, err := s.Sources(); err != nil || string(text) != want {
			t.Errorf("kept is %q, %v; want %q", text, err, want)
		}
	}
	keep := func(text string) (undo func() error) {
		t.Helper()
		choice, undo, err := s.KeepSources([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Choose(map[string]any{stack.SourcesVariable: choice}); err != nil {
			t.Fatal(err)
		}
		return undo
	}
	kept("")
	keep("one")
	kept("one")
	if choices, err := s.Choices(); err != nil || choices["sources_file"] != "stacks/staging.sources.yaml" {
		t.Errorf("the choices are %v, %v", choices, err)
	}
	undo := keep("two")
	kept("two")
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	kept("one")
	keep("")
	kept("")
}

func TestRecords(t *testing.T) {
	records := stack.Records{Dir: filepath.Join(t.TempDir(), "stacks")}
	if _, err := records.Get(""); err == nil {
		t.Error("a stack was found where none was deployed")
	}
	want := stack.Outputs{Name: "one", URL: "https://one"}
	if err := records.Put(want); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "one"} {
		if got, err := records.Get(name); err != nil || got != want {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
	if err := records.Put(stack.Outputs{Name: "two"}); err != nil {
		t.Fatal(err)
	}
	if _, err := records.Get(""); err == nil || !strings.Contains(err.Error(), "one, two") {
		t.Errorf("one of two: %v", err)
	}
	for range 2 {
		if err := records.Forget("two"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := records.Get("two"); err == nil {
		t.Error("a forgotten stack was found")
	}
}

func TestParseChoice(t *testing.T) {
	for text, want := range map[string]any{
		"waf=true": true, "n=20": 20.0, "name=text with = in it": "text with = in it", `list=["a","b"]`: []any{"a", "b"}, "empty=": "",
	} {
		if _, value, err := stack.ParseChoice(text); err != nil || !reflect.DeepEqual(value, want) {
			t.Errorf("%s: %#v, %v; want %#v", text, value, err, want)
		}
	}
	for _, text := range []string{"", "waf", "=1", "-x=1"} {
		if _, _, err := stack.ParseChoice(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
