package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
)

// Module is where the Terraform module lies, below the root of the source.
const Module = "deploy/terraform"

// choicesDir is where the choices of each stack are kept, below the module. Git ignores it.
const choicesDir = "stacks"

// nameForm is what the module takes as a name.
var nameForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,18}[a-z0-9]$`)

// Stack is one deployment, by its name.
type Stack struct {
	Name   string
	Source string // root of a checkout of pillarbox
	Talk   io.Writer

	program string // terraform or tofu
}

// Open finds what is needed to work on a stack: a checkout, and Terraform or OpenTofu. Errors say
// what is missing.
func Open(name, source string, talk io.Writer) (*Stack, error) {
	if !nameForm.MatchString(name) {
		return nil, fmt.Errorf("the name %q of a stack: want 2 to 20 of a-z, 0-9 and -, the first a letter, the last no dash", name)
	}
	root, err := filepath.Abs(source)
	if err != nil {
		return nil, err
	}
	for _, file := range []string{filepath.Join(Module, "main.tf"), command, "go.mod"} {
		if _, err := os.Stat(filepath.Join(root, file)); err != nil {
			return nil, fmt.Errorf("%s is no checkout of pillarbox: there is no %s; change into one, or name it with --source", root, file)
		}
	}
	s := &Stack{Name: name, Source: root, Talk: talk}
	for _, program := range []string{"terraform", "tofu"} {
		if _, err := exec.LookPath(program); err == nil {
			s.program = program
			return s, nil
		}
	}
	return nil, errors.New("neither terraform nor tofu is there; install Terraform (https://developer.hashicorp.com/terraform/install) or OpenTofu (https://opentofu.org/docs/intro/install), 1.10 or newer")
}

// ChoicesFile is where the values of the module's variables are kept for this stack.
func (s *Stack) ChoicesFile() string {
	return filepath.Join(s.Source, Module, choicesDir, s.Name+".tfvars.json")
}

// Choose keeps values of variables for this and every later run, beside those that were chosen
// before. undo puts back what was kept until then: a value that Terraform refuses would else break
// every later run too.
func (s *Stack) Choose(values map[string]any) (undo func() error, err error) {
	before, err := os.ReadFile(s.ChoicesFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	undo = func() error { return s.keep(before) }
	if err != nil {
		undo = func() error { return os.Remove(s.ChoicesFile()) }
	}
	choices, err := s.Choices()
	if err != nil {
		return nil, err
	}
	maps.Copy(choices, values)
	choices["name"] = s.Name
	text, err := json.MarshalIndent(choices, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(s.ChoicesFile()), 0o755); err != nil {
		return nil, err
	}
	return undo, s.keep(append(text, '\n'))
}

// keep writes the file of choices, or leaves it what it is.
func (s *Stack) keep(text []byte) error {
	temp := s.ChoicesFile() + ".new"
	if err := os.WriteFile(temp, text, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, s.ChoicesFile())
}

// Choices returns what was chosen so far; nothing where the stack is new.
func (s *Stack) Choices() (map[string]any, error) {
	choices := map[string]any{}
	text, err := os.ReadFile(s.ChoicesFile())
	if errors.Is(err, os.ErrNotExist) {
		return choices, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &choices); err != nil {
		return nil, fmt.Errorf("%s: %w", s.ChoicesFile(), err)
	}
	return choices, nil
}

// Known reports whether the stack was deployed from this checkout.
func (s *Stack) Known() bool {
	_, err := os.Stat(s.ChoicesFile())
	return err == nil
}

// terraform runs one command of it in the module. Each stack has a workspace of its own, so that
// one state is never taken for another's.
func (s *Stack) terraform(ctx context.Context, output io.Writer, args ...string) error {
	return Command{Dir: filepath.Join(s.Source, Module), Name: s.program, Args: args,
		Env: []string{"TF_IN_AUTOMATION=1"}, Output: output}.Run(ctx, s.Talk)
}

// Init gets the provider and changes to the stack's workspace.
func (s *Stack) Init(ctx context.Context) error {
	if err := s.terraform(ctx, nil, "init", "-input=false"); err != nil {
		return err
	}
	return s.terraform(ctx, nil, "workspace", "select", "-or-create=true", s.Name)
}

// planFile is the plan that was shown, below the module.
func (s *Stack) planFile() string { return filepath.Join(choicesDir, s.Name+".tfplan") }

func (s *Stack) varFile() string {
	return "-var-file=" + filepath.Join(choicesDir, s.Name+".tfvars.json")
}

// Plan shows what Apply would do.
func (s *Stack) Plan(ctx context.Context) error {
	return s.terraform(ctx, nil, "plan", "-input=false", s.varFile(), "-out="+s.planFile())
}

// Apply does what Plan has shown, and nothing else.
func (s *Stack) Apply(ctx context.Context) error {
	return errors.Join(
		s.terraform(ctx, nil, "apply", "-input=false", s.planFile()),
		os.Remove(filepath.Join(s.Source, Module, s.planFile())),
	)
}

// Outputs are what is used of what the module puts out.
type Outputs struct {
	Name        string `json:"name"`
	URL         string `json:"url"`
	Region      string `json:"region"`
	Table       string `json:"table"`
	Bucket      string `json:"dead_letter_bucket"`
	Dashboard   string `json:"dashboard_url"`
	Policy      string `json:"operate_policy_arn"`
	ServeConfig string `json:"serve_config"`
	Secret      string `json:"sources_secret"` // of sources; empty for none
}

// Outputs asks the state for what the stack is like. Errors: a plain one where it is not deployed.
func (s *Stack) Outputs(ctx context.Context) (Outputs, error) {
	var text bytes.Buffer
	if err := s.terraform(ctx, &text, "output", "-json"); err != nil {
		return Outputs{}, err
	}
	var values map[string]struct{ Value json.RawMessage }
	if err := json.Unmarshal(text.Bytes(), &values); err != nil {
		return Outputs{}, fmt.Errorf("outputs of %s: %w", s.Name, err)
	}
	plain := map[string]json.RawMessage{}
	for name, output := range values {
		plain[name] = output.Value
	}
	joined, err := json.Marshal(plain)
	if err != nil {
		return Outputs{}, err
	}
	outputs := Outputs{}
	if err := json.Unmarshal(joined, &outputs); err != nil {
		return Outputs{}, fmt.Errorf("outputs of %s: %w", s.Name, err)
	}
	if outputs.Name = s.Name; outputs.URL == "" {
		return Outputs{}, fmt.Errorf("the stack %s is not deployed: its state has no URL among %v",
			s.Name, slices.Sorted(maps.Keys(plain)))
	}
	return outputs, nil
}
