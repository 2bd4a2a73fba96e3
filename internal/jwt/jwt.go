// Package jwt says who has sent a request by its JSON Web Token (RFC 7519), as identity providers
// make them (OpenID Connect, OAuth 2.0).
//
// A token is verified with the keys of its issuer, which are fetched in the background and kept:
// whoever verifies never waits for a network, so that it may be done on the event loop. While the
// server of the keys is away, tokens go on to be verified with the keys that are at hand.
//
// What a token must be: signed in one part, with one of the asymmetric algorithms of the
// configuration and a public key of the issuer that has its kid; of the issuer; for the audience;
// not expired; in force (nbf, 5 minutes early at most); with a caller. What the header says of keys
// (jwk, jku, x5u, x5c) is never looked at, and a kid is compared with those that the issuer names,
// and used for nothing else. go-oidc decides; this package finds the keys and remembers the answer.
package jwt

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unsafe"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/tidwall/gjson"
	"golang.org/x/time/rate"

	"pillarbox"
	"pillarbox/internal/jsontext"
)

const (
	// MaxToken is the longest token, in bytes: a head of the event loop has 8 KiB.
	MaxToken = 8 << 10
	// MaxCaller is the longest name of a caller, in bytes.
	MaxCaller = 255
	// MaxRemembered is how many verified tokens a verifier remembers, in each of two generations:
	// verifying one takes 100 (RS256) to 200 µs (ES256), recalling it less than one.
	MaxRemembered = 4096
	// InlineRate is how many tokens a second are verified for callers that must not wait, and at once:
	// more than a few hundredths of their time would hold up the others. The rest is undecided for them.
	InlineRate = 200
	// DefaultCaller is the claim that names the caller.
	DefaultCaller = "sub"
)

// Algorithms are those that a configuration may allow: asymmetric ones, whose public key verifies
// and signs nothing.
func Algorithms() []string {
	return []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256,
		oidc.ES384, oidc.ES512, oidc.EdDSA}
}

// DefaultAlgorithms are allowed where a configuration names none.
func DefaultAlgorithms() []string { return []string{oidc.RS256, oidc.ES256} }

// Settings say which tokens are believed.
type Settings struct {
	Issuer     string            // exactly as in the claim iss
	Audience   string            // that has to be one of the claim aud
	KeysURL    string            // of the issuer's keys; empty to ask the issuer (OpenID Connect Discovery)
	Algorithms []string          // of Algorithms; DefaultAlgorithms where empty
	Caller     string            // the claim that names the caller; DefaultCaller where empty
	Claims     map[string]string // names of attributes, and the claims that they have the values of
}

// Undecided is the reason for a token whose key is not at hand, and may be soon.
const Undecided = "undecided"

// The reasons why a token opens nothing. They are for our side alone.
const (
	malformed     = "malformed"
	algorithm     = "algorithm"
	otherIssuer   = "other_issuer"
	otherAudience = "other_audience"
	expired       = "expired"
	notYet        = "not_yet"
	unknown       = "unknown"
)

// Verifier verifies tokens. It may be used concurrently.
type Verifier struct {
	settings   Settings
	caller     claim
	attributes []claim // sorted by name
	keys       *keySet
	inline     *rate.Limiter // of InlineRate

	mu            sync.Mutex // guards all below
	recent, older map[[sha256.Size]byte]remembered
	generation    uint64 // of the keys that they were verified with
}

// remembered is what a token was verified to be.
type remembered struct {
	caller     string
	attributes pillarbox.Attributes
	notBefore  time.Time // of us, which is earlier than that of the token
	expiry     time.Time
}

// claim is where a value stands in a token.
type claim struct{ name, path string }

func newVerifier(settings Settings, keys *keySet) *Verifier {
	if len(settings.Algorithms) == 0 {
		settings.Algorithms = DefaultAlgorithms()
	}
	if settings.Caller == "" {
		settings.Caller = DefaultCaller
	}
	v := &Verifier{settings: settings, keys: keys, caller: claim{path: pathOf(settings.Caller)},
		recent: map[[sha256.Size]byte]remembered{}, inline: rate.NewLimiter(InlineRate, InlineRate)}
	for name, at := range settings.Claims {
		v.attributes = append(v.attributes, claim{name, pathOf(at)})
	}
	slices.SortFunc(v.attributes, func(a, b claim) int { return strings.Compare(a.name, b.name) })
	return v
}

// pathOf makes a path of gjson of the name of a claim, or of a JSON pointer, which begins with a
// slash.
func pathOf(claim string) string {
	if !strings.HasPrefix(claim, "/") {
		return gjson.Escape(claim)
	}
	return jsontext.ParsePointer(claim).Path()
}

// Await waits until the keys of the issuer are those of a moment after the call, for AwaitAtMost. It
// reports whether they are.
func (v *Verifier) Await() bool { return v.keys.await() }

// Identify returns who a token is of, and what is known of them. refused says why it opens nothing;
// Undecided is one that may open something after Await, or for a caller that may wait. It waits for
// nobody, keeps nothing of token, and costs no allocation for one that it remembers.
func (v *Verifier) Identify(token string, now time.Time, mayWait bool) (caller string,
	attributes pillarbox.Attributes, refused string) {
	if len(token) > MaxToken {
		return "", nil, malformed
	}
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(token), len(token)))
	keys := v.keys.current()
	if known, found := v.recall(sum, keys, now); found {
		return known.caller, known.attributes, ""
	}
	verified, refused := v.verify(token, keys, now, mayWait)
	if refused != "" {
		return "", nil, refused
	}
	v.remember(sum, keys, verified)
	return verified.caller, verified.attributes, ""
}

