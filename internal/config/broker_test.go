package config_test

import (
	"fmt"
	"strings"
	"testing"

	"pillarbox/internal/config"
)

// TestBrokers: every key of them is read, shown without its secrets, and read again.
func TestBrokers(t *testing.T) {
	const text = `
destinations:
  bus:
    url: "nats://a.example,b.example:4223/events.in"
    sources: [app]
    format: cloudevents
    headers: { X-Team: "${ONE}" }
    tls: { enabled: true, ca: ca.pem, cert: cert.pem, key: key.pem }
    key: "json:/a"
    auth: { user: me, mechanism: plain, password: "${TWO}", token: "${THREE}", nkey: "${FOUR}", creds: a.creds }
`
	full := load(t, text, env{"ONE": "sEcReT1", "TWO": "sEcReT2", "THREE": "sEcReT3", "FOUR": "sEcReT4"}, nil)
	d := full.Destinations["bus"]
	if got := fmt.Sprintf("%q %q %q %q", string(d.Headers["X-Team"]), string(d.Auth.Password), string(d.Auth.Token), string(d.Auth.NKey)); got !=
		`"sEcReT1" "sEcReT2" "sEcReT3" "sEcReT4"` || !d.IsBroker() || d.Format != config.FormatCloudEvents {
		t.Errorf("read as %s", got)
	}
	shown := config.Show(full)
	if strings.Contains(shown, "sEcReT") || strings.Contains(fmt.Sprintf("%+v %#v", d, d), "sEcReT") {
		t.Errorf("secrets are shown:\n%s", shown)
	}
	for _, want := range []string{"creds:", "enabled: true", "format: cloudevents"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%s is not shown:\n%s", want, shown)
		}
	}
	for _, change := range config.Changed(full, load(t, strings.Replace(text, "b.example", "c.example", 1), env{"ONE": "x", "TWO": "sEcReT2",
		"THREE": "sEcReT3", "FOUR": "sEcReT4"}, nil)) {
		if change.Reload {
			t.Errorf("a reload takes %s, and the engine does not", change.Key)
		}
	}
}

// TestWhatOnlyBrokersHaveIsRefusedElsewhere, and what only webhooks have on a broker.
func TestWhatOnlyBrokersHaveIsRefusedElsewhere(t *testing.T) {
	for _, c := range []struct{ url, text, want string }{
		{"sqlite:", "format: event", "destinations.d.format: has no effect: only a broker"},
		{"https://h.example/", "key: source", "destinations.d.key: has no effect: only a broker"},
		{"https://h.example/", "auth: {user: a}", "destinations.d.auth.user: has no effect: only a broker"},
		{"https://h.example/", "tls: {enabled: true}", "destinations.d.tls.enabled: has no effect"},
		{"nats://h.example/a", "send: event", "destinations.d.send: has no effect: only a webhook"},
		{"nats://h.example/a", "rate: 5", "destinations.d.rate: has no effect: only a webhook"},
		{"nats://h.example/a", "format: xml", "destinations.d.format: \"xml\": want one of event, cloudevents"},
		{"nats://h.example/a", "auth: {password: '[redacted]'}", "destinations.d.auth.password: is what"},
		{"nats://h.example/a", "headers: {A: '[redacted]'}", "destinations.d.headers.A: is what"},
	} {
		if got := refusal("destinations: {d: {url: '"+c.url+"', sources: [app], "+c.text+"}}", nil, nil); !strings.Contains(got, c.want) {
			t.Errorf("%s of %s: %s, want %s", c.text, c.url, got, c.want)
		}
	}
}
