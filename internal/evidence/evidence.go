// Package evidence says, by their names, which parts of a request are not kept with an event.
// Everything else is evidence and is kept as it came.
//
// Not kept are bearer secrets: keys, tokens, passwords and the like that open something to whoever
// holds them; and headers of the connection, which say nothing about the event.
//
// A name is taken apart into words at everything that is no letter or digit, and where a small
// letter is followed by a capital: access_token, Access-Token, accessToken and user[access_token]
// end with the same two words. What decides is in Names, Endings and Data, and nothing else; a part
// of a word never does, so that X-Token-Count and keyboard are data.
//
// What only proves where a request comes from, and can't be used for another one, is data and is
// kept: signatures, Idempotency-Key, ids of keys. So are names that mean too much else: key, code,
// session, pin.
//
// The package does not look at values. All functions may be called concurrently.
package evidence

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// Names are whole names that carry secrets, in words; an X in front of them does not count.
var Names = []string{
	"auth", "authentication", "basic auth", "bearer", "dpop", "code verifier", "credential", "credentials",
	"assertion", "saml response", "saml assertion", "otp", "totp",
	"phpsessid", "jsessionid", "asp net session id", "asp net sessionid",
	"amzn oidc data", "honeycomb team", "password confirmation", "password confirm", "password repeat",
	"password again", "password old", "password new",
}

// Endings are the last words of names that carry secrets. They also count without the space between
// them.
var Endings = []string{
	"authorization", "cookie", "cookies", "jwt", "password", "passwd", "pwd", "passphrase", "secret", "secrets",
	"token", "tokens", "access token", "auth token", "bearer token", "bot token", "csrf token", "id token",
	"login token", "private token", "refresh token", "security token", "session token", "user token", "xsrf token",
	"api key", "api keys", "access key", "account key", "application key", "auth key", "functions key", "master key",
	"private key", "rapidapi key", "secret key", "service key", "session key", "shared key", "storage key",
	"subscription key", "jwt assertion", "client assertion", "client secret", "api secret",
}

// Data are last words that would be taken for secrets, and are not: places in a list, and addresses
// of devices.
var Data = []string{
	"page token", "next token", "continuation token", "sync token", "idempotency token",
	"device token", "push token", "registration token",
}

// ofConnection belong to one hop and say nothing about the event (RFC 9110, section 7.6.1), or are of
// the form in which a body came, which it has no more when it is kept: its length and coding.
var ofConnection = []string{
	"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"content-encoding", "content-length", "expect", "host",
}

// IsOfConnection reports whether a header is of the connection and not of the message.
func IsOfConnection(name string) bool {
	return slices.ContainsFunc(ofConnection,
		func(header string) bool { return strings.EqualFold(header, name) })
}

// maxWords is the longest ending, in words.
const maxWords = 2

var (
	names   = set(Names)
	endings = set(Endings)
	data    = set(Data)
)

// set has each of the list with and without the spaces between its words.
func set(list []string) map[string]bool {
	s := make(map[string]bool, 2*len(list))
	for _, words := range list {
		s[words], s[strings.ReplaceAll(words, " ", "")] = true, true
	}
	return s
}

// IsSecret reports whether what stands under the name of a header or of a parameter is a secret.
func IsSecret(name string) bool {
	words := wordsOf(name)
	if len(words) == 0 {
		return false
	}
	whole := words
	if whole[0] == "x" {
		whole = whole[1:]
	}
	joined := strings.Join(whole, "") // whatever letters are capitals
	if data[joined] {
		return false
	}
	found := names[joined] || endings[joined]
	for n := 1; n <= min(maxWords, len(words)); n++ {
		last := strings.Join(words[len(words)-n:], " ")
		if data[last] {
			return false
		}
		found = found || endings[last]
	}
	return found
}

// IsSecretParameter is IsSecret for the name of a parameter of a query, in its percent-encoding.
func IsSecretParameter(encoded string) bool {
	if !strings.ContainsAny(encoded, "%+") {
		return IsSecret(encoded)
	}
	if decoded, err := url.QueryUnescape(encoded); err == nil {
		encoded = decoded
	}
	return IsSecret(encoded)
}

// wordsOf takes a name apart. The words are in lower case, and numbers at the end are left out.
func wordsOf(name string) []string {
	var words []string
	var word strings.Builder
	end := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
			word.Reset()
		}
	}
	small := false
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			end()
			continue
		}
		if unicode.IsUpper(r) && small {
			end()
		}
		small = unicode.IsLower(r)
		word.WriteRune(unicode.ToLower(r))
	}
	end()
	for i := range words {
		words[i] = strings.TrimRight(words[i], "0123456789")
	}
	for len(words) > 0 && words[len(words)-1] == "" {
		words = words[:len(words)-1]
	}
	return slices.Clip(words)
}
