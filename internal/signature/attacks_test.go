package signature_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pillarbox"
	"pillarbox/internal/signature"
)

// change is what somebody without a secret does to a genuine request.
type change struct {
	name string
	to   func(r *signature.Request, signature string) // signature is the name of its header
	want signature.Reason
}

func set(r *signature.Request, name string, change func(value string) string) {
	for i := range r.Header {
		if r.Header[i].Name == name {
			r.Header[i].Value = change(r.Header[i].Value)
		}
	}
}

func constant(value string) func(string) string { return func(string) string { return value } }

func eachLetter(change func(r rune) rune) func(string) string {
	return func(value string) string { return strings.Map(change, value) }
}

var changes = []change{
	{"no signature", func(r *signature.Request, name string) {
		r.Header = slices.DeleteFunc(r.Header, func(f pillarbox.HeaderField) bool { return f.Name == name })
	}, signature.Missing},
	{"an empty one", func(r *signature.Request, name string) { set(r, name, constant("")) }, signature.Missing},
	{"a second line, the same", func(r *signature.Request, name string) {
		for _, f := range r.Header {
			if f.Name == name {
				r.Header = append(r.Header, f)
				return
			}
		}
	}, signature.Malformed},
	{"a second line, empty", func(r *signature.Request, name string) {
		r.Header = append(r.Header, pillarbox.HeaderField{Name: strings.ToLower(name)})
	}, signature.Malformed},
	{"no value", func(r *signature.Request, name string) { set(r, name, constant("=")) }, 0},
	{"space in front", func(r *signature.Request, name string) {
		set(r, name, func(value string) string { return " " + value })
	}, 0},
	{"a line end behind", func(r *signature.Request, name string) {
		set(r, name, func(value string) string { return value + "\n" })
	}, 0},
	{"cut short by one", func(r *signature.Request, name string) {
		set(r, name, func(value string) string { return value[:len(value)-1] })
	}, 0},
	{"cut to its first half", func(r *signature.Request, name string) {
		set(r, name, func(value string) string { return value[:len(value)/2] })
	}, 0},
	{"one digit more", func(r *signature.Request, name string) {
		set(r, name, func(value string) string { return value + "0" })
	}, 0},
	{"one megabyte of them", func(r *signature.Request, name string) {
		set(r, name, func(value string) string {
			return strings.Repeat(value+" ", 1<<20/len(value)) + value
		})
	}, signature.Malformed},
	{"another one", func(r *signature.Request, name string) {
		set(r, name, eachLetter(func(r rune) rune {
			if r >= '0' && r < '9' {
				return r + 1
			}
			return r
		}))
	}, 0},
	{"a body with one bit changed", func(r *signature.Request, _ string) {
		r.Body[len(r.Body)-1] ^= 1
	}, 0},
	{"a body with a byte more", func(r *signature.Request, _ string) { r.Body = append(r.Body, ' ') }, 0},
	{"no body", func(r *signature.Request, _ string) { r.Body = nil }, 0},
}

// signatureHeader is where the signature of a vector stands; "" where it signs no body.
func signatureHeader(v vector) string {
	for _, f := range v.request.Header {
		if strings.HasSuffix(f.Name, "Settings") || strings.HasSuffix(f.Name, "Token") || f.Name == "X-Shared" {
			continue
		}
		if strings.Contains(f.Name, "Signature") && !strings.HasSuffix(f.Name, "Timestamp") ||
			strings.Contains(f.Name, "Hmac") {
			return f.Name
		}
	}
	return ""
}

func (v vector) clone() signature.Request {
	r := v.request
	r.Header, r.Body = slices.Clone(r.Header), slices.Clone(r.Body)
	return r
}

// TestWhatIsChangedIsRefused does each change to each vector.
func TestWhatIsChangedIsRefused(t *testing.T) {
	done := 0
	for _, v := range vectors() {
		name, verifier := signatureHeader(v), compile(t, v.settings)
		if name == "" {
			continue
		}
		for _, c := range changes {
			if c.name == "space in front" && v.settings.Description.Field != "" {
				continue // spaces in a list that is described by hand say nothing
			}
			r := v.clone()
			c.to(&r, name)
			_, err := verifier.Verify(&r, v.time())
			var reason signature.Reason
			if !errors.As(err, &reason) || c.want != 0 && reason != c.want {
				// One genuine signature of several is left, where the others are changed.
				t.Errorf("%s with %s: %v, want %v", v.name, c.name, err, c.want)
			}
			done++
		}
	}
	if done < 200 {
		t.Errorf("only %d changes were made", done)
	}
}

