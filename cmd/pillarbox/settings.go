package main

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/apikey"
	"pillarbox/internal/batch"
	"pillarbox/internal/config"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/jwt"
	"pillarbox/internal/node"
	"pillarbox/internal/preset"
	"pillarbox/internal/quarantine"
	"pillarbox/internal/ratelimit"
	"pillarbox/internal/retry"
	"pillarbox/internal/source"
)

// settingsOf turns a configuration into what a node may be told again by a reload. keys are never
// nil: a source that asks for a key and has none to compare it with would be open.
func settingsOf(cfg *config.Config, keys *apikey.Ring, issuers *jwt.Issuers) node.Settings {
	settings := node.Settings{
		MaxQueueBytes: int64(cfg.Queue.MaxBytes), KeepQueueBytes: keepBytes(cfg.Queue.KeepBytes),
		Rate: ratelimit.Rate{PerSecond: cfg.HTTP.Rate.PerSecond, Burst: cfg.HTTP.Rate.Burst},
		Quarantine: quarantine.Limits{MaxBytes: int64(cfg.Quarantine.MaxBytes), MaxEntries: cfg.Quarantine.MaxEntries,
			MaxAge: cfg.Quarantine.MaxAge.Std()},
		KeyWindow: cfg.Idempotency.Window.Std(), MaxKeys: int64(cfg.Idempotency.MaxKeys),
	}
	for name, s := range cfg.Sources {
		opening, users := authOf(&s, keys)
		settings.Sources = append(settings.Sources, source.Settings{
			Keys: opening, Users: users, Tokens: tokensOf(&s, issuers), Certificates: certificatesOf(&s),
			Allow: config.Prefixes(s.Allow), Deny: config.Prefixes(s.Deny),
			Name: name, Path: s.Path, MaxBody: int64(
				s.MaxBody), Limits: rateLimitsOf(cfg, &s),
			Redact: source.Places(s.Redact),
			Hash: source.Hash{Key: []byte(s.Hash.Key), Places: source.Places{Headers: s.Hash.Headers,
				Query: s.Hash.Query, JSON: s.Hash.JSON}},
			Headers: source.HeaderPolicy{Allow: s.Headers.Allow, Deny: s.Headers.Deny},
			Key:     s.Idempotency.Key, KeyAlone: s.Idempotency.Content == config.ContentIgnore,
			Methods: s.Methods, Signature: cfg.Verifier(name), Quarantine: s.Signature.OnFailure == config.OnFailureQuarantine, Handshake: preset.Handshake(s.Handshake),
			CORS:        source.CORS(s.CORS),
			CloudEvents: source.CloudEvents(s.CloudEvents),
			VerifyToken: string(s.VerifyToken), Answer: preset.Answer{Status: s.Response.Status,
				Body: s.Response.Body, ContentType: s.Response.ContentType},
		})
	}
	for name, d := range cfg.Destinations {
		settings.Destinations = append(settings.Destinations, destination.Settings{
			Name: name, URL: d.URL, Rule: &pillarbox.Rule{
				Sources: slices.Sorted(slices.Values(d.Sources))}, MaxAge: cfg.Queue.MaxAge.Std(),
			Retry: retry.Policy{Initial: d.Backoff.Initial.Std(), Max: d.Backoff.Max.Std(),
				MaxAttempts: d.MaxAttempts},
			Batch: batch.Limits{MaxEvents: d.Batch.MaxEvents, MaxBytes: int64(d.Batch.MaxBytes),
				MaxAge: d.Batch.MaxAge.Std()},
			Probe:        retry.Breaker{ProbeInitial: d.Probe.Initial.Std(), ProbeMax: d.Probe.Max.Std()},
			WriteTimeout: d.WriteTimeout.Std(),
		})
	}
	return settings
}

// rateLimitsOf is how many events of a source may come in.
func rateLimitsOf(cfg *config.Config, s *config.Source) (limits []source.Limit) {
	for _, r := range s.Rate {
		limits = append(limits, source.Limit{By: source.By(r.By), MaxClients: cfg.HTTP.MaxRateClients,
			Rate: ratelimit.Rate{PerSecond: r.PerSecond, Burst: r.Burst}})
	}
	return limits
}

// authOf is who may come in by a source: anybody where it is neither keys nor users.
func authOf(s *config.Source, keys *apikey.Ring) (opening *apikey.Ring, users []source.User) {
	for _, way := range s.Auth {
		if way.APIKey {
			opening = keys
		}
		for _, user := range way.Basic.Users {
			name, password, _ := strings.Cut(string(user), ":")
			users = append(users, source.User{Name: name, Password: password})
		}
	}
	return opening, users
}

