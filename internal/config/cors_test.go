package config_test

import (
	"strings"
	"testing"

	"pillarbox/internal/config"
)

func TestOriginsOfPages(t *testing.T) {
	load := func(cors string) (*config.Config, error) {
		return config.Load(config.Input{Path: "f", Text: []byte("sources: { app: { cors: " + cors + " } }"),
			Env: func(string) (string, bool) { return "", false }})
	}
	for _, good := range []string{`{ origins: ["https://example.org", "http://localhost:3000"], credentials: true }`, `{ origins: ["*"] }`,
		`{ origins: ["https://[::1]:8443"] }`, `{ origins: [] }`} {
		if _, err := load(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for cors, want := range map[string]string{
		`{ origins: ["https://example.org/"] }`:           "f:1:37: sources.app.cors.origins[0]: \"https://example.org/\": want an origin",
		`{ origins: ["https://Example.org"] }`:            "want an origin as browsers send it",
		`{ origins: ["example.org"] }`:                    "want an origin",
		`{ origins: ["https://*.example.org"] }`:          "want an origin",
		`{ origins: ["null"] }`:                           "want an origin",
		`{ origins: ["https://*.example.org/a"] }`:        "want an origin",
		`{ origins: ["https://example.org:443"] }`:        "leave out the usual port",
		`{ origins: ["https://a.org", "https://a.org"] }`: "origins[1]: the origin is there twice",
		`{ origins: ["*", "https://a.org"] }`:             "leave the others out",
		`{ origins: ["*"], credentials: true }`:           "no browser sends credentials",
		`{ credentials: true }`:                           "has no effect without sources.app.cors.origins",
		`["https://a.org"]`:                               "want keys with values",
	} {
		if _, err := load(cors); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", cors, err, want)
		}
	}
}
