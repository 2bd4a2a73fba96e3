package nodetest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"pillarbox"
	"pillarbox/internal/jwt"
	"pillarbox/internal/source"
)

// DoorIssuer is an identity provider in memory: it makes tokens, and answers for their keys.
type DoorIssuer struct {
	URL, KeysURL string

	mu   sync.Mutex // guards all below
	away bool
	keys []jose.JSONWebKey
	got  int // requests for keys
	priv map[string]crypto.Signer
}

// The keys of every DoorIssuer.
var (
	doorRSA     = must(rsa.GenerateKey(rand.Reader, 2048))
	doorEC      = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	doorStrange = must(rsa.GenerateKey(rand.Reader, 2048))
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// NewDoorIssuer makes one with an RSA key ("rsa") and a key of P-256 ("ec").
func NewDoorIssuer() *DoorIssuer {
	i := &DoorIssuer{URL: "https://idp.example.org/", KeysURL: "https://idp.example.org/keys",
		priv: map[string]crypto.Signer{"rsa": doorRSA, "ec": doorEC, "late": doorStrange, "strange": doorStrange}}
	i.Publish("rsa", "ec")
	return i
}

// Publish sets which keys the issuer answers with. One of HMAC is among them, which is none of a
// public kind.
func (i *DoorIssuer) Publish(ids ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = []jose.JSONWebKey{{KeyID: "hmac", Key: []byte(strings.Repeat("k", 32))}}
	for _, id := range ids {
		i.keys = append(i.keys, jose.JSONWebKey{KeyID: id, Key: i.priv[id].Public(), Use: "sig"})
	}
}

// Leave lets every request fail, or not any more.
func (i *DoorIssuer) Leave(away bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.away = away
}

// Asked is how many requests for keys there were.
func (i *DoorIssuer) Asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.got
}

// RoundTrip answers as the issuer's server would.
func (i *DoorIssuer) RoundTrip(request *http.Request) (*http.Response, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var body any
	switch at := request.URL.String(); {
	case i.away:
		i.got++
		return nil, context.DeadlineExceeded
	case at == i.KeysURL:
		i.got++
		body = jose.JSONWebKeySet{Keys: i.keys}
	case at == strings.TrimSuffix(i.URL, "/")+"/.well-known/openid-configuration":
		body = map[string]any{"issuer": i.URL, "jwks_uri": i.KeysURL}
	}
	text := must(json.Marshal(body))
	status := http.StatusOK
	if body == nil {
		status = http.StatusNotFound
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(string(text))), Request: request}, nil
}

// Issuers runs what fetches the keys of the issuer, until the test ends.
func (i *DoorIssuer) Issuers(t testing.TB) *jwt.Issuers {
	t.Helper()
	issuers := jwt.New(jwt.Options{Transport: i})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := issuers.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return issuers
}