// tokensOf are the tokens that let in whoever sends them.
func tokensOf(s *config.Source, issuers *jwt.Issuers) (tokens []source.Tokens) {
	for _, way := range s.Auth {
		if way.JWT.Issuer != "" {
			tokens = append(tokens, issuers.Verifier(jwt.Settings{Issuer: way.JWT.Issuer, Audience: way.JWT.Audience,
				KeysURL: way.JWT.JWKSURL, Algorithms: way.JWT.Algorithms, Caller: way.JWT.Caller, Claims: way.JWT.Claims}))
		}
	}
	return tokens
}

// usedOf are the verifiers of tokens in settings.
func usedOf(settings *node.Settings) (used []*jwt.Verifier) {
	for _, s := range settings.Sources {
		for _, tokens := range s.Tokens {
			if verifier, ours := tokens.(*jwt.Verifier); ours {
				used = append(used, verifier)
			}
		}
	}
	return used
}

// certificatesOf says which certificates of clients open a source; nil for none.
func certificatesOf(s *config.Source) *source.CertificateRule {
	rule := &source.CertificateRule{}
	for _, way := range s.Auth {
		rule.Names = append(rule.Names, way.ClientCert.Names...)
		rule.URIs = append(rule.URIs, way.ClientCert.URIs...)
	}
	if len(rule.Names)+len(rule.URIs) == 0 {
		return nil
	}
	return rule
}

// adminTokensOf are the tokens of the admin API beside the one for everything.
func adminTokensOf(cfg *config.Config) (tokens []adminapi.Token) {
	for _, t := range cfg.Admin.Tokens {
		scope, _ := adminapi.ParseScope(t.Scope) // Load has checked it
		tokens = append(tokens, adminapi.Token{Name: t.Name, Secret: string(t.Token), Scope: scope})
	}
	return tokens
}

// asksForKeys reports whether a source asks for an API key.
func asksForKeys(cfg *config.Config) bool {
	for _, s := range cfg.Sources {
		if slices.ContainsFunc(s.Auth, func(way config.Auth) bool { return way.APIKey }) {
			return true
		}
	}
	return false
}

// limitsOf are those of the listeners.
func limitsOf(cfg *config.Config) node.Limits {
	limits := cfg.HTTP
	return node.Limits{
		ReadHeaderTimeout: limits.ReadHeaderTimeout.Std(), ReadTimeout: limits.ReadTimeout.Std(), WriteTimeout: limits.WriteTimeout.Std(),
		IdleTimeout: limits.IdleTimeout.Std(), MaxHeaderBytes: int(
			limits.MaxHeaderBytes), MaxConnections: limits.MaxConnections,
		MaxPerAddress: limits.MaxPerAddress, MinBodyRate: int64(
			limits.MinBodyRate), BodyGrace: limits.BodyGrace.Std(),
		MaxBatchBytes: int64(limits.MaxBatchBytes), MaxBatchItems: limits.MaxBatchItems, MaxWait: limits.MaxWait.Std(),
		AppendTimeout: cfg.Queue.CommitTimeout.Std(),
	}
}

// keepBytes is what the log takes for no history at all.
func keepBytes(keep config.ByteSize) int64 {
	if keep == 0 {
		return -1
	}
	return int64(keep)
}

// longestBackoff is the longest wait between two attempts of any destination.
func longestBackoff(cfg *config.Config) (longest time.Duration) {
	for _, d := range cfg.Destinations {
		longest = max(longest, d.Backoff.Max.Std())
	}
	return longest
}

func sinkURLs(cfg *config.Config) map[string]string {
	urls := map[string]string{}
	for name, d := range cfg.Destinations {
		urls[name] = d.URL
	}
	return urls
}

// needsData reports whether anything is kept below the data directory.
func needsData(cfg *config.Config) bool {
	for _, d := range cfg.Destinations {
		if catalog.NeedsData(d.URL) {
			return true
		}
	}
	return asksForKeys(cfg) || quarantines(cfg) || len(cfg.TLS.ACME.Domains) > 0 || catalog.NeedsData(cfg.Queue.URL) || catalog.NeedsData(cfg.DeadLetters.URL)
}

// quarantines reports whether a source keeps requests apart whose signature fails.
func quarantines(cfg *config.Config) bool {
	for _, s := range cfg.Sources {
		if s.Signature.OnFailure == config.OnFailureQuarantine {
			return true
		}
	}
	return false
}

// directoryOf is the data directory as an absolute path, so that a command can tell whether it is
// its own. It is empty where nothing is kept on this machine.
func directoryOf(cfg *config.Config) string {
	if !needsData(cfg) {
		return ""
	}
	absolute, err := filepath.Abs(cfg.Data)
	if err != nil {
		return cfg.Data
	}
	return absolute
}
