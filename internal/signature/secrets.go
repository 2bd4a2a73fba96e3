package signature

import (
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"unicode"
)

// MinToken is the shortest token, in characters: nothing slows down who guesses one.
const MinToken = 16

// errorText is an error about a secret. It says what is wanted, and never what is there.
type errorText string

func (e errorText) Error() string { return string(e) }

// checkText refuses what comes with a secret where it was copied or read from a file.
func checkText(secret string) error {
	if strings.TrimSpace(secret) != secret {
		return errorText("there is space or a line end before or behind it")
	}
	if strings.ContainsFunc(secret, unicode.IsControl) {
		return errorText("there are control characters in it")
	}
	return nil
}

// checkEach names the secret that is wrong by its place.
func checkEach(secrets []string, check func(secret string) error) error {
	for i, secret := range secrets {
		if err := check(secret); err != nil {
			return wrong(fmt.Sprintf("secrets[%d]", i), err.Error())
		}
	}
	return nil
}

func checkToken(secret string) error {
	if len(secret) < MinToken {
		return errorText("want at least 16 characters (openssl rand -hex 32 makes such a token)")
	}
	return checkText(secret)
}

// readPublic reads the public key of the sender, in hexadecimal or base64.
func readPublic(secret string) (*key, error) {
	if bytes, err := hex.DecodeString(secret); err == nil && len(bytes) == ed25519.PublicKeySize {
		return newPublic(bytes), nil
	}
	bytes, err := base64.StdEncoding.DecodeString(secret)
	if err != nil || len(bytes) != ed25519.PublicKeySize {
		return nil, errorText("want the public key of the sender: 64 hexadecimal digits, or base64")
	}
	return newPublic(bytes), nil
}

// isToken compares the digests of two tokens.
func (k *key) isToken(token string) bool {
	s := k.get()
	s.text = append(s.text, token...)
	s.flush()
	sum := s.hash.Sum(s.sum[:0])
	same := subtle.ConstantTimeCompare(sum, k.token[:]) == 1
	k.put(s)
	return same
}

// checkURL refuses what can't be the public URL of a path.
func checkURL(text string) error {
	parsed, err := url.Parse(text)
	switch {
	case text == "":
		return wrong("url", "want the public URL, as the sender has it configured: it is signed")
	case err != nil || parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Host == "":
		return wrong("url", "want a URL such as https://example.org/hooks/square")
	case parsed.RawQuery != "" || parsed.ForceQuery || strings.Contains(text, "#"):
		return wrong("url", "want it without a query: that is taken from each request")
	case parsed.User != nil:
		return wrong("url", "want it without a name and a password")
	}
	return nil
}

// appendURL appends the URL that the sender has called: the configured one, what is behind the path
// of the source, and the query.
func appendURL(to []byte, public, path string, r *Request) []byte {
	to = append(to, public...)
	to = append(to, strings.TrimPrefix(r.Path, path)...)
	if r.Query != "" {
		to = append(append(to, '?'), r.Query...)
	}
	return to
}