// TestWhatAnAttackerTries has the attacks that are of one scheme.
func TestWhatAnAttackerTries(t *testing.T) {
	byName := map[string]vector{}
	for _, v := range vectors() {
		byName[v.name] = v
	}
	many := func(n int) string { return strings.Repeat("v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= ", n) }
	for _, c := range []struct {
		vector, name string
		header       string
		value        string // in its place; "+" in front appends a line
		want         error
	}{
		{"github", "SHA-1", "X-Hub-Signature-256", "sha1=52b582138706ac0c597c315cfc1a1bf177408a4d", signature.Malformed},
		{"github", "large digits", "X-Hub-Signature-256",
			"sha256=757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17", signature.Malformed},
		{"github", "no prefix", "X-Hub-Signature-256",
			"757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17", signature.Malformed},
		{"github", "an empty digest", "X-Hub-Signature-256", "sha256=", signature.Malformed},
		{"github", "base64", "X-Hub-Signature-256", "sha256=dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc=", signature.Malformed},
		{"stripe", "the time twice", "Stripe-Signature", "t=1492774577,t=1492774577," +
			"v1=66d86a97ac5620300b0335877ac036f6d74f84ea2e1df371bd45689d0090f9b7", signature.Malformed},
		{"stripe", "a new time", "Stripe-Signature", "t=1492774578," +
			"v1=66d86a97ac5620300b0335877ac036f6d74f84ea2e1df371bd45689d0090f9b7", signature.Mismatch},
		{"stripe", "no time", "Stripe-Signature",
			"v1=66d86a97ac5620300b0335877ac036f6d74f84ea2e1df371bd45689d0090f9b7", signature.Missing},
		{"stripe", "the test scheme alone", "Stripe-Signature", "t=1492774577," +
			"v0=66d86a97ac5620300b0335877ac036f6d74f84ea2e1df371bd45689d0090f9b7", signature.Malformed},
		{"stripe", "no equals sign", "Stripe-Signature", "v1,t=1", signature.Malformed},
		{"stripe", "a time that is none", "Stripe-Signature", "t=soon," +
			"v1=66d86a97ac5620300b0335877ac036f6d74f84ea2e1df371bd45689d0090f9b7", signature.Malformed},
		{"stripe", "a time of 20 digits", "Stripe-Signature", "t=99999999999999999999," +
			"v1=66d86a97ac5620300b0335877ac036f6d74f84ea2e1df371bd45689d0090f9b7", signature.Malformed},
		{"stripe", "a negative time", "Stripe-Signature", "t=-1," +
			"v1=66d86a97ac5620300b0335877ac036f6d74f84ea2e1df371bd45689d0090f9b7", signature.Malformed},
		{"stripe", "a time with a zero in front", "Stripe-Signature", "t=01492774577," +
			"v1=66d86a97ac5620300b0335877ac036f6d74f84ea2e1df371bd45689d0090f9b7", signature.Malformed},
		{"stripe", "the genuine one behind eight", "Stripe-Signature", "t=1492774577," +
			strings.Repeat("v1=00,", 9) + "v1=66d86a97ac5620300b0335877ac036f6d74f84ea2e1df371bd45689d0090f9b7", signature.Malformed},
		{"stripe", "the genuine one behind one that can't be read", "Stripe-Signature", "t=1492774577,v1=bad_signature," +
			"v1=66d86a97ac5620300b0335877ac036f6d74f84ea2e1df371bd45689d0090f9b7", nil},
		{"slack", "a new time", "X-Slack-Request-Timestamp", "1531420619", signature.Mismatch},
		{"slack", "no time", "X-Slack-Request-Timestamp", "", signature.Missing},
		{"slack", "a second time", "X-Slack-Request-Timestamp", "+1531420618", signature.Malformed},
		{"slack", "another version", "X-Slack-Signature",
			"v1=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503", signature.Malformed},
		{"discord", "a new time", "X-Signature-Timestamp", "1609459201", signature.Mismatch},
		{"discord", "a time with a digit of the body", "X-Signature-Timestamp", "160945920", signature.Mismatch},
		{"standard webhooks", "another id", "Webhook-Id", "msg_other", signature.Mismatch},
		{"standard webhooks", "an id that takes in the time", "Webhook-Id", "msg.1614265330", signature.Malformed},
		{"standard webhooks", "an endless id", "Webhook-Id", strings.Repeat("x", 256), signature.Malformed},
		{"standard webhooks", "a second id", "Webhook-Id", "+msg_p5jXN8AQM9LWM0D4loKWxJek", signature.Malformed},
		{"standard webhooks", "another time", "Webhook-Timestamp", "1614265331", signature.Mismatch},
		{"standard webhooks", "a fraction", "Webhook-Timestamp", "1614265330.0", signature.Malformed},
		{"standard webhooks", "another version alone", "Webhook-Signature",
			strings.Replace(standardMAC, "v1,", "v2,", 1), signature.Malformed},
		{"standard webhooks", "a MAC as a signature by a key", "Webhook-Signature",
			strings.Replace(standardMAC, "v1,", "v1a,", 1), signature.Malformed},
		{"standard webhooks", "commas", "Webhook-Signature", standardMAC + "," + standardMAC, signature.Malformed},
		{"standard webhooks", "the genuine one as the eighth", "Webhook-Signature", many(7) + standardMAC, nil},
		{"standard webhooks", "the genuine one as the ninth", "Webhook-Signature", many(8) + standardMAC, signature.Malformed},
		{"standard webhooks with a key", "the genuine one as the third", "Webhook-Signature",
			strings.Repeat(standardKey+" ", 2) + standardKey, nil},
		{"standard webhooks with a key", "the genuine one as the fourth", "Webhook-Signature",
			strings.Repeat(standardKey+" ", 3) + standardKey, signature.Malformed},
		{"standard webhooks with a key", "a MAC by the public key", "Webhook-Signature", standardMAC, signature.Mismatch},
		{"standard webhooks, as Svix sends them", "a signature under the other name", "+Webhook-Signature",
			standardMAC, signature.Missing},
		{"gitlab, a token", "the token in capitals", "X-Gitlab-Token", "A-SECRET-OF-GITLAB", signature.Mismatch},
		{"gitlab, a token", "its beginning", "X-Gitlab-Token", "a-secret", signature.Mismatch},
		{"gitlab, a token", "a second one", "X-Gitlab-Token", "+a-secret-of-gitlab", signature.Malformed},
		{"gitlab, a token", "none", "X-Gitlab-Token", "", signature.Missing},
		{"generic, a token", "no prefix", "X-Shared", "0123456789abcdef", signature.Malformed},
		{"twilio, a shared key", "SHA-1 with it", "X-Twilio-Webhooks-Signature-Settings", "key=K,algorithm=HMAC_SHA1",
			signature.Malformed},
		{"twilio, a shared key", "no algorithm", "X-Twilio-Webhooks-Signature-Settings", "key=K,algorithm=none", signature.Malformed},
	} {
		v, ok := byName[c.vector]
		if !ok {
			t.Fatalf("there is no vector %q", c.vector)
		}
		r := v.clone()
		name, adds := strings.CutPrefix(c.header, "+")
		if value, line := strings.CutPrefix(c.value, "+"); line || adds {
			r.Header = append(r.Header, pillarbox.HeaderField{Name: name, Value: value})
		} else {
			set(&r, name, constant(c.value))
		}
		if _, err := compile(t, v.settings).Verify(&r, v.time()); !errors.Is(err, c.want) {
			t.Errorf("%s with %s: %v, want %v", c.vector, c.name, err, c.want)
		}
	}
}