// recall finds what was verified with the same keys, and holds now.
func (v *Verifier) recall(sum [sha256.Size]byte, keys *keys, now time.Time) (known remembered, found bool) {
	if keys == nil {
		return known, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.generation != keys.generation {
		return known, false
	}
	if known, found = v.recent[sum]; !found {
		known, found = v.older[sum]
	}
	return known, found && !known.expiry.Before(now) && !now.Before(known.notBefore)
}

func (v *Verifier) remember(sum [sha256.Size]byte, keys *keys, verified remembered) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.generation > keys.generation:
		return // it was verified with keys that are gone
	case v.generation < keys.generation:
		v.recent, v.older, v.generation = map[[sha256.Size]byte]remembered{}, nil, keys.generation
	case len(v.recent) >= MaxRemembered:
		v.recent, v.older = map[[sha256.Size]byte]remembered{}, v.recent
	}
	v.recent[sum] = verified
}

// verify looks at a token that is not remembered: first at what costs little.
func (v *Verifier) verify(token string, keys *keys, now time.Time, mayWait bool) (verified remembered, refused string) {
	header, claims, ok := parts(token)
	if !ok {
		return verified, malformed
	}
	alg := gjson.GetBytes(header, "alg").Str
	if !slices.Contains(v.settings.Algorithms, alg) {
		return verified, algorithm
	}
	if gjson.GetBytes(claims, "iss").Str != v.settings.Issuer {
		return verified, otherIssuer
	}
	if refused := v.refusal(claims, now); refused != "" {
		return verified, refused
	}
	candidates, known := keys.find(gjson.GetBytes(header, "kid"), alg)
	if !known || !mayWait && !v.inline.Allow() {
		return verified, Undecided
	}
	config := &oidc.Config{ClientID: v.settings.Audience, SupportedSigningAlgs: v.settings.Algorithms,
		Now: func() time.Time { return now }}
	proven, err := oidc.NewVerifier(v.settings.Issuer, &oidc.StaticKeySet{PublicKeys: candidates}, config).
		Verify(context.Background(), token)
	if late := (*oidc.TokenExpiredError)(nil); errors.As(err, &late) {
		return verified, expired
	}
	if err != nil {
		return verified, unknown // why is in refusal, for what else is wrong
	}
	return v.identity(proven, now)
}

// refusal says what is wrong with claims that nobody has verified yet. That nothing is proves
// nothing.
func (v *Verifier) refusal(claims []byte, now time.Time) string {
	audience := gjson.GetBytes(claims, "aud")
	isOurs := audience.Type == gjson.String && audience.Str == v.settings.Audience
	for _, one := range audience.Array() {
		isOurs = isOurs || one.Type == gjson.String && one.Str == v.settings.Audience
	}
	switch exp, nbf := gjson.GetBytes(claims, "exp"), gjson.GetBytes(claims, "nbf"); {
	case !isOurs:
		return otherAudience
	case exp.Type == gjson.Number && exp.Num < float64(now.Unix()):
		return expired
	case nbf.Type == gjson.Number && nbf.Num > float64(now.Add(leeway).Unix()+1):
		return notYet
	}
	return ""
}

// leeway is how early a token may come, which go-oidc has decided: clocks differ.
const leeway = 5 * time.Minute

// identity is who a token is of that is verified.
func (v *Verifier) identity(token *oidc.IDToken, now time.Time) (who remembered, refused string) {
	var claims rawClaims
	if err := token.Claims(&claims); err != nil {
		return who, malformed
	}
	who.caller = valueOf(gjson.GetBytes(claims, v.caller.path))
	if !isName(who.caller) {
		return who, malformed
	}
	for _, c := range v.attributes {
		if value := gjson.GetBytes(claims, c.path); value.Exists() && value.Type != gjson.Null {
			who.attributes = append(who.attributes, pillarbox.Attribute{Name: c.name, Value: valueOf(value)})
		}
	}
	who.expiry, who.notBefore = token.Expiry, now.Add(-leeway)
	return who, ""
}

// rawClaims is all of a token's claims, as they are.
type rawClaims []byte

func (r *rawClaims) UnmarshalJSON(text []byte) error {
	*r = slices.Clone(text)
	return nil
}

// valueOf is the text of a claim: of a list or an object, its JSON.
func valueOf(value gjson.Result) string {
	text := value.Raw
	if value.Type == gjson.String {
		text = value.Str
	}
	return strings.Clone(strings.ToValidUTF8(text, "\uFFFD"))
}

// isName reports whether a text can name a caller.
func isName(text string) bool {
	return text != "" && len(text) <= MaxCaller && !strings.ContainsFunc(text, unicode.IsControl) &&
		text[0] != '{' && text[0] != '['
}

// parts decodes header and claims of a token in its compact form: three parts of base64url.
func parts(token string) (header, claims []byte, ok bool) {
	first, rest, _ := strings.Cut(token, ".")
	second, third, found := strings.Cut(rest, ".")
	if !found || third == "" || strings.Contains(third, ".") {
		return nil, nil, false
	}
	header, headerErr := base64.RawURLEncoding.DecodeString(first)
	claims, claimsErr := base64.RawURLEncoding.DecodeString(second)
	return header, claims, headerErr == nil && claimsErr == nil && gjson.ValidBytes(header) &&
		gjson.ValidBytes(claims)
}
