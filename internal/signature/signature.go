// Package signature verifies that a request comes from who it says: it compiles a rule once, and
// holds the bytes of each request against it as they came, in constant time.
//
// A rule names a scheme (see Schemes) and its secrets; with several secrets one of them has to
// match, so that they can be exchanged without a gap. Most schemes are data: one description of
// what is signed, of where the signature stands and of how it is written (Description), which a
// configuration can give by hand as well (SchemeGeneric).
//
// What a request is refused for is for our log and our metrics (Reason). The sender gets none of
// it. Replays are bounded by the tolerance where the scheme signs a time, and by Verified.ID where
// it signs an id; a scheme that signs neither (GitHub, Shopify, Square, Meta, Twilio) can't tell a
// replay from a repetition.
//
// Signer is the other side of Standard Webhooks: it signs what is sent.
//
// The package knows no front and keeps nothing.
package signature

import (
	"slices"
	"strings"
	"time"

	"pillarbox"
)

// Limits.
const (
	// MaxSecrets is how many secrets a rule may have: today's and those that are on their way out.
	MaxSecrets = 8
	// MaxSignatures is how many signatures of one request are looked at, those of unknown versions
	// included. A request with more is malformed: each costs a look, and senders have two.
	MaxSignatures = 8
	// MaxID is the longest id of an event, in bytes, as of an Idempotency-Key.
	MaxID = 255
	// DefaultTolerance is how far a signed time may be from ours, before and after it.
	DefaultTolerance = 5 * time.Minute
	// MaxTolerance is the largest tolerance: more is no protection against replays.
	MaxTolerance = 24 * time.Hour
)

// Request is what is verified. It is read during Verify only.
type Request struct {
	Method string
	Path   string           // as it came
	Query  string           // as it came, without the question mark
	Header pillarbox.Header // all of it, names in canonical form
	Body   []byte           // raw bytes
}

// Settings describe a rule. Zero means the default.
type Settings struct {
	Scheme    string // one of Schemes
	Secrets   []string
	Tolerance time.Duration // DefaultTolerance where 0; only for schemes that sign a time

	// URL is the public one of Path, for schemes that sign it: scheme, host and path, as the sender
	// has it configured, without a query, which is taken from each request.
	URL  string
	Path string // of the source: what follows it in the path of a request follows URL as well

	Description Description // for SchemeGeneric
}

// Verified is what a signature proves besides the body.
type Verified struct {
	ID   string    // of the event, where the scheme signs one; else ""
	Time time.Time // of signing, where the scheme signs it; else zero
}

// Verifier is a compiled rule. All methods may be called concurrently.
type Verifier struct {
	scheme  string
	timed   bool
	signs   []string // the headers, one of which has a signature; none where it is in the body
	check   checker
	headers []string
	bearers []string
}

// checker is one scheme with its secrets.
type checker interface {
	verify(r *Request, at time.Time) (Verified, error)
}

// Verify returns what is proven of a request that has come at the time, or the Reason why it is
// refused. It costs no allocation where the scheme is described by data and signs with HMAC.
func (v *Verifier) Verify(r *Request, at time.Time) (Verified, error) {
	switch check := v.check.(type) { // by name, so that the compiler sees that r is not kept
	case *described:
		return check.verify(r, at)
	case *standard:
		return check.verify(r, at)
	case *gitlab:
		return check.verify(r, at)
	}
	other := *r
	return v.check.verify(&other, at)
}

// Scheme is the name of the scheme.
func (v *Verifier) Scheme() string { return v.scheme }

// Timed reports whether the rule holds a signed time against ours; else Verify reads no time.
func (v *Verifier) Timed() bool { return v.timed }

// Absent reports whether a request can't be verified by its head alone: no header is there that a
// signature of the rule stands in.
func (v *Verifier) Absent(header pillarbox.Header) bool {
	for _, name := range v.signs {
		if has(header, name) {
			return false
		}
	}
	return len(v.signs) > 0
}

// Headers are the names of the headers that the rule reads, in canonical form: whoever is to verify
// a request again later needs them. The slice is the verifier's.
func (v *Verifier) Headers() []string { return v.headers }

// Bearers are those of Headers whose value opens the door to whoever holds it: not to be kept with
// an event. Signatures are none: they prove one body only.
func (v *Verifier) Bearers() []string { return v.bearers }

// SettingError says which setting is wrong, and why. It never holds a secret. It matches
// ErrInvalid.
type SettingError struct {
	Key    string // as in a configuration: scheme, secrets[0], tolerance, url, signed, …
	Reason string
}

func (e *SettingError) Error() string { return e.Key + ": " + e.Reason }

// Unwrap returns ErrInvalid.
func (e *SettingError) Unwrap() error { return pillarbox.ErrInvalid }

func wrong(key, reason string) error { return &SettingError{Key: key, Reason: reason} }

// Compile makes the verifier of a rule. Errors are of the type SettingError.
func Compile(settings Settings) (*Verifier, error) {
	known, ok := schemes[settings.Scheme]
	if !ok {
		return nil, wrong("scheme", "there is none of that name: want one of "+
			strings.Join(Schemes(), ", "))
	}
	if err := checkSettings(&settings, known); err != nil {
		return nil, err
	}
	check, headers, bearers, err := known.compile(settings)
	if err != nil {
		return nil, err
	}
	v := &Verifier{scheme: settings.Scheme, timed: known.timed || settings.Description.timed(),
		check: check, headers: headers, bearers: bearers}
	switch check := check.(type) {
	case *described:
		v.signs = []string{check.Header}
	case *standard:
		v.signs = []string{standardNames[0].signature, standardNames[1].signature}
	case *gitlab:
		v.signs = []string{standardNames[0].signature, standardNames[1].signature, gitlabToken}
	case *twilio:
		v.signs = []string{twilioHeader}
	}
	return v, nil
}

func checkSettings(settings *Settings, known scheme) error {
	switch {
	case len(settings.Secrets) == 0:
		return wrong("secrets", "none is set, and a signature proves nothing without one")
	case len(settings.Secrets) > MaxSecrets:
		return wrong("secrets", "there are more than 8: each costs a look at every request")
	case settings.Tolerance < 0 || settings.Tolerance > MaxTolerance:
		return wrong("tolerance", "want a time of up to 24h")
	case settings.Tolerance != 0 && !known.timed && !settings.Description.timed():
		return wrong("tolerance", "it has no effect: the scheme signs no time")
	case settings.URL != "" && !known.url && !settings.Description.signs(partURL):
		return wrong("url", "it has no effect: the scheme does not sign it")
	case settings.Scheme != SchemeGeneric && settings.Description.first() != "":
		return wrong(settings.Description.first(), "it has no effect: only the scheme generic is described by hand")
	case slices.ContainsFunc(settings.Secrets, func(secret string) bool { return secret == "" }):
		return wrong("secrets", "one of them is empty")
	}
	if settings.Tolerance == 0 {
		settings.Tolerance = DefaultTolerance
	}
	return nil
}
