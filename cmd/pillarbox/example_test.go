package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pillarbox/internal/config"
	"pillarbox/internal/engine/catalog"
)

// TestExampleNamesTheEnginesOfThisBuild, all of them and no others, each in a form that can be
// copied.
func TestExampleNamesTheEnginesOfThisBuild(t *testing.T) {
	urlForm := regexp.MustCompile(`\b[a-z0-9+]+:(//[^\s,;]+|[a-z.-]+)?`)
	checks := map[string]func(url string) error{
		"queue": catalog.CheckQueue,
		"destinations": func(url string) error {
			return catalog.CheckSinks(map[string]string{"events": url})
		},
		"dead_letters": catalog.CheckDeadLetters,
		"bodies":       catalog.CheckBodies,
		"api_keys":     catalog.CheckAPIKeys,
	}
	placeholders := strings.NewReplacer("ACCOUNT", "123456789012", "REGION", "eu-west-2", "NAME",
		"events",
		"TABLE", "events", "BUCKET", "some-bucket", "PREFIX", "some", "OBJECT", "api-keys.json")
	section, named := "", map[string][]string{}
	engines := false // in the sentence that names them
	for line := range strings.Lines(config.Example()) {
		if name, _, found := strings.Cut(line, ":"); found && name != "" &&
			!strings.ContainsAny(name, " #") {
			section = name
		}
		comment, found := strings.CutPrefix(strings.TrimSpace(line), "# ")
		if engines = engines || strings.HasPrefix(comment, "The engine: ") || strings.HasPrefix(comment, "s3://"); !found || !engines {
			continue
		}
		engines = strings.HasSuffix(comment, "or") || strings.HasSuffix(comment, ",") // the list goes on
		for _, url := range urlForm.FindAllString(strings.TrimPrefix(comment, "The engine: "), -1) {
			scheme, _, _ := strings.Cut(url, ":")
			named[section] = append(named[section], scheme)
			if err := checks[section](placeholders.Replace(url)); err != nil {
				t.Errorf("%s: the example names %s: %v", section, url, err)
			}
		}
	}
	for section, check := range checks {
		err := check("nothing:")
		if err == nil || len(named[section]) == 0 {
			t.Fatalf("%s: %v is named, and nothing: is %v", section, named[section], err)
		}
		_, possible, _ := strings.Cut(err.Error(), "possible here: ")
		for _, scheme := range regexp.MustCompile(`[a-z0-9+]+:`).FindAllString(possible, -1) {
			if !slices.Contains(named[section], strings.TrimSuffix(scheme, ":")) {
				t.Errorf("%s: the example does not name %s", section, scheme)
			}
		}
	}
}

// TestNothingNamesWhatIsNotThere: what an example or a help text names can be used.
func TestNothingNamesWhatIsNotThere(t *testing.T) {
	var texts strings.Builder
	texts.WriteString(config.Example() + config.ExampleAWS())
	root := newRootCommand()
	for _, command := range root.Commands() {
		texts.WriteString(command.Long + command.Short + command.Example + command.Flags().FlagUsages())
	}
	for _, engine := range []string{"kinesis", "decoding"} {
		if strings.Contains(strings.ToLower(texts.String()), engine) {
			t.Errorf("%s is named, and this build has none", engine)
		}
	}
}
