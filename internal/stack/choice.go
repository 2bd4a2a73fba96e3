package stack

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var variableForm = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// ParseChoice reads NAME=VALUE. The value is JSON where it can be read as JSON, as in true, 20 or
// ["a","b"], and else text as it stands.
func ParseChoice(text string) (name string, value any, err error) {
	name, raw, found := strings.Cut(text, "=")
	if !found || !variableForm.MatchString(name) {
		return "", nil, fmt.Errorf("%q: want NAME=VALUE", text)
	}
	if json.Unmarshal([]byte(raw), &value) != nil {
		value = raw
	}
	return name, value, nil
}

// Reserved says how else to set a variable that no choice may set, and nothing for the others: what
// the command sets itself would silently take the place of the choice.
func Reserved(name string) (instead string) {
	switch {
	case name == "name" || name == "region":
		return "use --" + name
	case name == SourcesVariable:
		return "use --sources"
	case slices.Contains(zipVariables, name):
		return "deploy sets it to what it builds; for a zip of your own run terraform itself, as " + Module + "/README.md says"
	}
	return ""
}

// declaration matches where the module declares a variable.
var declaration = regexp.MustCompile(`(?m)^variable "([^"]+)"`)

// Variables lists the variables of the module, sorted.
func (s *Stack) Variables() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(s.Source, Module, "*.tf"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, match := range declaration.FindAllSubmatch(text, -1) {
			names = append(names, string(match[1]))
		}
	}
	slices.Sort(names)
	return names, nil
}
