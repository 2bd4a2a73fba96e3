package config_test

import (
	"strings"
	"testing"

	"pillarbox/internal/config"
)

// TestWhoMayComeIn: what a list of ways means, and that no mistake in it leaves a source open.
func TestWhoMayComeIn(t *testing.T) {
	load := func(auth string, password string) (*config.Config, error) {
		return config.Load(config.Input{Path: "f", Text: []byte("sources: { app: { auth: " + auth + " } }"),
			Env: func(name string) (string, bool) { return password, name == "PASSWORD" }})
	}
	const password = "0123456789abcdef"
	cfg, err := load(`[{ api_key: true }, { basic: { users: ["a:${PASSWORD}", "a:x${PASSWORD}:"] } }]`, password)
	if err != nil {
		t.Fatal(err)
	}
	auth := cfg.Sources["app"].Auth
	if len(auth) != 2 || !auth[0].APIKey || string(auth[1].Basic.Users[1]) != "a:x"+password+":" {
		t.Errorf("read as %v", auth)
	}
	shown := config.Show(cfg)
	if !strings.Contains(shown, `auth: [{api_key: true}, {basic: {users: ["[redacted]", "[redacted]"]}}] # file f:1:25`) ||
		strings.Contains(shown, password) {
		t.Errorf("shown as %s", shown)
	}
	for _, c := range []struct{ auth, want string }{
		{`[{}]`, "f:1:26: sources.app.auth[0]: lets nobody in"},
		{`[{ api_key: false }]`, "sources.app.auth[0]: lets nobody in"},
		{`[{ basic: {} }]`, "lets nobody in"},
		{`[{ basic: { users: [] } }]`, "lets nobody in"},
		{`[{ api_key: true, basic: { users: ["a:${PASSWORD}"] } }]`, "two ways at once"},
		{`[{ api_key: true }, { api_key: true }]`, "api_key is there twice"},
		{`[{ api_key: yes }]`, "want true or false"},
		{`{ api_key: true }`, "want a list in brackets"},
		{`[api_key]`, "want keys with values"},
		{`[{ jwt: {} }]`, `lets nobody in; want api_key: true`},
		{`[{ jwt: { issuer: "https://i/" } }]`, `sources.app.auth[0].jwt.audience: is not set`},
		{`[{ jwt: { audience: a } }]`, `sources.app.auth[0].jwt.issuer: "": want a URL`},
		{`[{ jwt: { issuer: "http://idp.example.org", audience: a } }]`, `f:1:43: sources.app.auth[0].jwt.issuer: "http://idp.example.org": want https`},
		{`[{ jwt: { issuer: "https://i/", audience: a, jwks_url: "http://i/keys" } }]`, `jwt.jwks_url: "http://i/keys": want https`},
		{`[{ jwt: { issuer: "https://i/", audience: a, algorithms: [HS256] } }]`, `algorithms[0]: "HS256": want one of RS256`},
		{`[{ jwt: { issuer: "https://i/", audience: a, algorithms: [none] } }]`, `algorithms[0]: "none": want one of RS256`},
		{`[{ jwt: { issuer: "https://i/", audience: a, algorithms: [ES256, ES256] } }]`, `ES256 is there twice`},
		{`[{ jwt: { issuer: "https://i/", audience: a, claims: { Tenant: t } } }]`, `"Tenant" is no name of an attribute`},
		{`[{ jwt: { issuer: "https://i/", audience: a, claims: { tenant: "" } } }]`, `claims.tenant: is empty`},
		{`[{ jwt: { issuer: "https://i/", audience: a, claim: x } }]`, `unknown key "claim"; known are issuer, audience`},
		{`[{ jwt: { issuer: "https://i/", audience: a } }, { jwt: { issuer: "https://i/", audience: a } }]`, `auth[1].jwt: tokens of this issuer`},
		{`[{ api_key: true, jwt: { issuer: "https://i/", audience: a } }]`, `two ways at once`},
		{`[{ basic: { users: ["${PASSWORD}"] } }]`, "f:1:45: sources.app.auth[0].basic.users[0]: want a name, a colon and a password"},
		{`[{ basic: { users: [":${PASSWORD}"] } }]`, "want a name"},
		{`[{ basic: { users: ["a:short"] } }]`, "with 5 of at least 16 bytes"},
		{`[{ basic: { users: ["a:${PASSWORD}", "a:${PASSWORD}"] } }]`, "users[1]: the same name and password are there twice"},
		{`[{ basic: { users: ["a:${PASSWORD}"] } }, { basic: { users: ["a:${PASSWORD}"] } }]`, "auth[1].basic.users[0]: the same"},
		{`[{ basic: { users: ["[redacted]"] } }]`, "config show"},
		{`[{ basic: { users: ["a:${PASSWORD}\t"] } }]`, "control characters"},
		{`[{ basic: { users: ["a:${PASSWORD}` + strings.Repeat("x", config.MaxUser) + `"] } }]`, "want at most 384"},
		{`[{ basic: { users: [` + strings.Repeat(`"a${PASSWORD}:${PASSWORD}", `, config.MaxUsers+1) + `] } }]`, "there are 17 users"},
		{`[{ api_key: true }], signature: { scheme: generic, secrets: ["${PASSWORD}"], header: X-Api-Key, algorithm: token }`,
			"credentials are sent in X-Api-Key, and so is the token of the signature"},
	} {
		_, err := load(c.auth, password)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v, want %q", c.auth, err, c.want)
		}
	}
	other, err := load(`[{ api_key: true }, { basic: { users: ["a:${PASSWORD}", "a:x${PASSWORD}:"] } }]`, password+"!")
	if err != nil {
		t.Fatal(err)
	}
	changes := config.Changed(cfg, other)
	if len(changes) != 1 || changes[0] != (config.Change{Key: "sources.app.auth", Reload: true}) {
		t.Errorf("another password is the change %v", changes)
	}
	if changes := config.Changed(cfg, cfg); len(changes) > 0 {
		t.Errorf("changed is %v", changes)
	}
}

