package sourceconfig_test

import (
	"strings"
	"testing"

	"pillarbox/internal/config"
	"pillarbox/internal/sourceconfig"
)

// TestWhatHasNoEffectOnAWSIsRefused, with its place and what to do, and everything else is not.
func TestWhatHasNoEffectOnAWSIsRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"sources: { app: {} }", ""},
		{"idempotency: { window: 1h }\nsources: { app: { path: \"/t/{tenant}/*\", max_body: 4MiB } }", ""},
		{"sources: { app: { preset: github, signature: { secrets: [\"0123456789abcdef\"] }, cors: { origins: [\"*\"] } } }", ""},
		{"sources: { app: { auth: [{ api_key: true }, { jwt: { issuer: \"https://a.example\", audience: x } }] } }", ""},
		{"sources: { app: { rate: { per_second: 5 } } }", "file:1:25: sources.app.rate: has no effect on AWS"},
		{"sources: { app: { rate: [{ per_second: 5, by: address }] } }", "throttle_per_second and throttle_burst"},
		{"tls: { client_ca: ca.pem, certificates: [{ cert: a, key: b }] }\nsources: { app: { auth: [{ client_cert: { names: [\"*\"] } }] } }",
			"sources.app.auth[0].client_cert: can't be met on AWS: TLS ends at API Gateway"},
		{"sources: { app: { preset: github, signature: { secrets: [\"0123456789abcdef\"], on_failure: quarantine } } }",
			"sources.app.signature.on_failure: has no effect on AWS: a function has no disk"},
		{"sources: { app: { path: / } }", "file:1:25: sources.app.path: can't be reached on AWS"},
		{"sources: { app: { max_body: 5MiB } }", "sources.app.max_body: is 5MiB, and API Gateway can hand 4MiB to a function at most"},
		{"trusted_proxies: [10.0.0.0/8]", "file:1:18: trusted_proxies: has no effect on AWS"},
		{"http: { rate: { per_second: 5 } }", "http.rate.per_second: has no effect on AWS"},
		{"idempotency: { max_keys: 5 }", "idempotency.max_keys: has no effect on AWS"},
		{"destinations: { events: { url: \"sqlite:\", sources: [app] } }", "destinations.events.url: has no effect on AWS"},
		{"log: { level: debug }", "leave it out, and choose the rest with variables of the stack"},
	} {
		cfg, err := config.Load(config.Input{Path: "file", Text: []byte(c.text),
			Env: func(string) (string, bool) { return "", false }})
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		switch err := sourceconfig.CheckFunction(cfg); {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.text, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}
