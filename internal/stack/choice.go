package stack

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

var variableForm = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// ParseChoice reads NAME=VALUE. The value is JSON where it can be read as JSON, as in true, 20 or ["a","b"], and else
// text as it stands.
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