// TestABodyIsCoveredWhateverItsType has what the URL and the form alone do not prove.
func TestABodyIsCoveredWhateverItsType(t *testing.T) {
	byName := map[string]vector{}
	for _, v := range vectors() {
		byName[v.name] = v
	}
	for name, attack := range map[string]func(r *signature.Request){
		"a form as text":         func(r *signature.Request) { set(r, "Content-Type", constant("text/plain")) },
		"no type":                func(r *signature.Request) { set(r, "Content-Type", constant("")) },
		"two types":              func(r *signature.Request) { r.Header = append(r.Header, header("Content-Type", "text/plain")...) },
		"a parameter more":       func(r *signature.Request) { r.Query += "&x=1" },
		"another path":           func(r *signature.Request) { r.Path += "/batch" },
		"a field more":           func(r *signature.Request) { r.Body = append(r.Body, "&Z=1"...) },
		"an escape that is none": func(r *signature.Request) { r.Body = append(r.Body, "&Z=%zz"...) },
		"very many fields":       func(r *signature.Request) { r.Body = []byte(strings.Repeat("a=1&", 1<<18)) },
	} {
		v := byName["twilio"]
		r := v.clone()
		attack(&r)
		if _, err := compile(t, v.settings).Verify(&r, v.time()); err == nil {
			t.Errorf("twilio with %s is verified", name)
		}
	}
	for name, query := range map[string]string{"no digest": "foo=1&bar=2",
		"two digests": "bodySHA256=00&" + byName["twilio, JSON"].request.Query,
		"a short one": "foo=1&bar=2&bodySHA256=00", "another": "bodySHA256=" + strings.Repeat("0", 64)} {
		v := byName["twilio, JSON"]
		r := v.clone()
		r.Query = query
		if _, err := compile(t, v.settings).Verify(&r, v.time()); err == nil {
			t.Errorf("twilio with %s is verified", name)
		}
	}
}

