package signature_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/signature"
)

// canary is in each wrong secret, so that it is noticed in an error.
const canary = "c4n4ry"

// TestWhatCanNotBeRightIsRefusedWithItsKey has a wrong rule, and the key and words of its error.
func TestWhatCanNotBeRightIsRefusedWithItsKey(t *testing.T) {
	secrets := func(all ...string) []string { return all }
	long := "a-secret-of-some-length"
	hand := func(d signature.Description) signature.Settings {
		d.Header, d.Algorithm = "X-Signature", "hmac-sha256"
		return signature.Settings{Scheme: "generic", Secrets: secrets(long), Description: d}
	}
	token := func(d signature.Description) signature.Settings {
		d.Header, d.Algorithm = "X-Token", "token"
		return signature.Settings{Scheme: "generic", Secrets: secrets(long), Description: d}
	}
	key := func(scheme string, secret string) signature.Settings {
		return signature.Settings{Scheme: scheme, Secrets: secrets(secret), URL: urlOf(scheme)}
	}
	for _, c := range []struct {
		settings  signature.Settings
		key, says string
	}{
		{key("githib", long), "scheme", "want one of discord, generic, github"},
		{signature.Settings{Scheme: "github"}, "secrets", "none is set"},
		{signature.Settings{Scheme: "github", Secrets: slices.Repeat(secrets(long), 9)}, "secrets", "more than 8"},
		{key("github", ""), "secrets", "empty"},
		{key("github", canary+"\n"), "secrets[0]", "at least 8"},
		{key("github", canary+canary+"\n"), "secrets[0]", "line end"},
		{key("meta", canary+"\x00"+canary), "secrets[0]", "control"},
		{signature.Settings{Scheme: "github", Secrets: secrets(long), Tolerance: time.Minute}, "tolerance", "no effect"},
		{signature.Settings{Scheme: "slack", Secrets: secrets(long), Tolerance: 25 * time.Hour}, "tolerance", "24h"},
		{signature.Settings{Scheme: "slack", Secrets: secrets(long), Tolerance: -1}, "tolerance", "24h"},
		{signature.Settings{Scheme: "slack", Secrets: secrets(long), URL: "https://h"}, "url", "no effect"},
		{signature.Settings{Scheme: "square", Secrets: secrets(long)}, "url", "want the public URL"},
		{signature.Settings{Scheme: "twilio", Secrets: secrets(long)}, "url", "want the public URL"},
		{signature.Settings{Scheme: "square", Secrets: secrets(long), URL: "/hooks"}, "url", "https://"},
		{signature.Settings{Scheme: "twilio", Secrets: secrets(long), URL: "https://h/?a=1"}, "url", "without a query"},
		{signature.Settings{Scheme: "twilio", Secrets: secrets(long), URL: "https://u:" + canary + "@h/"}, "url", "password"},
		{signature.Settings{Scheme: "slack", Secrets: secrets(long),
			Description: signature.Description{Field: "X"}}, "field", "only the scheme generic"},
		{key("standard-webhooks", canary), "secrets[0]", "whsec_"},
		{key("standard-webhooks", "whsec_"+canary), "secrets[0]", "base64"},
		{key("standard-webhooks", "whsec_AAAA"), "secrets[0]", "24 to 64 bytes"},
		{key("standard-webhooks", "whsec_"+strings.Repeat("AAAA", 22)), "secrets[0]", "24 to 64 bytes"},
		{key("standard-webhooks", "whsk_"+canary), "secrets[0]", "public"},
		{key("standard-webhooks", "whpk_AAAA"), "secrets[0]", "32 bytes"},
		{signature.Settings{Scheme: "standard-webhooks", Secrets: secrets(standardSecret, canary)}, "secrets[1]", "whsec_"},
		{key("stripe", "sk_live_"+canary), "secrets[0]", "whsec_"},
		{key("slack", "xoxb-"+canary), "secrets[0]", "signing secret"},
		{key("slack", "xapp-"+canary), "secrets[0]", "signing secret"},
		{key("discord", canary), "secrets[0]", "64 hexadecimal"},
		{key("gitlab", canary), "secrets[0]", "at least 16"},
		{key("gitlab", "whsec_"+canary), "secrets[0]", "base64"},
		{key("microsoft-graph", canary), "secrets[0]", "at least 16"},
		{key("microsoft-graph", strings.Repeat(canary, 30)), "secrets[0]", "up to 128"},
		{key("twilio", " "+canary), "secrets[0]", "space"},
		{signature.Settings{Scheme: "generic", Secrets: secrets(long)}, "header", "name of the header"},
		{signature.Settings{Scheme: "generic", Secrets: secrets(long),
			Description: signature.Description{Header: "X", Algorithm: "md5"}}, "algorithm", "hmac-sha256"},
		{signature.Settings{Scheme: "generic", Secrets: secrets(canary),
			Description: signature.Description{Header: "X", Algorithm: "ed25519"}}, "secrets[0]", "public key"},
		{signature.Settings{Scheme: "generic", Secrets: secrets(canary),
			Description: signature.Description{Header: "X", Algorithm: "token"}}, "secrets[0]", "at least 16"},
		{hand(signature.Description{Encoding: "base32"}), "encoding", "base64url"},
		{hand(signature.Description{SecretEncoding: "hex"}), "secrets[0]", "hexadecimal"},
		{hand(signature.Description{SecretEncoding: "base64"}), "secrets[0]", "base64"},
		{hand(signature.Description{SecretEncoding: "rot13"}), "secret_encoding", "text, hex, base64"},
		{hand(signature.Description{Signed: "{id}.{body}"}), "id_header", "want the header"},
		{hand(signature.Description{Signed: "{body}{time}"}), "signed", "placeholder"},
		{hand(signature.Description{Signed: "{body}{"}), "signed", "placeholder"},
		{hand(signature.Description{Signed: "{timestamp}", TimestampHeader: "T"}), "signed", "{body}"},
		{hand(signature.Description{Signed: "{timestamp}{body}"}), "timestamp_header", "for {timestamp}"},
		{hand(signature.Description{TimestampHeader: "T"}), "signed", "set the time"},
		{hand(signature.Description{IDHeader: "I"}), "signed", "set the id"},
		{hand(signature.Description{IDHeader: "I", Signed: "{id}{body}"}), "signed", "around {id}"},
		{hand(signature.Description{IDHeader: "I", Signed: "{body}.{id}"}), "signed", "around {id}"},
		{hand(signature.Description{IDHeader: "I", Signed: "{body}.{id}."}), "signed", "before {id}"},
		{hand(signature.Description{TimestampField: "t", Signed: "{timestamp}{body}"}), "timestamp_field", "field"},
		{hand(signature.Description{TimestampField: "t", TimestampHeader: "T", Field: "v",
			Signed: "{timestamp}{body}"}), "timestamp_header", "not both"},
		{hand(signature.Description{TimestampHeader: "T", TimestampFormat: "days",
			Signed: "{timestamp}{body}"}), "timestamp_format", "unix_ms"},
		{hand(signature.Description{Signed: "{url}{body}"}), "url", "want the public URL"},
		{token(signature.Description{Signed: "{url}{body}"}), "signed", "no effect"},
		{token(signature.Description{TimestampHeader: "T"}), "algorithm", "neither"},
		{token(signature.Description{Field: "T"}), "algorithm", "leave"},
		{token(signature.Description{SecretEncoding: "hex"}), "secret_encoding", "no effect"},
	} {
		_, err := signature.Compile(c.settings)
		var setting *signature.SettingError
		if !errors.As(err, &setting) || !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%+v: %v, want an error of %s", c.settings, err, c.key)
			continue
		}
		if setting.Key != c.key || !strings.Contains(setting.Reason, c.says) {
			t.Errorf("%q, want an error of %s with %q", err, c.key, c.says)
		}
		if strings.Contains(err.Error(), canary) {
			t.Errorf("%q holds the secret", err)
		}
	}
}

