package source

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

func TestSignaturesAreDataAndSecretsAreNot(t *testing.T) {
	app := New(Settings{Name: "app"}, Options{})
	var header, want pillarbox.Header
	for _, name := range []string{"X-Hub-Signature-256", "Stripe-Signature", "X-Twilio-Signature",
		"X-Shopify-Hmac-Sha256", "Webhook-Signature", "X-Slack-Signature", "Idempotency-Key", "X-Token-Count", "X-Session-Start"} {
		header = append(header, pillarbox.HeaderField{Name: name, Value: "1"})
	}
	want = slices.Clone(header)
	for _, name := range []string{"Authorization", "Api_key", "X-Auth", "Ocp-Apim-Subscription-Key",
		"Cf-Access-Jwt-Assertion", "Dpop", "Cookie", "X-Gitlab-Token"} {
		header = append(header, pillarbox.HeaderField{Name: name, Value: "s3cret"})
	}
	if got := app.Keep(nil, header, nil); !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
	if got := app.Removed(telemetry.RemovedHeader); got != 8 {
		t.Errorf("%d headers are counted, want 8", got)
	}
}

func TestSecretsInQueriesAreReplaced(t *testing.T) {
	for _, c := range []struct {
		sent, want string
		removed    uint64
	}{
		{"key=temperature&session=42", "key=temperature&session=42", 0},
		{"sig=a&X-Amz-Signature=b&hmac=c", "sig=a&X-Amz-Signature=b&hmac=c", 0},
		{"a=1&accessToken=s&b=2", "a=1&accessToken=REDACTED&b=2", 1},
		{"private_token=s;jwt=t", "private_token=REDACTED;jwt=REDACTED", 2},
		{"user%5Btoken%5D=s&user[token]=t", "user%5Btoken%5D=REDACTED&user[token]=REDACTED", 2},
		{"token=&token&=x", "token=&token&=x", 0},
		{"n=M\xfcn&token=\xff", "n=M\xfcn&token=REDACTED", 1},
		{"token=a=b&token=c", "token=REDACTED&token=REDACTED", 2},
	} {
		app := New(Settings{Name: "app"}, Options{})
		if got := app.KeepQuery(c.sent, nil); got != c.want {
			t.Errorf("%q is kept as %q, want %q", c.sent, got, c.want)
		}
		if got := app.Removed(telemetry.RemovedParameter); got != c.removed {
			t.Errorf("%q: %d are counted, want %d", c.sent, got, c.removed)
		}
	}
}

func TestURLsInHeadersAreKeptWithoutSecrets(t *testing.T) {
	for sent, want := range map[string]string{
		"https://example.org/a?b=1#c":              "https://example.org/a?b=1#c",
		"https://u:p@example.org/a?token=s&b=1#c":  "https://REDACTED@example.org/a?token=REDACTED&b=1#c",
		"//u@example.org":                          "//REDACTED@example.org",
		"/a?b=x@y":                                 "/a?b=x@y",
		"https://example.org/@me?x=//a@b":          "https://example.org/@me?x=//a@b",
		"https://example.org/#access_token=s&b":    "https://example.org/#access_token=REDACTED&b",
		"https://u:p@q@example.org/?jwt=1;c=\xfc":  "https://REDACTED@example.org/?jwt=REDACTED;c=\xfc",
		"https://REDACTED@h/?token=REDACTED":       "https://REDACTED@h/?token=REDACTED",
		"no URL at all":                            "no URL at all",
		"https://example.org?a=1?token=2&token=3?": "https://example.org?a=1?token=2&token=REDACTED",
	} {
		app := New(Settings{Name: "app"}, Options{})
		got := app.Keep(nil, pillarbox.Header{{Name: "Referer", Value: sent}}, nil)
		if got[0].Value != want {
			t.Errorf("%q is kept as %q, want %q", sent, got[0].Value, want)
		}
		if counted := app.Removed(telemetry.RemovedInURL); counted > 1 ||
			(counted == 1) == (sent == want) {
			t.Errorf("%q: %d are counted", sent, counted)
		}
	}
}

func TestRemovalIsToldOnceForEachName(t *testing.T) {
	var log bytes.Buffer
	app := New(Settings{Name: "app", Headers: HeaderPolicy{Deny: []string{"x-not-wanted"}}},
		Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 {
		app.Keep(nil, pillarbox.Header{{Name: "Authorization", Value: "s3cret"},
			{Name: "Host", Value: "h"}, {Name: "X-Not-Wanted", Value: "1"}, {Name: "Origin",
				Value: "http://s3cret@h"}}, nil)
		app.KeepQuery("token=s3cret", nil)
	}
	for i := range 3 * maxLearned {
		app.KeepQuery(fmt.Sprintf("token_%d=s3cret&%s%d_token=s3cret", i,
			strings.Repeat("x", maxLearnedName), i), nil)
	}
	text := log.String()
	if strings.Contains(text, "s3cret") {
		t.Error("the log holds a secret")
	}
	for _, name := range []string{"name=Authorization", "name=Origin", "name=token "} {
		if strings.Count(text, name) != 1 {
			t.Errorf("the log has %q %d times", name, strings.Count(text, name))
		}
	}
	if lines := strings.Count(text, "\n"); lines > maxLearned {
		t.Errorf("the log has %d lines", lines)
	}
	for what, want := range map[telemetry.Removal]uint64{telemetry.RemovedHeader: 3,
		telemetry.RemovedByRule: 3, telemetry.RemovedInURL: 3, telemetry.RemovedParameter: 3 + 6*maxLearned} {
		if got := app.Removed(what); got != want {
			t.Errorf("%s: %d are counted, want %d", what, got, want)
		}
	}
}

func TestNamesAreLearnedWithinBounds(t *testing.T) {
	k := newKeeper(Settings{Name: "app", Headers: HeaderPolicy{Deny: []string{"X-Denied"}}}, Options{})
	for i := range 10 * maxLearned {
		if k.fateOf(fmt.Sprintf("X-%d", i)) != kept ||
			k.fateOf(fmt.Sprintf("X-%d-Token", i)) != asSecret {
			t.Fatalf("wrong about name %d", i)
		}
	}
	k.fateOf(strings.Repeat("x", 10*maxLearnedName))
	learned := *k.headers.byName.Load()
	if len(learned) > maxLearned {
		t.Errorf("%d names are learned", len(learned))
	}
	for name := range learned {
		if len(name) > maxLearnedName {
			t.Errorf("a name of %d bytes is learned", len(name))
		}
	}
	for _, name := range append(slices.Clone(commonHeaders), "X-Denied", "x-denied", "X-1", "COOKIE",
		"cookie") {
		if k.fateOf(name) != k.decide(name) {
			t.Errorf("%s is remembered wrongly", name)
		}
	}
}