// Claims are those of a good token at DoorTime, with others in their place; nil leaves one out.
func (i *DoorIssuer) Claims(others map[string]any) map[string]any {
	claims := map[string]any{"iss": i.URL, "aud": "pillarbox", "sub": "alice", "exp": DoorTime.Unix() + 60,
		"iat": DoorTime.Unix(), "https://example.org/tenant": "acme", "roles": []string{"a", "b"}, "realm": map[string]any{"n": 1}}
	maps.Copy(claims, others)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

// Token makes a token with a header of its own and the key of that id.
func (i *DoorIssuer) Token(key string, header map[string]any, claims map[string]any) string {
	algorithm := "RS256"
	if key == "ec" {
		algorithm = "ES256"
	}
	whole := map[string]any{"alg": algorithm, "kid": key, "typ": "JWT"}
	maps.Copy(whole, header)
	maps.DeleteFunc(whole, func(_ string, value any) bool { return value == nil })
	encode := func(value any) string { return base64.RawURLEncoding.EncodeToString(must(json.Marshal(value))) }
	signed := encode(whole) + "." + encode(claims)
	return signed + "." + base64.RawURLEncoding.EncodeToString(i.sign(key, whole["alg"], signed))
}

func (i *DoorIssuer) sign(key string, algorithm any, text string) []byte {
	if algorithm == "RS384" {
		sum := sha512.Sum384([]byte(text))
		return must(i.priv[key].Sign(rand.Reader, sum[:], crypto.SHA384))
	}
	sum := sha256.Sum256([]byte(text))
	if key != "ec" {
		return must(i.priv[key].Sign(rand.Reader, sum[:], crypto.SHA256))
	}
	r, s, err := ecdsa.Sign(rand.Reader, doorEC, sum[:])
	if err != nil {
		panic(err)
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

// hmacToken is signed with the bytes of the RSA public key, as if it were a secret.
func (i *DoorIssuer) hmacToken(secret []byte) string {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"rsa"}`))
	signed := header + "." + base64.RawURLEncoding.EncodeToString(must(json.Marshal(i.Claims(nil))))
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// publicPEM is what everybody has of the RSA key.
func publicPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(doorRSA.Public()))})
}

// TokenCase is a token, and what becomes of whoever sends it.
type TokenCase struct {
	Name, Token string
	Facts       *pillarbox.Facts // nil where it opens nothing
	Refused     string           // why
}

// TokenCases are tokens at DoorTime, for a source that Tokens opens.
func (i *DoorIssuer) TokenCases() []TokenCase {
	alice := &pillarbox.Facts{Caller: "alice", Attributes: pillarbox.Attributes{{Name: "number", Value: "1"},
		{Name: "roles", Value: `["a","b"]`}, {Name: "tenant", Value: "acme"}}}
	bob := &pillarbox.Facts{Caller: "bob", Attributes: alice.Attributes[:2]}
	with := func(name string, value any) map[string]any { return i.Claims(map[string]any{name: value}) }
	head := func(name string, value any) map[string]any { return map[string]any{name: value} }
	good, now := i.Token("rsa", nil, i.Claims(nil)), DoorTime.Unix()
	parts := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	return []TokenCase{
		{"RS256", good, alice, ""},
		{"ES256", i.Token("ec", nil, i.Claims(nil)), alice, ""},
		{"no kid", i.Token("rsa", head("kid", nil), i.Claims(nil)), alice, ""},
		{"one of several audiences", i.Token("rsa", nil, with("aud", []string{"other", "pillarbox"})), alice, ""},
		{"another caller without a tenant", i.Token("rsa", nil, i.Claims(map[string]any{"sub": "bob", "https://example.org/tenant": nil})), bob, ""},
		{"in its last second", i.Token("rsa", nil, with("exp", now+1)), alice, ""},
		{"nbf in the near future", i.Token("rsa", nil, with("nbf", now+240)), alice, ""},

		{"expired", i.Token("rsa", nil, with("exp", now-1)), nil, "expired"},
		{"never expires", i.Token("rsa", nil, with("exp", nil)), nil, "expired"},
		{"expired, as a text", i.Token("rsa", nil, with("exp", "1000000000")), nil, "expired"},
		{"not yet in force", i.Token("rsa", nil, with("nbf", now+600)), nil, "not_yet"},
		{"another audience", i.Token("rsa", nil, with("aud", "other")), nil, "other_audience"},
		{"no audience", i.Token("rsa", nil, with("aud", nil)), nil, "other_audience"},
		{"an audience that begins the same way", i.Token("rsa", nil, with("aud", "pillarbox2")), nil, "other_audience"},
		{"another issuer", i.Token("rsa", nil, with("iss", "https://evil.example.org/")), nil, "other_issuer"},
		{"an issuer without its slash", i.Token("rsa", nil, with("iss", strings.TrimSuffix(i.URL, "/"))), nil, "other_issuer"},
		{"no issuer", i.Token("rsa", nil, with("iss", nil)), nil, "other_issuer"},
		{"no caller", i.Token("rsa", nil, with("sub", nil)), nil, "malformed"},
		{"an empty caller", i.Token("rsa", nil, with("sub", "")), nil, "malformed"},
		{"a caller with a line feed", i.Token("rsa", nil, with("sub", "a\nb")), nil, "malformed"},
		{"a caller of several", i.Token("rsa", nil, with("sub", []string{"a"})), nil, "unknown"},
		{"a long caller", i.Token("rsa", nil, with("sub", strings.Repeat("a", jwt.MaxCaller+1))), nil, "malformed"},

		{"alg none", none + "." + parts[1] + ".", nil, "malformed"},
		{"alg none, with a signature", none + "." + parts[1] + "." + parts[2], nil, "algorithm"},
		{"alg none in other case", i.Token("rsa", head("alg", "nOnE"), i.Claims(nil)), nil, "algorithm"},
		{"HS256 with the public key", i.hmacToken(publicPEM()), nil, "algorithm"},
		{"HS256 with the modulus", i.hmacToken(doorRSA.N.Bytes()), nil, "algorithm"},
		{"HS256 with a key that is published", i.hmacToken([]byte(strings.Repeat("k", 32))), nil, "algorithm"},
		{"an algorithm that is not allowed", i.Token("rsa", head("alg", "RS384"), i.Claims(nil)), nil, "algorithm"},
		{"ES256 with the RSA key", i.Token("rsa", head("alg", "ES256"), i.Claims(nil)), nil, "unknown"},
		{"RS256 with the key of P-256", i.Token("ec", head("alg", "RS256"), i.Claims(nil)), nil, "unknown"},
		{"the kid of another key", i.Token("rsa", head("kid", "ec"), i.Claims(nil)), nil, "unknown"},
		{"a key of somebody else under the same kid", i.Token("strange", head("kid", "rsa"), i.Claims(nil)), nil, "unknown"},
		{"a key of somebody else without kid", i.Token("strange", head("kid", nil), i.Claims(nil)), nil, "unknown"},
		{"a key in the header", i.Token("strange", map[string]any{"kid": "rsa", "jwk": jose.JSONWebKey{Key: doorStrange.Public()}}, i.Claims(nil)), nil, "unknown"},
		{"an address of keys in the header", i.Token("strange", map[string]any{"kid": "rsa", "jku": "https://evil.example.org/keys"}, i.Claims(nil)), nil, "unknown"},
		{"another extension that must be understood", i.Token("rsa", map[string]any{"crit": []string{"exp2"}, "exp2": 1}, i.Claims(nil)), nil, "unknown"},
		{"another signature", parts[0] + "." + parts[1] + "." + parts[2][:len(parts[2])-4] + "AAAA", nil, "unknown"},
		{"other claims under a signature", parts[0] + "." + strings.Split(i.Token("rsa", nil, with("sub", "root")), ".")[1] + "." + parts[2], nil, "unknown"},
		{"no signature", parts[0] + "." + parts[1] + ".", nil, "malformed"},
		{"two parts", parts[0] + "." + parts[1], nil, "malformed"},
		{"four parts", good + ".a", nil, "malformed"},
		{"a part that is no base64url", parts[0] + "." + parts[1] + "=." + parts[2], nil, "malformed"},
		{"nothing", "", nil, "malformed"},
		{"too long", good + strings.Repeat("A", jwt.MaxToken), nil, "malformed"},
		{"the JSON form", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, nil, "malformed"},
	}
}

// Tokens is the verifier of TokenCases.
func (i *DoorIssuer) Tokens(issuers *jwt.Issuers) *jwt.Verifier {
	return issuers.Verifier(jwt.Settings{Issuer: i.URL, Audience: "pillarbox", KeysURL: i.KeysURL, Claims: map[string]string{
		"tenant": "https://example.org/tenant", "roles": "roles", "number": "/realm/n"}})
}

// tokenDoors are TokenCases on every front, and what else may be wrong with them.
func tokenDoors(t testing.TB) (doors []Door) {
	t.Helper()
	i := NewDoorIssuer()
	tokens := i.Tokens(i.Issuers(t))
	if !tokens.Await() {
		t.Fatal("the keys of the issuer don't come")
	}
	k := NewDoorKeys(t)
	app := source.Settings{Name: "app", Path: "/app", MaxBody: MaxBody, Tokens: []source.Tokens{tokens}}
	both := app
	both.Keys = k.Ring
	add := func(name string, settings source.Settings, header []string, facts *pillarbox.Facts) {
		door := Door{Name: "token, " + name, Source: settings, Header: header, Body: "who comes", Status: 401, Type: problemType, Answer: "problem"}
		if facts != nil {
			door.Status, door.Type, door.Answer, door.Stored, door.Facts = 202, jsonType, "receipt", true, facts
			door.Removed = []string{"Authorization", "X-Api-Key"}
		}
		doors = append(doors, door)
	}
	cases := i.TokenCases()
	for _, c := range cases {
		add(c.Name, app, []string{"Authorization", "Bearer " + c.Token}, c.Facts)
	}
	good, alice := cases[0].Token, cases[0].Facts
	named := &pillarbox.Facts{Caller: "shop"}
	add("in lower case", app, []string{"authorization", "bearer " + good}, alice)
	add("where a key is taken too", both, []string{"Authorization", "Bearer " + good}, alice)
	add("a key, where a token is taken too", both, []string{"Authorization", "Bearer " + k.Named}, named)
	add("a key in its own header, where a token is taken too", both, []string{"X-Api-Key", k.Named}, named)
	add("none", app, nil, nil)
	add("two lines", app, []string{"Authorization", "Bearer " + good, "Authorization", "Bearer " + cases[1].Token}, nil)
	add("two lines of one", app, []string{"Authorization", "Bearer " + good, "Authorization", "Bearer " + good}, nil)
	add("a token and a key", both, []string{"Authorization", "Bearer " + good, "X-Api-Key", k.Named}, nil)
	add("a token in the header of keys", both, []string{"X-Api-Key", good}, nil)
	add("a key, where none is taken", app, []string{"Authorization", "Bearer " + k.Named}, nil)
	add("without its scheme", app, []string{"Authorization", good}, nil)
	add("with another scheme", app, []string{"Authorization", "DPoP " + good}, nil)
	return doors
}
