package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SourcesVariable is the variable of the module that names the file of sources.
const SourcesVariable = "sources_file"

// sourcesFile is where the file of sources of this stack is kept, below the module.
func (s *Stack) sourcesFile() string { return filepath.Join(choicesDir, s.Name+".sources.yaml") }

// Sources returns the file of sources that is kept for this stack; nil for none.
func (s *Stack) Sources() ([]byte, error) {
	choices, err := s.Choices()
	if err != nil || choices[SourcesVariable] == nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(s.Source, Module, s.sourcesFile()))
	if err != nil {
		return nil, fmt.Errorf("the file of sources that was chosen before: %w; choose it again with --sources", err)
	}
	return text, nil
}

// KeepSources keeps a file of sources for this and every later run, and returns the choice that names
// it; empty takes it away. undo puts back what was kept until then.
func (s *Stack) KeepSources(text []byte) (choice any, undo func() error, err error) {
	kept := filepath.Join(s.Source, Module, s.sourcesFile())
	before, err := os.ReadFile(kept)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		undo = func() error { return os.Remove(kept) }
	case err != nil:
		return nil, nil, err
	default:
		undo = func() error { return os.WriteFile(kept, before, 0o600) }
	}
	if len(text) == 0 {
		return nil, func() error { return nil }, nil // what is kept means nothing without the choice
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		return nil, nil, err
	}
	return filepath.ToSlash(s.sourcesFile()), undo, os.WriteFile(kept, text, 0o600)
}
