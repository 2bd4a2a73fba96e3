package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/config"
	"pillarbox/internal/preset"
)

// door is a configuration of one source.
func door(text string) string { return "sources: {hook: {" + text + "}}\n" }

// TestPresetsSetWhatIsNotSetByHand, and the configuration says where each value is from.
func TestPresetsSetWhatIsNotSetByHand(t *testing.T) {
	variables := env{"SECRET": "whsec_of-stripe"}
	got := load(t, door(`preset: stripe, signature: {secrets: ['${SECRET}']}`), variables, nil)
	hook := got.Sources["hook"]
	if hook.Signature.Scheme != "stripe" || hook.Response.Status != 200 || hook.Response.Body != "receipt" ||
		hook.Handshake != "none" || fmt.Sprint(hook.Methods) != "[POST]" || got.Verifier("hook").Scheme() != "stripe" {
		t.Errorf("got %+v", hook)
	}
	if origin := got.Origin("sources.hook.signature.scheme"); origin != "preset stripe" || got.IsSet("sources.hook.signature.scheme") {
		t.Errorf("the scheme is from %q", origin)
	}
	got = load(t, door(`preset: slack, handshake: none, response: {status: 202}, signature: {scheme: none}`), nil, nil)
	hook = got.Sources["hook"]
	if hook.Signature.Scheme != "none" || hook.Response.Status != 202 || hook.Response.Body != "" ||
		hook.Handshake != "none" || got.Verifier("hook") != nil {
		t.Errorf("got %+v", hook)
	}
	got = load(t, door(`preset: twilio, signature: {secrets: [a-token], url: 'https://example.org/hook'}, response: {status: 204}`+
		"}, app: {response: {status: 200, body: 'ok'}"), nil, nil)
	if hook := got.Sources["hook"]; hook.Response.Status != 204 || hook.Response.Body != "" || hook.Response.ContentType != "" {
		t.Errorf("got %+v", hook.Response)
	}
	if app := got.Sources["app"].Response; app != (config.Response{Status: 200, Body: "ok", ContentType: "text/plain; charset=utf-8"}) {
		t.Errorf("got %+v", app)
	}
	if plain := load(t, "", nil, nil); plain.Verifier("app") != nil || plain.Sources["app"].Response.Status != 202 {
		t.Errorf("got %+v", plain.Sources["app"])
	}
}

// secretOf is a secret that the scheme of a preset takes.
func secretOf(name string) string {
	switch name {
	case "standard-webhooks":
		return "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	case "stripe":
		return "whsec_of-stripe"
	case "discord":
		return strings.Repeat("0f", 32)
	}
	return "a-secret-of-some-length"
}

// TestEveryPresetIsReadBackAsItIsShown needs nothing but its secrets put in again.
func TestEveryPresetIsReadBackAsItIsShown(t *testing.T) {
	for _, name := range preset.Names() {
		text := "preset: " + name
		if preset.Get(name).Scheme != "" {
			text += ", signature: {secrets: ['" + secretOf(name) + "']"
			if name == "twilio" || name == "square" {
				text += ", url: 'https://example.org/hook'"
			}
			text += "}"
		}
		if name == "meta" {
			text += ", verify_token: '" + secretOf(name) + "'"
		}
		got := load(t, door(text), nil, nil)
		shown := config.Show(got)
		for _, said := range []string{shown, fmt.Sprintf("%v %+v %#v", *got, got.Sources, got.Sources["hook"])} {
			if strings.Contains(said, secretOf(name)) {
				t.Errorf("%s: the secret is shown in %s", name, said)
			}
		}
		if refused := refusal(shown, nil, nil); preset.Get(name).Scheme != "" &&
			!strings.Contains(refused, `"pillarbox config show" puts in the place of a secret`) {
			t.Errorf("%s: what is shown is read back: %s", name, refused)
		}
		again := load(t, strings.ReplaceAll(shown, "[redacted]", secretOf(name)), nil, nil)
		if changes := config.Changed(got, again); len(changes) > 0 {
			t.Errorf("%s: read back, it differs in %v", name, changes)
		}
	}
}

