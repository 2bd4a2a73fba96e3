package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pillarbox/internal/config"
)

// TestWebhooks have defaults of their own, and every key of them is read, shown and read again.
func TestWebhooks(t *testing.T) {
	plain := load(t, "destinations: {hook: {url: 'https://hook.example/in', sources: [app]}}", nil, nil).Destinations["hook"]
	if plain.Send != config.SendEvent || plain.Concurrency != 16 || plain.AllowPrivate || !plain.IsWebhook() {
		t.Errorf("the defaults are %+v", plain)
	}
	batches := load(t, "destinations: {hook: {url: 'https://hook.example/in', sources: [app], send: ndjson}}", nil, nil).Destinations["hook"]
	if batches.Concurrency != 0 {
		t.Errorf("with a request for a batch: %+v", batches)
	}
	const text = `
destinations:
  hook:
    url: "https://hook.example/in"
    sources: [app]
    send: body
    signing_secrets: ["${ONE}", "file:two"]
    allow_private: true
    concurrency: 64
    rate: 100
    headers: { Authorization: "Bearer ${TOKEN}", "X-%": b }
    oauth2: { token_url: "https://t.example/", client_id: id, client_secret: "${THREE}", scopes: [a, b] }
    proxy: { url: "http://proxy.example:3128", user: me, password: "${FOUR}" }
    tls: { ca: ca.pem, cert: cert.pem, key: key.pem }
`
	secrets := env{"ONE": "sEcReT1", "TOKEN": "sEcReT2", "THREE": "sEcReT3", "FOUR": "sEcReT4"}
	full := load(t, text, secrets, nil)
	hook := full.Destinations["hook"]
	if got := fmt.Sprintf("%q %q %q %q", string(hook.SigningSecrets[0]), string(hook.Headers["Authorization"]), string(hook.OAuth2.ClientSecret),
		string(hook.Proxy.Password)); got != `"sEcReT1" "Bearer sEcReT2" "sEcReT3" "sEcReT4"` {
		t.Errorf("the secrets are %s", got)
	}
	shown := config.Show(full)
	if strings.Contains(shown, "sEcReT") || strings.Contains(fmt.Sprintf("%+v %#v", hook, hook), "sEcReT") {
		t.Errorf("secrets are shown:\n%s", shown)
	}
	for i := 1; strings.Contains(shown, "[redacted]"); i++ {
		shown = strings.Replace(shown, "[redacted]", fmt.Sprint("again-", i), 1)
	}
	var keys []string
	for _, change := range config.Changed(full, load(t, shown, nil, nil)) {
		if keys = append(keys, change.Key); change.Reload {
			t.Errorf("a reload takes %s, and the engine does not", change.Key)
		}
	}
	want := []string{"destinations.hook.headers.Authorization", "destinations.hook.headers.X-%", "destinations.hook.oauth2.client_secret",
		"destinations.hook.proxy.password", "destinations.hook.signing_secrets"}
	if !slices.Equal(keys, want) {
		t.Errorf("read back, it differs in %v, want %v", keys, want)
	}
	short := load(t, "destinations: {hook: {url: 'https://h.example/', sources: [app], proxy: 'http://p.example:3128'}}", nil, nil).Destinations["hook"]
	if short.Proxy.URL != "http://p.example:3128" {
		t.Errorf("the proxy is %+v", short.Proxy)
	}
}

// TestAHeaderMoreNeedsARestart as one that is changed or gone does: the engine is open.
func TestAHeaderMoreNeedsARestart(t *testing.T) {
	with := func(headers string) *config.Config {
		return load(t, "destinations: {hook: {url: 'https://hook.example/in', sources: [app], headers: {"+headers+"}}}", nil, nil)
	}
	for _, c := range []struct{ before, after, key string }{
		{"A: x", "A: x, B: y", "destinations.hook.headers.B"}, {"A: x, B: y", "A: x", "destinations.hook.headers.B"},
		{"A: x", "A: y", "destinations.hook.headers.A"},
	} {
		want := []config.Change{{Key: c.key, Reload: false}}
		if got := config.Changed(with(c.before), with(c.after)); !slices.Equal(got, want) {
			t.Errorf("%s to %s: %v", c.before, c.after, got)
		}
	}
}

// TestWhatOnlyWebhooksHaveIsRefusedElsewhere, and what can't have an effect on this one.
func TestWhatOnlyWebhooksHaveIsRefusedElsewhere(t *testing.T) {
	for text, want := range map[string]string{
		"signing_secrets: [x]": "signing_secrets", "allow_private: true": "allow_private", "send: event": "send", "concurrency: 16": "concurrency",
		"rate: 1": "rate", "headers: {A: b}": "headers", "oauth2: {client_id: a}": "oauth2", "proxy: 'http://p'": "proxy", "tls: {ca: a}": "tls",
	} {
		for _, url := range []string{"sqlite:", "postgres://u@h/d", "dynamodb://eu-west-2/t"} {
			got := refusal("destinations:\n  d:\n    url: '"+url+"'\n    sources: [app]\n    "+text+"\n", nil, nil)
			if !strings.Contains(got, "p.yaml:5:") || !strings.Contains(got, "destinations.d."+want) ||
				!strings.Contains(got, "has no effect: only a webhook") {
				t.Errorf("%s of %s: %s", text, url, got)
			}
		}
	}
	for text, want := range map[string]string{
		"send: xml": "send: \"xml\": want one of event, ndjson, array, body", "send: array, concurrency: 4": "has no effect with send: array",
		"concurrency: 2000": "want 1 to 1024", "rate: -1": "want 0 to 1000000",
		"headers: {A: '[redacted]'}": "headers.A: is what", "signing_secrets: ['[redacted]']": "signing_secrets[0]: is what",
		"oauth2: {client_secret: '[redacted]'}": "oauth2.client_secret: is what", "proxy: {password: '[redacted]'}": "proxy.password: is what",
	} {
		if got := refusal("destinations: {d: {url: 'https://h.example/', sources: [app], "+text+"}}", nil, nil); !strings.Contains(got, want) ||
			!strings.Contains(got, "p.yaml:1:") {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
