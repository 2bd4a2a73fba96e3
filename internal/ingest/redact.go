package ingest

import (
	"net/url"
	"strings"

	"pillarbox"
)

// HeaderPolicy chooses the headers that are kept with an event. Credentials and the headers of the connection
// itself are never kept, whatever the policy says.
type HeaderPolicy struct {
	Allow []string // names to keep; empty keeps all
	Deny  []string // names to drop besides
}

// Redacted stands in a query where a credential was.
const Redacted = "REDACTED"

// connectionHeaders belong to one hop and say nothing about the event (RFC 9110, section 7.6.1).
var connectionHeaders = []string{
	"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"content-length", "expect", "host",
}

// credentialWords mark a header that carries a key, a token, a signature or a session wherever one of them
// occurs in its name. A header too many is lost rather than a credential kept.
var credentialWords = []string{
	"authorization", "cookie", "api-key", "apikey", "access-key", "auth-key", "secret", "token", "signature",
	"password", "passwd", "credential", "session", "hmac", "idempotency-key", "client-cert", "private-key",
}

// credentialParameters are names of query parameters whose values are replaced.
var credentialParameters = []string{
	"key", "api_key", "apikey", "api-key", "token", "access_token", "auth", "auth_token", "id_token",
	"refresh_token", "sig", "signature", "hmac", "secret", "client_secret", "password", "passwd", "pwd",
	"session", "sessionid", "x-amz-signature", "x-amz-security-token", "x-amz-credential", "code_verifier",
}

type headerFilter struct {
	allow map[string]bool // nil for all
	deny  map[string]bool
}

func (p HeaderPolicy) filter() headerFilter {
	f := headerFilter{deny: map[string]bool{}}
	for _, name := range append(connectionHeaders, p.Deny...) {
		f.deny[strings.ToLower(name)] = true
	}
	if len(p.Allow) > 0 {
		f.allow = map[string]bool{}
		for _, name := range p.Allow {
			f.allow[strings.ToLower(name)] = true
		}
	}
	return f
}

// keep returns the fields that may be stored. The slice that is handed in is not changed.
func (f headerFilter) keep(header pillarbox.Header) pillarbox.Header {
	kept := make(pillarbox.Header, 0, len(header))
	for _, field := range header {
		name := strings.ToLower(field.Name)
		if f.deny[name] || (f.allow != nil && !f.allow[name]) || isCredential(name) {
			continue
		}
		kept = append(kept, field)
	}
	return kept
}

func isCredential(lowerName string) bool {
	for _, word := range credentialWords {
		if strings.Contains(lowerName, word) {
			return true
		}
	}
	return false
}

// redactQuery replaces the values of parameters that carry credentials and leaves everything else as it came,
// byte for byte.
func redactQuery(query string) string {
	if query == "" {
		return ""
	}
	var out strings.Builder
	for rest, found := query, true; found; {
		var part string
		part, rest, found = strings.Cut(rest, "&")
		name, _, hasValue := strings.Cut(part, "=")
		if hasValue && isCredentialParameter(name) {
			part = name + "=" + Redacted
		}
		out.WriteString(part)
		if found {
			out.WriteByte('&')
		}
	}
	return out.String()
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
