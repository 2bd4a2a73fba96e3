package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ServerEnv names the server that commands talk to, as the flag --server does. It is no part of the
// configuration.
const ServerEnv = envPrefix + "SERVER"

// foreign matches variables that have our prefix and are not meant for us: what tests read, and
// what Kubernetes sets for a service that is called pillarbox, or something longer.
var foreign = regexp.MustCompile(`^PILLARBOX_(TEST_.*|(.*_)?SERVICE_HOST|(.*_)?SERVICE_PORT(_.*)?|(.*_)?PORT(_[0-9]+_(TCP|UDP|SCTP).*)?)$`)

// UnknownVariables returns a sentence for each environment variable that has our prefix, sets
// nothing, and is not asked for by the file: it may be misspelled, and what was meant is not in
// force.
func (c *Config) UnknownVariables() []string { return slices.Clone(c.unknowns) }

// noteEnv returns the names of the variables that were looked up so far, at the time of asking.
func (l *loader) noteEnv() map[string]bool {
	asked, env := map[string]bool{}, l.env
	l.env = func(name string) (string, bool) {
		asked[name] = true
		return env(name)
	}
	return asked
}

func unknowns(environ []string, asked map[string]bool) []string {
	known := []string{ServerEnv}
	for _, key := range Keys() {
		known = append(known, EnvName(key))
	}
	var found []string
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, envPrefix) || asked[name] || name == ServerEnv ||
			foreign.MatchString(name) {
			continue
		}
		sentence := "the environment variable " + name + " sets nothing"
		if nearest := Nearest(name, known); nearest != "" {
			sentence += fmt.Sprintf("; is %s meant?", nearest)
		}
		found = append(found, sentence)
	}
	slices.Sort(found)
	return found
}
