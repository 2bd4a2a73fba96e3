package signature_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/signature"
)

// vector is a request that its sender's documents, or the tests of its libraries, say is genuine.
type vector struct {
	name     string
	settings signature.Settings
	request  signature.Request
	at       int64 // Unix time of the signature; 0 where none is signed
	id       string
}

const slackBody = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&" +
	"channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&" +
	"command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2F" +
	"T1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&" +
	"trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"

const twilioForm = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"

func header(pairs ...string) (h pillarbox.Header) {
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, pillarbox.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return h
}

func standardHeader(signature string) pillarbox.Header {
	return header("Content-Type", "application/json", "Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek",
		"Webhook-Timestamp", "1614265330", "Webhook-Signature", signature)
}

// publicKey is of the private key in the tests of the Go library of Standard Webhooks.
func publicKey() string {
	seed, err := base64.StdEncoding.DecodeString("VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=")
	if err != nil {
		panic(err)
	}
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	return "whpk_" + base64.StdEncoding.EncodeToString(public)
}

const (
	standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	standardMAC    = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	standardKey    = "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag=="
	standardBody   = `{"test": 2432232314}`
	standardID     = "msg_p5jXN8AQM9LWM0D4loKWxJek"
)

// vectors are published ones, except those of Stripe, Meta and Discord, and the one of Twilio with
// SHA-256, whose documents have none: they are made with openssl, by the documents.
func vectors() []vector {
	twilioBody := `{"property": "value", "boolean": true}`
	twilioDigest := "bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
	twilio := func(url string) signature.Settings {
		return signature.Settings{Scheme: "twilio", Secrets: []string{"12345"}, URL: url, Path: "/myapp.php"}
	}
	call := func(query, contentType, body string, pairs ...string) signature.Request {
		return signature.Request{Method: "POST", Path: "/myapp.php", Query: query,
			Header: header(append(pairs, "Content-Type", contentType)...), Body: []byte(body)}
	}
	const form = "application/x-www-form-urlencoded; charset=UTF-8"
	return []vector{
		{"standard webhooks", signature.Settings{Scheme: "standard-webhooks", Secrets: []string{standardSecret}},
			signature.Request{Header: standardHeader(standardMAC), Body: []byte(standardBody)}, 1614265330, standardID},
		{"standard webhooks, as Svix sends them",
			signature.Settings{Scheme: "standard-webhooks", Secrets: []string{standardSecret}},
			signature.Request{Header: header("Svix-Id", standardID, "Svix-Timestamp", "1614265330",
				"Svix-Signature", standardMAC), Body: []byte(standardBody)}, 1614265330, standardID},
		{"standard webhooks with a key", signature.Settings{Scheme: "standard-webhooks", Secrets: []string{publicKey()}},
			signature.Request{Header: standardHeader(standardKey), Body: []byte(standardBody)}, 1614265330, standardID},
		{"standard webhooks with both, and several signatures", signature.Settings{Scheme: "standard-webhooks",
			Secrets: []string{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", publicKey()}},
			signature.Request{Header: standardHeader("v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= " +
				"v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= " + standardMAC + " " + standardKey),
				Body: []byte(standardBody)}, 1614265330, standardID},
		{"github", signature.Settings{Scheme: "github", Secrets: []string{"It's a Secret to Everybody"}},
			signature.Request{Header: header("X-Hub-Signature-256",
				"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
				Body: []byte("Hello, World!")}, 0, ""},
		{"meta", signature.Settings{Scheme: "meta", Secrets: []string{"0123456789abcdef0123456789abcdef"}},
			signature.Request{Header: header("X-Hub-Signature-256",
				"sha256=7cbc46b042d7e131c845c3f08d7028636dc75bdd529a85bfd25451ef6fc04d04"),
				Body: []byte(`{"object":"page","entry":[]}`)}, 0, ""},
		{"stripe", signature.Settings{Scheme: "stripe", Secrets: []string{"whsec_test_secret"}},
			signature.Request{Header: header("Stripe-Signature", "t=1492774577,"+
				"v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd,"+
				"v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39,"+
				"v1=66d86a97ac5620300b0335877ac036f6d74f84ea2e1df371bd45689d0090f9b7"),
				Body: []byte(`{"id": "evt_test_webhook","object": "event"}`)}, 1492774577, ""},
		{"slack", signature.Settings{Scheme: "slack", Secrets: []string{"8f742231b10e8888abcd99yyyzzz85a5"}},
			signature.Request{Header: header("X-Slack-Request-Timestamp", "1531420618", "X-Slack-Signature",
				"v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
				Body: []byte(slackBody)}, 1531420618, ""},
		{"shopify", signature.Settings{Scheme: "shopify", Secrets: []string{"test-webhook-secret"}},
			signature.Request{Header: header("X-Shopify-Hmac-Sha256", "QNyObTlKbMx2qDlPF/ZOZcBqg5OgPg+2oky3zldc0Gw="),
				Body: []byte(`{"id":1234567890,"email":"customer@example.com","total_price":"123.45"}`)}, 0, ""},
		{"square", signature.Settings{Scheme: "square", Secrets: []string{"asdf1234"},
			URL: "https://example.com/webhook", Path: "/hooks/square"},
			signature.Request{Path: "/hooks/square", Header: header("X-Square-Hmacsha256-Signature",
				"2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og="), Body: []byte(`{"hello":"world"}`)}, 0, ""},
		{"discord", signature.Settings{Scheme: "discord",
			Secrets: []string{"bf97d7c47874ebbb46b1b21511d6344b5e2478c189d6aee8e854112825087d0d"}},
			signature.Request{Header: header("X-Signature-Timestamp", "1609459200", "X-Signature-Ed25519",
				"2d0877e36f52310500229ecae88941e6250dfa265fe3e330e83d722a54b7be07"+
					"980fc4f4192e1cbcb93909afe0fa1e58f19b34246130ae85d70c231a3600e802"),
				Body: []byte(`{"type":1}`)}, 1609459200, ""},
		{"twilio", twilio("https://mycompany.com/myapp.php"), call("foo=1&bar=2", form, twilioForm,
			"X-Twilio-Signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8="), 0, ""},
		{"twilio, signed without the port", twilio("https://mycompany.com:1234/myapp.php"),
			call("foo=1&bar=2", form, twilioForm, "X-Twilio-Signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8="), 0, ""},
		{"twilio, signed with the port", twilio("https://mycompany.com/myapp.php"),
			call("foo=1&bar=2", form, twilioForm, "X-Twilio-Signature", "kvajT1Ptam85bY51eRf/AJRuM3w="), 0, ""},
		{"twilio, http", twilio("http://mycompany.com/myapp.php"),
			call("foo=1&bar=2", form, twilioForm, "X-Twilio-Signature", "0ZXoZLH/DfblKGATFgpif+LLRf4="), 0, ""},
		{"twilio, http with a port", twilio("http://mycompany.com:1234/myapp.php"),
			call("foo=1&bar=2", form, twilioForm, "X-Twilio-Signature", "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="), 0, ""},
		{"twilio, JSON", twilio("https://mycompany.com/myapp.php"),
			call("foo=1&bar=2&"+twilioDigest, "application/json", twilioBody, "X-Twilio-Signature",
				"a9nBmqA0ju/hNViExpshrM61xv4="), 0, ""},
		{"twilio, JSON and nothing else in the query", twilio("https://mycompany.com/myapp.php"),
			call(twilioDigest, "application/json", twilioBody, "X-Twilio-Signature",
				"y77kIzt2vzLz71DgmJGsen2scGs="), 0, ""},
		{"twilio, a shared key", twilio("https://mycompany.com/myapp.php"), call("foo=1&bar=2", form, twilioForm,
			"X-Twilio-Webhooks-Signature-Settings", "key=KY0123,algorithm=HMAC_SHA256", "X-Twilio-Signature",
			"033hgUJA9M/hXIZsYjwkerEP/DBm35nEri5FhCYjA5s="), 0, ""},
		{"gitlab, a token", signature.Settings{Scheme: "gitlab", Secrets: []string{"a-secret-of-gitlab"}},
			signature.Request{Header: header("X-Gitlab-Token", "a-secret-of-gitlab"), Body: []byte("{}")}, 0, ""},
		{"gitlab, a signing token", signature.Settings{Scheme: "gitlab",
			Secrets: []string{"a-secret-of-gitlab", standardSecret}},
			signature.Request{Header: standardHeader(standardMAC), Body: []byte(standardBody)}, 1614265330, standardID},
		{"microsoft-graph", signature.Settings{Scheme: "microsoft-graph", Secrets: []string{"SecretClientState"}},
			signature.Request{Body: []byte(`{"value":[{"subscriptionId":"76222963","clientState":"SecretClientState"},` +
				`{"lifecycleEvent":"missed","clientState":"SecretClientState"}]}`)}, 0, ""},
		{"generic, as Paddle's", signature.Settings{Scheme: "generic", Secrets: []string{"whsec_test_secret"},
			Description: signature.Description{Header: "paddle-signature", Field: "h1", Algorithm: "hmac-sha256",
				TimestampField: "ts", Signed: "{timestamp}.{body}"}},
			signature.Request{Header: header("Paddle-Signature", "ts=1492774577; h1="+
				"66D86a97ac5620300b0335877ac036f6d74f84ea2e1df371bd45689d0090f9b7"),
				Body: []byte(`{"id": "evt_test_webhook","object": "event"}`)}, 1492774577, ""},
		{"generic, a token", signature.Settings{Scheme: "generic", Secrets: []string{"0123456789abcdef"},
			Description: signature.Description{Header: "X-Shared", Algorithm: "token", Prefix: "Key "}},
			signature.Request{Header: header("X-Shared", "Key 0123456789abcdef")}, 0, ""},
		{"generic, as Standard Webhooks", signature.Settings{Scheme: "generic",
			Secrets: []string{"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, Description: signature.Description{
				Header: "Webhook-Signature", Algorithm: "hmac-sha256", Encoding: "base64url", Prefix: "v1,",
				SecretEncoding: "base64", Signed: "{id}.{timestamp}.{body}", TimestampHeader: "Webhook-Timestamp",
				IDHeader: "Webhook-Id"}},
			signature.Request{Header: standardHeader(strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").
				Replace(standardMAC), "=")), Body: []byte(standardBody)}, 1614265330, standardID},
	}
}

func compile(t testing.TB, settings signature.Settings) *signature.Verifier {
	t.Helper()
	verifier, err := signature.Compile(settings)
	if err != nil {
		t.Fatal(err)
	}
	return verifier
}

// at is the time of a vector, and that of another day where it has none.
func (v vector) time() time.Time {
	if v.at == 0 {
		return time.Unix(1_800_000_000, 0)
	}
	return time.Unix(v.at, 0)
}

func TestPublishedSignaturesAreVerified(t *testing.T) {
	for _, v := range vectors() {
		verified, err := compile(t, v.settings).Verify(&v.request, v.time())
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		if verified.ID != v.id || v.at == 0 != verified.Time.IsZero() || v.at != 0 && verified.Time.Unix() != v.at {
			t.Errorf("%s proves %q at %v, want %q at %d", v.name, verified.ID, verified.Time, v.id, v.at)
		}
	}
}

func TestOneOfSeveralSecretsIsEnough(t *testing.T) {
	for _, v := range vectors() {
		other := v.settings
		switch v.settings.Scheme {
		case "standard-webhooks":
			other.Secrets = append([]string{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, other.Secrets...)
		case "discord":
			other.Secrets = append([]string{strings.Repeat("00", 32)}, other.Secrets...)
		case "generic":
			other.Secrets = append([]string{"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, other.Secrets...)
		case "stripe":
			other.Secrets = append([]string{"whsec_another"}, other.Secrets...)
		default:
			other.Secrets = append([]string{"another secret of theirs"}, other.Secrets...)
		}
		if _, err := compile(t, other).Verify(&v.request, v.time()); err != nil {
			t.Errorf("%s with a second secret: %v", v.name, err)
		}
		other.Secrets = other.Secrets[:1]
		if v.settings.Scheme == "gitlab" && v.at != 0 {
			continue // only a token is left, and none was sent
		}
		if _, err := compile(t, other).Verify(&v.request, v.time()); !errors.Is(err, signature.Mismatch) {
			t.Errorf("%s with another secret alone: %v, want a mismatch", v.name, err)
		}
	}
}

// TestTheToleranceHoldsOnBothSides moves our clock, and with it the time of receipt.
func TestTheToleranceHoldsOnBothSides(t *testing.T) {
	for _, v := range vectors() {
		if v.at == 0 {
			continue
		}
		for _, tolerance := range []time.Duration{0, time.Minute} {
			v.settings.Tolerance = tolerance
			verifier, limit := compile(t, v.settings), tolerance
			if limit == 0 {
				limit = signature.DefaultTolerance
			}
			for _, c := range []struct {
				later time.Duration
				want  error
			}{{limit, nil}, {-limit, nil}, {limit + time.Second, signature.TooOld},
				{-limit - time.Second, signature.TooNew}} {
				if _, err := verifier.Verify(&v.request, v.time().Add(c.later)); !errors.Is(err, c.want) {
					t.Errorf("%s, %s later: %v, want %v", v.name, c.later, err, c.want)
				}
			}
		}
	}
}