// TestAnotherSecretIsAChange that a reload takes, although secrets are never shown.
func TestAnotherSecretIsAChange(t *testing.T) {
	one := load(t, door(`preset: github, signature: {secrets: [first-secret]}`), nil, nil)
	two := load(t, door(`preset: github, signature: {secrets: [other-secret]}`), nil, nil)
	changes := config.Changed(one, two)
	if len(changes) != 1 || changes[0] != (config.Change{Key: "sources.hook.signature.secrets", Reload: true}) {
		t.Errorf("the changes are %v", changes)
	}
	for _, text := range []string{`preset: github, signature: {secrets: [first-secret, other-secret]}`, `preset: meta, verify_token: v, signature: {secrets: [first-secret]}`,
		`preset: github, signature: {secrets: [first-secret]}, response: {status: 200}, methods: [PUT]`, `path: /hook`} {
		for _, change := range config.Changed(one, load(t, door(text), nil, nil)) {
			if !change.Reload {
				t.Errorf("%s: %s needs a restart", text, change.Key)
			}
		}
	}
}

// TestWhatHasNoEffectAtTheDoorIsRefused, with its place, its key and what to do, and no secret.
func TestWhatHasNoEffectAtTheDoorIsRefused(t *testing.T) {
	const signed = "signature: {secrets: ['${S}'], "
	for _, test := range []struct{ text, want string }{
		{`preset: githib`, `p.yaml:1:26: sources.hook.preset: "githib": want one of cloudevents, discord, github`},
		{`preset: github`, `p.yaml:1:11: sources.hook.signature.secrets: none is set, and github signs: set the secret that was agreed with the sender`},
		{`signature: {scheme: stripe}`, `sources.hook.signature.secrets: none is set, and stripe signs`},
		{`signature: {scheme: hmac}`, `sources.hook.signature.scheme: "hmac": want one of none, discord, generic`},
		{signed + "}", `sources.hook.signature.secrets: has no effect without sources.hook.signature.scheme or a preset`},
		{`signature: {header: X-A}`, `sources.hook.signature.header: has no effect without`},
		{`signature: {on_failure: quarantine}`, `sources.hook.signature.on_failure: has no effect without`},
		{`signature: {tolerance: 1m}`, `sources.hook.signature.tolerance: has no effect without`},
		{`preset: cloudevents, signature: {url: 'https://h/'}`, `sources.hook.signature.url: has no effect without`},
		{signed + "scheme: github, tolerance: 1m}", `sources.hook.signature.tolerance: it has no effect: the scheme signs no time`},
		{signed + "scheme: slack, tolerance: 0s}", `sources.hook.signature.tolerance: want more than zero, and up to 24h`},
		{signed + "scheme: slack, tolerance: 25h}", `sources.hook.signature.tolerance: want a time of up to 24h`},
		{signed + "scheme: slack, url: 'https://h/'}", `sources.hook.signature.url: it has no effect: the scheme does not sign it`},
		{signed + "scheme: slack, header: X-A}", `sources.hook.signature.header: it has no effect: only the scheme generic is described by hand`},
		{signed + "scheme: square}", `sources.hook.signature.url: want the public URL, as the sender has it configured`},
		{signed + "scheme: stripe}", `p.yaml:1:40: sources.hook.signature.secrets[0]: want the signing secret of the endpoint, which begins with whsec_`},
		{signed + "scheme: github, on_failure: accept}", `sources.hook.signature.on_failure: "accept": want one of refuse, quarantine`},
		{signed + "scheme: generic}", `sources.hook.signature.header: want the name of the header where the signature stands`},
		{signed + "scheme: generic, header: X-A, algorithm: token}, headers: {allow: [x-a]}", `sources.hook.headers.allow[0]: "x-a" carries the secret of the source and is never kept`},
		{signed + "scheme: generic, header: X-A, algorithm: hmac-sha256, signed: '${S}{x}'}", `sources.hook.signature.signed: there is no placeholder at character 18`},
		{`signature: {scheme: github, secrets: ['[redacted]']}`, `sources.hook.signature.secrets[0]: is what "pillarbox config show" puts in the place of a secret`},
		{`signature: {scheme: github, secrets: 'a-secret'}`, `sources.hook.signature.secrets: want a list in brackets`},
		{`preset: meta, ` + signed + "}", `sources.hook.verify_token: is not set, and Meta asks for it`},
		{`handshake: meta`, `sources.hook.verify_token: is not set`},
		{`verify_token: '${S}'`, `sources.hook.verify_token: has no effect: only the handshake meta asks for it`},
		{`handshake: meta, verify_token: '[redacted]'`, `sources.hook.verify_token: is what`},
		{`handshake: hello`, `sources.hook.handshake: "hello": want one of none, slack, meta`},
		{`methods: []`, `sources.hook.methods: is empty; want [POST]`},
		{`methods: [POST, HEAD]`, `sources.hook.methods[1]: "HEAD": want one of POST, PUT, PATCH, DELETE, GET`},
		{`methods: [post]`, `sources.hook.methods[0]: "post": want one of POST`},
		{`methods: [PUT, PUT]`, `sources.hook.methods[1]: the method PUT is there twice`},
		{`response: {status: 404}`, `sources.hook.response.status: is 404; want a success: 200`},
		{`response: {status: 206}`, `sources.hook.response.status: is 206; want a success`},
		{`response: {status: 204, body: ok}`, `sources.hook.response.body: an answer of 204 has no body`},
		{`response: {body: '` + strings.Repeat("x", 4097) + `'}`, `sources.hook.response.body: has 4097 bytes; want at most 4096`},
		{`response: {content_type: text/plain}`, `sources.hook.response.content_type: has no effect: there is no body of your own`},
		{`response: {body: '', content_type: text/plain}`, `sources.hook.response.content_type: has no effect`},
		{`response: {body: ok, content_type: "text plain"}`, `sources.hook.response.content_type: "text plain": want a media type`},
		{`response: {body: ok, content_type: "text/plain\r\nX: y"}`, `sources.hook.response.content_type: `},
	} {
		got := refusal(door(test.text), env{"S": "the-secret-c4n4ry"}, nil)
		if !strings.Contains(got, test.want) {
			t.Errorf("%q:\n got %s\nwant %s", test.text, got, test.want)
		}
		if strings.Contains(got, "c4n4ry") {
			t.Errorf("%q: the secret is in %s", test.text, got)
		}
	}
}

