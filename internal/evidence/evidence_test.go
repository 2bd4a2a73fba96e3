package evidence_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pillarbox/internal/evidence"
)

// carriers are names as requests have them, data the ones that look alike.
var (
	carriers = []string{
		"Authorization", "Proxy-Authorization", "X-Forwarded-Authorization", "Cookie", "cookie", "Set-Cookie",
		"Api_Key", "X-Api-Key", "X-Auth", "X-Auth-Token", "Ocp-Apim-Subscription-Key", "Cf-Access-Jwt-Assertion", "DPoP",
		"X-Gitlab-Token", "X-Functions-Key", "X-Goog-Api-Key", "X-Mbx-Apikey", "X-Amz-Security-Token",
		"X-Telegram-Bot-Api-Secret-Token", "X-Vault-Token", "X-Csrf-Token", "Private-Token", "X-Webhook-Secret",
		"accessToken", "access_token", "ACCESS-TOKEN", "private_token", "jwt", "user[token]", "token[]", "token[0]", "a.password",
		"apiKey", "apikey", "api_keys", "client_secret", "clientSecret", "password", "password2", "new_password", "pwd",
		"X-Access-Key", "aws_secret_access_key", "PHPSESSID", "JSESSIONID", "ASP.NET_SessionId", "code_verifier",
		"client_assertion", "SAMLResponse", "auth", "AUTH", "X-Token", "token1", "X-Honeycomb-Team", "refreshtoken", "ToKeN",
	}
	data = []string{
		"", "x", "---", "X-Hub-Signature-256", "Stripe-Signature", "X-Twilio-Signature", "webhook-signature", "X-Slack-Signature",
		"X-Shopify-Hmac-Sha256", "X-Signature-Ed25519", "X-Square-Hmacsha256-Signature", "sig", "hmac", "X-Amz-Signature",
		"Idempotency-Key", "webhook-id", "X-Token-Count", "X-Session-Start", "session", "session_id", "key", "keyboard", "code",
		"Content-Type", "User-Agent", "X-GitHub-Delivery", "page_token", "nextPageToken", "X-Continuation-Token", "device_token",
		"token_type", "password_changed_at", "secretary", "tokenizer", "aws_access_key_id", "X-Authenticated-User", "author",
		"pin", "pass", "passport", "cookies_accepted", "X-Amz-Credential", "monkey", "public_key", "foreign_key", "X-Key",
	}
)

func TestNames(t *testing.T) {
	for _, name := range carriers {
		if !evidence.IsSecret(name) {
			t.Errorf("%s is no secret", name)
		}
	}
	for _, name := range data {
		if evidence.IsSecret(name) {
			t.Errorf("%s is a secret", name)
		}
	}
	for encoded, want := range map[string]bool{"user%5Btoken%5D": true, "%74oken": true,
		"%zztoken": false,
		"to%6ben":  true, "token%5Fcount": false, "a+token": true} {
		if evidence.IsSecretParameter(encoded) != want {
			t.Errorf("%s: %v", encoded, !want)
		}
	}
}

// docs/SECURITY.md has the lists as they are here.
func TestListsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]string{evidence.Names, evidence.Endings, evidence.Data} {
		if line := "`" + strings.Join(list, "`, `") + "`"; !strings.Contains(string(text), line) {
			t.Errorf("docs/SECURITY.md does not say\n%s", line)
		}
		for i, name := range list {
			if slices.Contains(list[:i], name) {
				t.Errorf("%s stands in its list twice", name)
			}
		}
	}
}

func ExampleIsSecret() {
	fmt.Println(evidence.IsSecret("X-Gitlab-Token"), evidence.IsSecret("X-Token-Count"),
		evidence.IsSecret("X-Hub-Signature-256"))
	// Output: true false false
}
