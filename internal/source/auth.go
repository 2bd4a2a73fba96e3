package source

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

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

// auth says who a request is from. It never changes.
type auth struct {
	keys  *apikey.Ring // nil where no key opens the source
	users []user

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
	if settings.Keys == nil && len(settings.Users) == 0 && settings.Certificates == nil {
		return nil
	}
	a := &auth{keys: settings.Keys, certificates: settings.Certificates}
	var challenges []string
	if a.keys != nil {
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
func (s *Source) identify(head *Head) (caller string, err error) {
	now := s.now()
	caller, refused := s.auth.caller(head, s.Name, now)
	if refused == "" {
		return caller, nil
	}
	s.metrics.Unauthorized(string(refused), 1)
	if n := s.strangers.add(now); n > 0 {
		s.logger.Warn("requests are refused: they come with no credential that opens the source; told once a minute",
			telemetry.KeySource, s.Name, telemetry.KeyReason, string(refused), telemetry.KeyRequests, n)
	}
	return "", s.auth.refusal
}

// caller looks for credentials. There may be one: of several, whoever is in front of us may have
// looked at another one.
func (a *auth) caller(head *Head, source string, now time.Time) (string, apikey.Reason) {
	if caller, ok := a.certificates.Match(head.Certificate); ok {
		return caller, ""
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
		return "", apikey.Unknown
	case lines+keyLines == 0:
		return "", noCredential
	case lines > 1 || keyLines > 1:
		return "", severalCredentials
	case lines == 0:
		return a.keys.Open(key, source, now)
	}
	scheme, credential, _ := strings.Cut(authorization, " ")
	credential = strings.TrimLeft(credential, " ")
	switch {
	case a.keys != nil && strings.EqualFold(scheme, "Bearer"):
		if keyLines > 0 && key != credential {
			return "", severalCredentials
		}
		return a.keys.Open(credential, source, now)
	case keyLines > 0:
		return "", severalCredentials
	case len(a.users) > 0 && strings.EqualFold(scheme, "Basic"):
		return a.user(credential)
	}
	return "", apikey.Malformed
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