// TestABodyIsAddedToASignedURL where the sender has sent none.
func TestABodyIsAddedToASignedURL(t *testing.T) {
	mac := hmac.New(sha1.New, []byte("12345"))
	mac.Write([]byte("https://mycompany.com/myapp.php?foo=1"))
	r := signature.Request{Method: "POST", Path: "/myapp.php", Query: "foo=1", Header: header("X-Twilio-Signature",
		base64.StdEncoding.EncodeToString(mac.Sum(nil)), "Content-Type", "text/plain")}
	verifier := compile(t, signature.Settings{Scheme: "twilio", Secrets: []string{"12345"},
		URL: "https://mycompany.com/myapp.php", Path: "/myapp.php"})
	if _, err := verifier.Verify(&r, vectors()[0].time()); err != nil {
		t.Errorf("a signed URL: %v", err)
	}
	r.Body = []byte("x")
	if _, err := verifier.Verify(&r, vectors()[0].time()); !errors.Is(err, signature.Malformed) {
		t.Errorf("a signed URL with a body is verified: %v", err)
	}
}

func TestEachNotificationCarriesTheSecret(t *testing.T) {
	verifier := compile(t, signature.Settings{Scheme: "microsoft-graph",
		Secrets: []string{"the-secret-of-today", "the-secret-of-yesterday"}})
	for body, want := range map[string]error{
		`{"value":[{"clientState":"the-secret-of-today"},{"clientState":"the-secret-of-yesterday"}]}`: nil,
		`{"value":[{"clientState":"the-secret-of-today"},{"clientState":"x"}]}`:                       signature.Mismatch,
		`{"value":[{"clientState":"the-secret-of-today"},{}]}`:                                        signature.Missing,
		`{"value":[{"clientState":null}]}`:                                                            signature.Missing,
		`{"value":[{"clientState":["the-secret-of-today"]}]}`:                                         signature.Malformed,
		`{"value":[]}`: signature.Malformed, `{}`: signature.Malformed, ``: signature.Malformed, `null`: signature.Malformed,
		`{"value":[{"clientState":"the-secret-of-today"}]} {}`: signature.Malformed,
		`{"value":[{"clientState":"THE-SECRET-OF-TODAY"}]}`:    signature.Mismatch,
	} {
		if _, err := verifier.Verify(&signature.Request{Body: []byte(body)}, vectors()[0].time()); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", body, err, want)
		}
	}
}

// TestManyAtOnce holds the shared states against each other: run it with -race.
func TestManyAtOnce(t *testing.T) {
	for _, v := range vectors() {
		verifier := compile(t, v.settings)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for range 20 {
					r := v.clone()
					if bad := i%2 == 1 && signatureHeader(v) != ""; bad {
						r.Body = append(r.Body, fmt.Sprint("&x=", i)...)
						if _, err := verifier.Verify(&r, v.time()); err == nil {
							t.Errorf("%s: a changed body is verified", v.name)
						}
					} else if _, err := verifier.Verify(&r, v.time()); err != nil {
						t.Errorf("%s: %v", v.name, err)
					}
				}
			})
		}
		all.Wait()
	}
}
