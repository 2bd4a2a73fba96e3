package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pillarbox/internal/config"
)

// TestNetworksOfASource: each item has an effect, and none of them means less than it says.
func TestNetworksOfASource(t *testing.T) {
	load := func(rest string) (*config.Config, error) {
		return config.Load(config.Input{Path: "f", Text: []byte("sources: { app: { " + rest + " } }"),
			Env: func(string) (string, bool) { return "", false }})
	}
	cfg, err := load(`allow: [203.0.113.0/24, "2001:db8::/32", 192.0.2.7, "::ffff:192.0.2.8"], deny: [203.0.113.7]`)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(config.Prefixes(cfg.Sources["app"].Allow)); got != "[203.0.113.0/24 2001:db8::/32 192.0.2.7/32 192.0.2.8/32]" {
		t.Errorf("allowed are %s", got)
	}
	for _, c := range []struct{ rest, want string }{
		{`allow: [somewhere]`, `f:1:27: sources.app.allow[0]: "somewhere" want a network or an address`},
		{`deny: [203.0.113.7/24]`, "want 203.0.113.0/24 for the network, or 203.0.113.7 alone"},
		{`allow: ["203.0.113.0/33"]`, "want a network"},
		{`allow: ["fe80::1%eth0"]`, "want a network"},
		{`allow: ["::ffff:203.0.113.0/120"]`, "want a network"},
		{`allow: [203.0.113.0/24, 203.0.113.7]`, "allow[1]: \"203.0.113.7\" has no effect: it is within"},
		{`deny: [203.0.113.7, 203.0.113.7/32]`, "deny[1]"},
		{`allow: [203.0.113.0/24], deny: [203.0.0.0/16]`, "allow[0]: \"203.0.113.0/24\" has no effect: deny has all of it"},
		{`deny: [` + strings.Join(slices.Repeat([]string{"203.0.113.7"}, config.MaxAddresses+1), ", ") + `]`, "257 items together; want at most 256"},
	} {
		if _, err := load(c.rest); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.rest, err, c.want)
		}
	}
	other, err := load(`deny: [203.0.113.8]`)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range config.Changed(cfg, other) {
		if !change.Reload {
			t.Errorf("%s needs a restart", change.Key)
		}
	}
}
