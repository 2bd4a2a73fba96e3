package source

import (
	"net/url"
	"strings"
)

// Redacted stands in a query where a credential was.
const Redacted = "REDACTED"

// credentialParameters are names of query parameters whose values are replaced.
var credentialParameters = []string{
	"key", "api_key", "apikey", "api-key", "token", "access_token", "auth", "auth_token", "id_token",
	"refresh_token", "sig", "signature", "hmac", "secret", "client_secret", "password", "passwd", "pwd",
	"session", "sessionid", "x-amz-signature", "x-amz-security-token", "x-amz-credential", "code_verifier",
}

// redactQuery replaces the values of parameters that carry credentials and leaves everything else
// as it came, byte for byte.
func redactQuery(query string) string {
	if !carriesCredential(query) {
		return query
	}
	var out strings.Builder
	for rest, found := query, true; found; {
		var part string
		part, rest, found = strings.Cut(rest, "&")
		if name, credential := credentialIn(part); credential {
			part = name + "=" + Redacted
		}
		out.WriteString(part)
		if found {
			out.WriteByte('&')
		}
	}
	return out.String()
}

func carriesCredential(query string) bool {
	for rest, found := query, query != ""; found; {
		var part string
		part, rest, found = strings.Cut(rest, "&")
		if _, credential := credentialIn(part); credential {
			return true
		}
	}
	return false
}

// credentialIn looks at one parameter.
func credentialIn(part string) (name string, credential bool) {
	name, _, hasValue := strings.Cut(part, "=")
	return name, hasValue && isCredentialParameter(name)
}

func isCredentialParameter(name string) bool {
	if decoded, err := url.QueryUnescape(name); err == nil {
		name = decoded
	}
	for _, parameter := range credentialParameters {
		if strings.EqualFold(parameter, name) {
			return true
		}
	}
	return false
}