func TestDoorsThatCanWork(t *testing.T) {
	for _, text := range []string{
		`signature: {scheme: github, secrets: [a-secret, another-secret]}`,
		`signature: {scheme: github, secrets: [a-secret], tolerance: 5m, on_failure: refuse}`,
		`signature: {scheme: slack, secrets: [a-secret], tolerance: 30s}`,
		`signature: {scheme: generic, secrets: [a-secret], header: X-Sig, algorithm: hmac-sha512, encoding: base64, prefix: "v=", ` +
			`signed: "{id}.{timestamp}.{body}", id_header: X-Id, timestamp_header: X-Time, timestamp_format: unix_ms, tolerance: 1m}`,
		`signature: {scheme: generic, secrets: [a-secret], header: X-Sig, field: h1, algorithm: hmac-sha256, timestamp_field: ts, signed: "{timestamp}:{body}"}`,
		`methods: [POST, PUT, GET]`, `response: {status: 204}`, `response: {status: 200, body: ''}`,
		`response: {status: 201, body: '{}', content_type: application/json}`,
		`handshake: microsoft-graph`, `handshake: meta, verify_token: x`,
	} {
		load(t, door(text), nil, nil)
	}
	got := load(t, door(`signature: {scheme: slack, secrets: [a-secret], tolerance: 30s}`), nil, nil)
	if tolerance := got.Sources["hook"].Signature.Tolerance.Std(); tolerance != 30*time.Second {
		t.Errorf("the tolerance is %v", tolerance)
	}
}

// TestTheExamplesOfTheDocumentCanWork loads the sources in docs/SECURITY.md: each asks for something.
func TestTheExamplesOfTheDocumentCanWork(t *testing.T) {
	content, err := os.ReadFile("../../docs/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(content), "```yaml\n")[1:]
	if len(examples) != 2 {
		t.Fatalf("there are %d examples", len(examples))
	}
	const secret = "a-secret-of-some-length"
	for _, example := range examples {
		text, _, ended := strings.Cut(example, "```")
		if !ended {
			t.Fatal("an example does not end")
		}
		got := load(t, text, env{"SHOP_SECRET": secret, "TWILIO_TOKEN": secret, "META_TOKEN": secret,
			"META_SECRET": secret, "PADDLE": secret, "TILL_PASSWORD": secret}, nil)
		for name, source := range got.Sources {
			if got.Verifier(name) == nil && len(source.Auth) == 0 {
				t.Errorf("%s asks for nothing", name)
			}
		}
	}
}
