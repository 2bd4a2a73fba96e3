package source

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/protocol"
	"pillarbox/internal/telemetry"
)

// User comes in with a name and a password (RFC 7617).
type User struct {
	Name     string // without a colon
	Password string
}

// MaxBasic is the longest name and password together, with the colon between them, in bytes.
const MaxBasic = 384

// The reasons for which nobody is known to send a request, besides those of package apikey.
const (
	noCredential       = apikey.Reason("missing")
	severalCredentials = apikey.Reason("several") // that are not one and the same
)

// Tokens says who a bearer token is of.
type Tokens interface {
	// Identify returns who a token is of, and what is known of them; or why it opens nothing, where
	// "undecided" says to ask again after Await, or as somebody who may wait. It waits for nobody, and
	// keeps nothing of token.
	Identify(token string, now time.Time, mayWait bool) (caller string,
		attributes pillarbox.Attributes, refused string)

	// Await waits until it is known what Identify did not know, for some seconds at most. It reports
	// whether it is.
	Await() bool
}

// undecided is what Identify of Tokens may return, and otherIssuer is for a token of somebody else.
const (
	undecided   = apikey.Reason("undecided")
	otherIssuer = apikey.Reason("other_issuer")
)

// ErrMustWait is for a front that must not wait: another one has to ask about this request.
var ErrMustWait = errors.New("it takes waiting to say who the request is from")

// errNoKeys is the answer to a token whose keys can't be had.
var errNoKeys = &pillarbox.RetryAfterError{After: time.Second, Err: &protocol.Error{Status: http.StatusServiceUnavailable,
	Detail: "it can't be said now who this request is from; nothing was stored"}}

// identity is who a request is from.
type identity struct {
	caller     string
	attributes pillarbox.Attributes
}

// auth says who a request is from. It never changes.
type auth struct {
	keys         *apikey.Ring // nil where no key opens the source
	tokens       []Tokens
	users        []user
	certificates *CertificateRule // nil where none opens the source

	refusal *protocol.Error // one for everything that may be wrong: why is for our side alone
}

// user is one who comes with a password.
type user struct {
	name string
	sum  [sha256.Size]byte // of name, colon and password
}

// newAuth returns nil for a source that is open to everybody.
func newAuth(settings *Settings) *auth {
	if settings.Keys == nil && len(settings.Users) == 0 && len(settings.Tokens) == 0 && settings.Certificates == nil {
		return nil
	}
	a := &auth{keys: settings.Keys, tokens: settings.Tokens, certificates: settings.Certificates}
	var challenges []string
	if a.keys != nil || len(a.tokens) > 0 {
		challenges = append(challenges, `Bearer realm="pillarbox"`)
	}
	for _, u := range settings.Users {
		a.users = append(a.users, user{u.Name, sha256.Sum256([]byte(u.Name + ":" + u.Password))})
	}
	if len(a.users) > 0 {
		challenges = append(challenges, `Basic realm="pillarbox", charset="UTF-8"`)
	}
	if len(challenges) == 0 {
		challenges = append(challenges, `ClientCertificate realm="pillarbox"`)
	}
	a.refusal = &protocol.Error{Status: http.StatusUnauthorized,
		Challenge: strings.Join(challenges, ", "),
		Detail:    "the request comes with no credential that opens this source; nothing was stored"}
	return a
}

// identify says who a request is from, or refuses it. What it returns points into nothing of the
// request.
func (s *Source) identify(head *Head) (who identity, err error) {
	now := s.now()
	who, refused := s.auth.caller(head, s.Name, now)
	switch refused {
	case "":
		return who, nil
	case undecided:
		if head.MayWait {
			return identity{}, errNoKeys
		}
		return identity{}, ErrMustWait
	}
	s.metrics.Unauthorized(string(refused), 1)
	if n := s.strangers.add(now); n > 0 {
		s.logger.Warn("requests are refused: they come with no credential that opens the source; told once a minute",
			telemetry.KeySource, s.Name, telemetry.KeyReason, string(refused), telemetry.KeyRequests, n)
	}
	return identity{}, s.auth.refusal
}

// caller looks for credentials. There may be one: of several, whoever is in front of us may have
// looked at another one.
func (a *auth) caller(head *Head, source string, now time.Time) (who identity, refused apikey.Reason) {
	if caller, ok := a.certificates.Match(head.Certificate); ok {
		return identity{caller: caller}, ""
	}
	var authorization, key string
	var lines, keyLines int
	for i := range head.Header {
		switch head.Header[i].Name {
		case "Authorization":
			authorization = head.Header[i].Value
			lines++
		case "X-Api-Key":
			if a.keys != nil {
				key = head.Header[i].Value
				keyLines++
			}
		}
	}
	switch {
	case lines+keyLines == 0 && a.certificates != nil && head.Certificate != nil:
		return who, apikey.Unknown
	case lines+keyLines == 0:
		return who, noCredential
	case lines > 1 || keyLines > 1:
		return who, severalCredentials
	case lines == 0:
		who.caller, refused = a.keys.Open(key, source, now)
		return who, refused
	}
	scheme, credential, _ := strings.Cut(authorization, " ")
	credential = strings.TrimLeft(credential, " ")
	switch {
	case a.keys != nil && strings.EqualFold(scheme, "Bearer") &&
		(len(a.tokens) == 0 || keyLines > 0 || strings.HasPrefix(credential, apikey.Prefix)):
		if keyLines > 0 && key != credential {
			return who, severalCredentials
		}
		who.caller, refused = a.keys.Open(credential, source, now)
		return who, refused
	case keyLines > 0:
		return who, severalCredentials
	case len(a.tokens) > 0 && strings.EqualFold(scheme, "Bearer"):
		return a.token(credential, now, head.MayWait)
	case len(a.users) > 0 && strings.EqualFold(scheme, "Basic"):
		who.caller, refused = a.user(credential)
		return who, refused
	}
	return who, apikey.Malformed
}

// token asks each issuer; a token that is of one is not of another.
func (a *auth) token(token string, now time.Time, mayWait bool) (who identity, refused apikey.Reason) {
	for _, tokens := range a.tokens {
		caller, attributes, why := tokens.Identify(token, now, mayWait)
		if apikey.Reason(why) == undecided && mayWait && tokens.Await() {
			if caller, attributes, why = tokens.Identify(token, now, true); apikey.Reason(why) == undecided {
				why = string(apikey.Unknown) // the issuer was asked, and does not know its key
			}
		}
		if why == "" {
			return identity{caller, attributes}, ""
		}
		if refused == "" || refused == otherIssuer {
			refused = apikey.Reason(why)
		}
	}
	return who, refused
}

// user finds who has a name and a password. It takes as long for a wrong one, whatever is wrong.
func (a *auth) user(credential string) (string, apikey.Reason) {
	var encoded [(MaxBasic + 2) / 3 * 4]byte
	var decoded [(MaxBasic + 2) / 3 * 3]byte
	if len(credential) > len(encoded) {
		return "", apikey.Malformed
	}
	n, err := base64.StdEncoding.Decode(decoded[:], encoded[:copy(encoded[:], credential)])
	if err != nil {
		return "", apikey.Malformed
	}
	sum := sha256.Sum256(decoded[:n])
	found := -1
	for i := range a.users {
		if subtle.ConstantTimeCompare(sum[:], a.users[i].sum[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return "", apikey.Unknown
	}
	return a.users[found].name, ""
}