func urlOf(scheme string) string {
	if signature.SignsURL(scheme) {
		return "https://example.org/hooks"
	}
	return ""
}

func TestEverySchemeIsTriedByAVector(t *testing.T) {
	tried := map[string]bool{}
	for _, v := range vectors() {
		tried[v.settings.Scheme] = true
		if got := compile(t, v.settings).Scheme(); got != v.settings.Scheme {
			t.Errorf("the scheme is %q, want %q", got, v.settings.Scheme)
		}
		if timed := compile(t, v.settings).Timed(); timed != (v.at != 0) && v.settings.Scheme != "gitlab" {
			t.Errorf("%s: it reads a time: %v", v.name, timed)
		}
	}
	for _, scheme := range signature.Schemes() {
		if !tried[scheme] {
			t.Errorf("no vector is of %s", scheme)
		}
	}
}

// TestOnlyTokensOpenTheDoor says which headers are not to be kept.
func TestOnlyTokensOpenTheDoor(t *testing.T) {
	for _, v := range vectors() {
		verifier := compile(t, v.settings)
		var want []string
		switch {
		case v.settings.Scheme == "gitlab":
			want = []string{"X-Gitlab-Token"}
		case v.settings.Description.Algorithm == "token":
			want = []string{"X-Shared"}
		}
		if !slices.Equal(verifier.Bearers(), want) {
			t.Errorf("%s: bearers are %q, want %q", v.name, verifier.Bearers(), want)
		}
		for _, f := range v.request.Header {
			if f.Name != "Content-Type" && !slices.Contains(verifier.Headers(), f.Name) {
				t.Errorf("%s: %s is not among the headers that are read: %q", v.name, f.Name, verifier.Headers())
			}
		}
	}
}

func TestReasonsHaveNames(t *testing.T) {
	for _, reason := range signature.Reasons() {
		if name := reason.String(); name == "" || name == "unknown" || !strings.HasSuffix(reason.Error(), name) {
			t.Errorf("reason %d has the name %q", reason, name)
		}
	}
	if name := signature.Reason(0).String(); name != "unknown" {
		t.Errorf("no reason has the name %q", name)
	}
}

// TestAHeadWithoutASignatureIsNoticed before the body is read; where it is in the body, nothing is.
func TestAHeadWithoutASignatureIsNoticed(t *testing.T) {
	for _, v := range vectors() {
		verifier := compile(t, v.settings)
		if verifier.Absent(v.request.Header) {
			t.Errorf("%s: the signature is not seen", v.name)
		}
		if absent := verifier.Absent(header("Content-Type", "x")); absent == (v.settings.Scheme == "microsoft-graph") {
			t.Errorf("%s: no signature is noticed: %v", v.name, absent)
		}
	}
}
