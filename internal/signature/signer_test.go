package signature_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"pillarbox"
	"pillarbox/internal/signature"
)

func whsec(fill string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(fill, 24)))
}

// privateAndPublic are the two halves of a key as Standard Webhooks writes them.
func privateAndPublic(seed string) (private, public string) {
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat(seed, ed25519.SeedSize)))
	public = "whpk_" + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
	return "whsk_" + base64.StdEncoding.EncodeToString(key.Seed()), public
}

func signed(t *testing.T, secrets []string, id string, at time.Time, body []byte) pillarbox.Header {
	t.Helper()
	signer, err := signature.NewSigner(secrets)
	if err != nil {
		t.Fatal(err)
	}
	timestamp, signatures := signer.Sign(id, at, body)
	return pillarbox.Header{{Name: signature.HeaderID, Value: id},
		{Name: signature.HeaderTimestamp, Value: timestamp}, {Name: signature.HeaderSignature, Value: signatures}}
}

// TestWhatIsSignedIsVerified: by each of several secrets, by the same rule that requests coming in are
// verified with; and no more once anything of it is another.
func TestWhatIsSignedIsVerified(t *testing.T) {
	private, public := privateAndPublic("k")
	at, body := time.Unix(1_795_443_120, 0), []byte(`{"n":1}`)
	header := signed(t, []string{whsec("a"), private, whsec("b")}, "id-1", at, body)
	if items := strings.Fields(header[2].Value); len(items) != 3 || !strings.HasPrefix(items[1], "v1a,") {
		t.Fatalf("three secrets sign %q", header[2].Value)
	}
	verify := func(secret string, header pillarbox.Header, body []byte) error {
		verifier, err := signature.Compile(signature.Settings{Scheme: "standard-webhooks", Secrets: []string{secret}})
		if err != nil {
			t.Fatal(err)
		}
		found, err := verifier.Verify(&signature.Request{Header: header, Body: body}, at)
		if err == nil && found.ID != "id-1" {
			t.Errorf("verified as %+v", found)
		}
		return err
	}
	for _, known := range []string{whsec("a"), whsec("b"), public} {
		if err := verify(known, header, body); err != nil {
			t.Errorf("%s: %v", known[:6], err)
		}
		if err := verify(known, header, []byte(`{"n":2}`)); err == nil {
			t.Errorf("%s: another body is verified", known[:6])
		}
		other := append(pillarbox.Header{{Name: signature.HeaderID, Value: "id-2"}}, header[1:]...)
		if err := verify(known, other, body); err == nil {
			t.Errorf("%s: another id is verified", known[:6])
		}
	}
	if err := verify(whsec("c"), header, body); err == nil {
		t.Error("a secret that has not signed is verified")
	}
}

// TestSignerAgreesWithTheLibrary of Standard Webhooks, which knows HMAC.
func TestSignerAgreesWithTheLibrary(t *testing.T) {
	for _, body := range []string{"", "{}", strings.Repeat("x", 100_000), "\x00\xff"} {
		library, err := standardwebhooks.NewWebhook(whsec("a"))
		if err != nil {
			t.Fatal(err)
		}
		at := time.Now() // it looks at the clock
		header := signed(t, []string{whsec("b"), whsec("a")}, "msg_1", at, []byte(body))
		theirs := map[string][]string{}
		for _, field := range header {
			theirs[field.Name] = []string{field.Value}
		}
		if err := library.Verify([]byte(body), theirs); err != nil {
			t.Errorf("%d bytes: the library refuses what is signed: %v", len(body), err)
		}
		want, err := library.Sign("msg_1", at, []byte(body))
		if err != nil || strings.Fields(header[2].Value)[1] != want {
			t.Errorf("%d bytes: %q, and the library signs %q: %v", len(body), header[2].Value, want, err)
		}
	}
}

// TestSecretsForSigningAreRefusedWithTheirPlace, and without the secret.
func TestSecretsForSigningAreRefusedWithTheirPlace(t *testing.T) {
	private, public := privateAndPublic("k")
	whole := base64.StdEncoding.EncodeToString(append([]byte(strings.Repeat("k", 32)), strings.Repeat("x", 32)...))
	for secret, want := range map[string]string{
		"plain-text-secret": "whsec_ and base64", "whsec_AAAA": "24 to 64 bytes", "whsec_***": "want base64",
		public: "public key", "whsk_AAAA": "32 or 64 bytes", "whsk_" + whole: "does not belong",
	} {
		_, err := signature.NewSigner([]string{whsec("a"), secret})
		setting := (*signature.SettingError)(nil)
		if !errors.As(err, &setting) || setting.Key != "secrets[1]" || !strings.Contains(setting.Reason, want) {
			t.Errorf("%s: %v, want %q", secret, err, want)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the error holds the secret: %v", err)
		}
	}
	for _, many := range [][]string{nil, make([]string, 9), {private, private, private, private}} {
		if _, err := signature.NewSigner(many); !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%d secrets: %v", len(many), err)
		}
	}
	key := ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", 32)))
	if _, err := signature.NewSigner([]string{"whsk_" + base64.StdEncoding.EncodeToString(key)}); err != nil {
		t.Errorf("a key with both halves: %v", err)
	}
}
