package source

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"pillarbox"
	"pillarbox/internal/evidence"
	"pillarbox/internal/telemetry"
)

// Redacted stands where a secret was in a query or in the URL of a header.
const Redacted = "REDACTED"

// HeaderPolicy chooses the headers that are kept with an event. Bearer secrets and the headers of
// the connection itself are never kept, whatever the policy says.
type HeaderPolicy struct {
	Allow []string // names to keep; empty keeps all
	Deny  []string // names to drop besides
}

// urlHeaders hold URLs, in which secrets may stand.
var urlHeaders = []string{
	"referer", "origin", "location", "content-location", "x-forwarded-uri", "x-original-uri",
	"x-original-url", "x-rewrite-url", "x-envoy-original-path",
}

// fate is what becomes of the value under a name.
type fate uint8

const (
	kept      fate = iota
	ofTheHop       // a header of the connection, which is no part of what was sent
	byRule         // the policy does not want it
	asSecret       // a header that is left out, or a parameter whose value is replaced
	secretURL      // a header whose value is kept without the secrets in the URL
	redacted       // a value in whose place a rule puts Redacted
	hashed         // a value in whose place a rule puts a digest
)

// keeper decides what is kept of requests, and counts and tells what is not. It looks at each name
// once: senders use the same few names.
type keeper struct {
	allow   map[string]bool // nil for all
	deny    map[string]bool
	bearers []string        // names of headers that the signature rule takes for secrets
	masks   *masks          // nil for none
	common  map[string]fate // of names that many senders use; clients can't push them out

	headers, parameters learned

	source  string
	metrics *telemetry.Ingest
	log     *slog.Logger
	told    learned // names that the log has had
	removed [telemetry.Removals]atomic.Uint64
}

// learned remembers decisions about names.
type learned struct {
	byName atomic.Pointer[map[string]fate]
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

func newKeeper(settings Settings, options Options) *keeper {
	k := &keeper{deny: map[string]bool{}, common: map[string]fate{}, source: settings.Name,
		metrics: options.Metrics.Ingest(settings.Name), log: options.Logger}
	k.masks = newMasks(&settings)
	if settings.Signature != nil {
		for _, name := range settings.Signature.Bearers() {
			k.bearers = append(k.bearers, strings.ToLower(name))
		}
	}
	for _, name := range settings.Headers.Deny {
		k.deny[strings.ToLower(name)] = true
	}
	if len(settings.Headers.Allow) > 0 {
		k.allow = map[string]bool{}
		for _, name := range settings.Headers.Allow {
			k.allow[strings.ToLower(name)] = true
		}
	}
	for _, name := range commonHeaders {
		k.common[name] = k.decide(name)
	}
	return k
}

// appendHeader appends what is kept of a header. The slice that is handed in is not changed.
func (k *keeper) appendHeader(to, header pillarbox.Header, removed *Removed) pillarbox.Header {
	for _, field := range header {
		switch what := k.fateOf(field.Name); what {
		case kept:
			to = append(to, field)
		case byRule:
			k.remove(telemetry.RemovedByRule, inHeader, field.Name, removed)
		case asSecret:
			k.remove(telemetry.RemovedHeader, inHeader, field.Name, removed)
		case secretURL:
			value, cleaned := k.cleanURL(field.Value, removed)
			to = append(to, pillarbox.HeaderField{Name: field.Name, Value: value})
			if cleaned {
				k.remove(telemetry.RemovedInURL, inURL, field.Name, removed)
			}
		case redacted, hashed:
			if field.Value != "" && !k.replaced(what, field.Value) {
				field.Value = k.masks.replace(what, field.Value)
				k.remove(what.removal(), inHeader, field.Name, removed)
			}
			to = append(to, field)
		}
	}
	return to
}

// replaced reports whether a value is what stands in the place of one already.
func (k *keeper) replaced(what fate, value string) bool {
	return value == Redacted || what == hashed && isDigest(value)
}

func (k *keeper) fateOf(name string) fate {
	if decided, known := k.common[name]; known {
		return decided
	}
	return k.headers.of(name, k.decide)
}

func (k *keeper) decide(name string) fate {
	lower := strings.ToLower(name)
	ruled, isRuled := k.masks.ofHeader(name)
	switch {
	case evidence.IsOfConnection(name):
		return ofTheHop
	case isRuled:
		return ruled
	case evidence.IsSecret(name), slices.Contains(k.bearers, lower):
		return asSecret
	case k.deny[lower], k.allow != nil && !k.allow[lower]:
		return byRule
	case slices.Contains(urlHeaders, lower):
		return secretURL
	}
	return kept
}

// count counts what is not kept.
func (k *keeper) count(what telemetry.Removal, n int) {
	k.removed[what].Add(uint64(n))
	k.metrics.Removed(what, n)
}

// remove counts and notes, and tells each name once whose bearer secrets are not kept.
func (k *keeper) remove(what telemetry.Removal, where, name string, removed *Removed) {
	k.count(what, 1)
	removed.note(what, where, name)
	if !what.OfSecrets() || k.told.has(name) {
		return
	}
	k.told.learn(name, asSecret)
	k.log.Info("a bearer secret is not kept: its name says what it is; this is told once for each name, and counted for each request",
		telemetry.KeySource, k.source, telemetry.KeyName, name, telemetry.KeyWhat, what.String())
}

// of is the decision about a name, which is made once while there is room.
func (l *learned) of(name string, decide func(name string) fate) fate {
	if names := l.byName.Load(); names != nil {
		if decided, known := (*names)[name]; known {
			return decided
		}
	}
	decided := decide(name)
	l.learn(name, decided)
	return decided
}

// has reports whether a name needs no more words: it was learned, or there is no room for it.
func (l *learned) has(name string) bool {
	names := l.byName.Load()
	if names == nil {
		return len(name) > maxLearnedName
	}
	_, known := (*names)[name]
	return known || len(*names) >= maxLearned || len(name) > maxLearnedName
}

// learn remembers a decision while there is room. Where two learn at once, one of them learns again
// later.
func (l *learned) learn(name string, decided fate) {
	before := l.byName.Load()
	if len(name) > maxLearnedName || before != nil && len(*before) >= maxLearned {
		return
	}
	after := map[string]fate{}
	if before != nil {
		after = maps.Clone(*before)
	}
	after[strings.Clone(name)] = decided // the name may be a part of a buffer
	l.byName.CompareAndSwap(before, &after)
}
