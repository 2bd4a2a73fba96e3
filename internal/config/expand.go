package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${NAME} and ${NAME:-default} in a value; $$ is a dollar. As in a shell, the
// default counts where the variable is not set or empty. The result is not looked at again, and
// errors do not repeat values.
func expand(text string, env func(string) (string, bool)) (string, error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		switch {
		case strings.HasPrefix(after, "$"):
			out.WriteByte('$')
			text = after[1:]
		case strings.HasPrefix(after, "{"):
			reference, rest, closed := strings.Cut(after[1:], "}")
			if !closed {
				return "", errors.New("${ without }; write $$ for a dollar")
			}
			value, err := lookUp(reference, env)
			if err != nil {
				return "", err
			}
			out.WriteString(value)
			text = rest
		default:
			out.WriteByte('$')
			text = after
		}
	}
}

func lookUp(reference string, env func(string) (string, bool)) (string, error) {
	name, otherwise, optional := strings.Cut(reference, ":-")
	if !variableForm.MatchString(name) {
		return "", fmt.Errorf("${%s}: want ${NAME} or ${NAME:-default}; write $$ for a dollar", reference)
	}
	value, ok := env(name)
	switch {
	case optional && value == "":
		return otherwise, nil
	case !ok:
		return "", fmt.Errorf("the environment variable %s is not set; set it, or write ${%s:-default}",
			name, name)
	}
	return value, nil
}