// TestTokensOfAnIssuer: what is read, shown and compared of them.
func TestTokensOfAnIssuer(t *testing.T) {
	load := func(more string) *config.Config {
		t.Helper()
		cfg, err := config.Load(config.Input{Path: "f", Text: []byte(`sources: { app: { auth: [{ jwt: { issuer: "https://i/", audience: a` + more + ` } }] } }`),
			Env: func(string) (string, bool) { return "", false }})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	plain, full := load(""), load(`, jwks_url: "http://127.0.0.1:1/keys", algorithms: [ES256, EdDSA], caller: azp, claims: { tenant: "https://i/tenant", role: /r/0 }`)
	way := full.Sources["app"].Auth[0].JWT
	if way.Caller != "azp" || way.Claims["tenant"] != "https://i/tenant" || way.Claims["role"] != "/r/0" || len(way.Algorithms) != 2 {
		t.Errorf("read as %+v", way)
	}
	shown := config.Show(full)
	if want := `auth: [{jwt: {issuer: "https://i/", audience: a, jwks_url: "http://127.0.0.1:1/keys", algorithms: [ES256, EdDSA], caller: azp, claims: {role: /r/0, tenant: "https://i/tenant"}}}]`; !strings.Contains(shown, want) {
		t.Errorf("no %s in\n%s", want, shown)
	}
	again, err := config.Load(config.Input{Path: "g", Text: []byte(shown), Env: func(string) (string, bool) { return "", false }})
	if err != nil || len(config.Changed(full, again)) > 0 {
		t.Errorf("what is shown is read as another configuration: %v", err)
	}
	for name, other := range map[string]*config.Config{"nothing": plain, "a claim": load(`, claims: { tenant: "https://i/tenant" }`)} {
		changes := config.Changed(other, full)
		if len(changes) != 1 || changes[0] != (config.Change{Key: "sources.app.auth", Reload: true}) {
			t.Errorf("from %s: the change is %v", name, changes)
		}
	}
}
