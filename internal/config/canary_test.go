package config_test

import (
	"strings"
	"testing"

	"pillarbox/internal/config"
)

// What can have no effect, and what can't work, is said with its place.
func TestTheCanary(t *testing.T) {
	for text, want := range map[string]string{
		"canary: { enabled: true }\n":                                                                                                               "",
		"canary: { enabled: true, every: 1s, timeout: 1h }\n":                                                                                       "",
		"canary: { enabled: true, url: \"https://in.example.com/base\", secret: 0123456789abcdef }\n":                                               "",
		"canary: { every: 30s }\n":                                                                                                                  "canary.every: has no effect",
		"canary: { url: \"https://in.example.com\" }\n":                                                                                             "canary.url: has no effect",
		"canary: { enabled: true, every: 500ms }\n":                                                                                                 "canary.every: is 500ms; want at least 1s",
		"canary: { enabled: true, timeout: 2h }\n":                                                                                                  "canary.timeout: is 2h; want 1s to 1h",
		"canary: { enabled: true, secret: 0123456789abcdef }\n":                                                                                     "canary.secret: has no effect: without canary.url",
		"canary: { enabled: true, url: \"https://in.example.com\", secret: short }\n":                                                               "canary.secret: has 5 of at least 16 bytes",
		"canary: { enabled: true, url: \"in.example.com\" }\n":                                                                                      "canary.url: \"in.example.com\": want http://HOST",
		"canary: { enabled: true, url: \"https://in.example.com/?a=b\" }\n":                                                                         "want http://HOST",
		"canary: { enabled: true }\nlisten: { address: [\":8080\"], proxy_protocol: [\":8080\"] }\ntrusted_proxies: [10.0.0.0/8]\n":                 "canary.enabled: the canary can't post to listeners of the PROXY protocol",
		"destinations: { events: { url: \"sqlite:events.db\", sources: [app], canary: false } }\nsources: { app: {} }\n":                            "destinations.events.canary: has no effect",
		"canary: { enabled: true }\ndestinations: { events: { url: \"sqlite:events.db\", sources: [app], canary: maybe } }\nsources: { app: {} }\n": "want one of auto, true, false",
		"canary: { enabled: true }\ndestinations: { events: { url: \"sqlite:events.db\", sources: [app], canary: false } }\nsources: { app: {} }\n": "",
	} {
		_, err := config.Load(config.Input{Path: "p.yaml", Text: []byte(text)})
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %q", text, err, want)
		case err != nil && strings.Contains(err.Error(), "short"):
			t.Errorf("%q: the error has the secret: %v", text, err)
		}
	}
}
