package source

import (
	"maps"
	"strings"
	"sync/atomic"

	"pillarbox"
)

// HeaderPolicy chooses the headers that are kept with an event. Credentials and the headers of the
// connection itself are never kept, whatever the policy says.
type HeaderPolicy struct {
	Allow []string // names to keep; empty keeps all
	Deny  []string // names to drop besides
}

// connectionHeaders belong to one hop and say nothing about the event (RFC 9110, section 7.6.1).
var connectionHeaders = []string{
	"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"content-length", "expect", "host",
}

// credentialWords mark a header that carries a key, a token, a signature or a session wherever one
// of them occurs in its name. A header too many is lost rather than a credential kept.
var credentialWords = []string{
	"authorization", "cookie", "api-key", "apikey", "access-key", "auth-key", "secret", "token", "signature",
	"password", "passwd", "credential", "session", "hmac", "idempotency-key", "client-cert", "private-key",
}

// headerFilter decides which headers are kept. It looks at each name once: senders use the same few
// names.
type headerFilter struct {
	allow   map[string]bool // nil for all
	deny    map[string]bool
	common  map[string]bool // decisions about names that many senders use; clients can't push them out
	learned *atomic.Pointer[map[string]bool]
}

// Bounds of what is learned, because clients can invent names.
const (
	maxLearned     = 256
	maxLearnedName = 64
)

// commonHeaders are decided about in advance.
var commonHeaders = []string{
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Authorization", "Baggage", "Cache-Control",
	"Connection", "Content-Encoding", "Content-Language", "Content-Length", "Content-Type", "Cookie", "Dnt",
	"Forwarded", "From", "Origin", "Priority", "Proxy-Authorization", "Referer", "Sec-Fetch-Dest", "Sec-Fetch-Mode",
	"Sec-Fetch-Site", "Traceparent", "Tracestate", "User-Agent", "Via", "X-Api-Key", "X-Correlation-Id",
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Real-Ip", "X-Request-Id",
}

func (p HeaderPolicy) compile() headerFilter {
	f := headerFilter{deny: map[string]bool{}, common: map[string]bool{},
		learned: new(atomic.Pointer[map[string]bool])}
	for _, name := range append(connectionHeaders, p.Deny...) {
		f.deny[strings.ToLower(name)] = true
	}
	if len(p.Allow) > 0 {
		f.allow = map[string]bool{}
		for _, name := range p.Allow {
			f.allow[strings.ToLower(name)] = true
		}
	}
	for _, name := range commonHeaders {
		f.common[name] = f.decide(name)
	}
	f.learned.Store(&map[string]bool{})
	return f
}

// keep appends the fields that may be stored to kept. The slice that is handed in is not changed.
func (f *headerFilter) keep(kept, header pillarbox.Header) pillarbox.Header {
	for _, field := range header {
		if f.keeps(field.Name) {
			kept = append(kept, field)
		}
	}
	return kept
}

func (f *headerFilter) keeps(name string) bool {
	if keeps, known := f.common[name]; known {
		return keeps
	}
	if keeps, known := (*f.learned.Load())[name]; known {
		return keeps
	}
	keeps := f.decide(name)
	f.learn(name, keeps)
	return keeps
}

func (f *headerFilter) decide(name string) bool {
	name = strings.ToLower(name)
	return !f.deny[name] && (f.allow == nil || f.allow[name]) && !isCredential(name)
}

// learn remembers a decision while there is room. Where two learn at once, one of them learns again
// later.
func (f *headerFilter) learn(name string, keeps bool) {
	before := f.learned.Load()
	if len(*before) >= maxLearned || len(name) > maxLearnedName {
		return
	}
	after := maps.Clone(*before)
	after[strings.Clone(name)] = keeps // the name may be a part of a buffer
	f.learned.CompareAndSwap(before, &after)
}

func isCredential(lowerName string) bool {
	for _, word := range credentialWords {
		if strings.Contains(lowerName, word) {
			return true
		}
	}
	return false
}
