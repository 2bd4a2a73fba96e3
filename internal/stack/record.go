package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Records are what this user has deployed, so that other commands find it from any directory. They
// hold no secret.
type Records struct {
	Dir string // where they are kept
}

// UserRecords are those of the user who runs this process.
func UserRecords() (Records, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return Records{}, fmt.Errorf("remember deployed stacks: %w", err)
	}
	return Records{Dir: filepath.Join(dir, "pillarbox", "stacks")}, nil
}

const recordSuffix = ".json"

// Put remembers a stack.
func (r Records) Put(outputs Outputs) error {
	text, err := json.MarshalIndent(outputs, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(r.file(outputs.Name), append(text, '\n'), 0o600)
}

func (r Records) file(name string) string { return filepath.Join(r.Dir, name+recordSuffix) }

// Forget forgets a stack. One that is not known is fine.
func (r Records) Forget(name string) error {
	if err := os.Remove(r.file(name)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Names lists the stacks, sorted.
func (r Records) Names() ([]string, error) {
	entries, err := os.ReadDir(r.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), recordSuffix); ok {
			names = append(names, name)
		}
	}
	return names, err
}

func known(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Get returns what is remembered of a stack; an empty name is the only one that there is. The error
// says which there are.
func (r Records) Get(name string) (Outputs, error) {
	names, err := r.Names()
	if err != nil {
		return Outputs{}, err
	}
	if name == "" {
		if len(names) != 1 {
			return Outputs{}, fmt.Errorf("want one stack that this user has deployed from this machine, and there are: %s; choose with --stack", known(names))
		}
		name = names[0]
	}
	text, err := os.ReadFile(r.file(name))
	if errors.Is(err, os.ErrNotExist) {
		return Outputs{}, fmt.Errorf("no stack %q was deployed by this user on this machine; known are: %s", name, known(names))
	}
	if err != nil {
		return Outputs{}, err
	}
	var outputs Outputs
	if err := json.Unmarshal(text, &outputs); err != nil {
		return Outputs{}, fmt.Errorf("%s: %w", r.file(name), err)
	}
	return outputs, nil
}
