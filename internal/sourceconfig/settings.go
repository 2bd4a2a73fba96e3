// Package sourceconfig makes settings of sources of what a configuration says of them, for a server
// and for the function on AWS alike.
//
// It promises that a source asks for whatever its configuration says that it asks for: what can't be
// asked for where it runs is an error of CheckFunction, and never left out. It opens nothing and
// keeps nothing.
package sourceconfig

import (
	"slices"
	"strings"

	"pillarbox/internal/apikey"
	"pillarbox/internal/config"
	"pillarbox/internal/jwt"
	"pillarbox/internal/preset"
	"pillarbox/internal/ratelimit"
	"pillarbox/internal/source"
)

// Settings are those of all sources, in no order. keys are never nil: a source that asks for a key
// and has none to compare it with would be open. Tokens are verified by the issuers.
func Settings(cfg *config.Config, keys *apikey.Ring, issuers *jwt.Issuers) (all []source.Settings) {
	for name, s := range cfg.Sources {
		opening, users := authOf(&s, keys)
		all = append(all, source.Settings{
			Name: name, Path: s.Path, MaxBody: int64(s.MaxBody),
			Keys: opening, Users: users, Tokens: tokensOf(&s, issuers), Certificates: certificatesOf(&s),
			Allow: config.Prefixes(s.Allow), Deny: config.Prefixes(s.Deny), Limits: limitsOf(cfg, &s),
			Redact: source.Places(s.Redact),
			Hash: source.Hash{Key: []byte(s.Hash.Key), Places: source.Places{Headers: s.Hash.Headers,
				Query: s.Hash.Query, JSON: s.Hash.JSON}},
			Headers: source.HeaderPolicy{Allow: s.Headers.Allow, Deny: s.Headers.Deny},
			Key:     s.Idempotency.Key, KeyAlone: s.Idempotency.Content == config.ContentIgnore,
			Methods: s.Methods, Signature: cfg.Verifier(name),
			Quarantine: s.Signature.OnFailure == config.OnFailureQuarantine,
			Handshake:  preset.Handshake(s.Handshake), VerifyToken: string(s.VerifyToken),
			CORS: source.CORS(s.CORS), CloudEvents: source.CloudEvents(s.CloudEvents),
			Answer: preset.Answer{Status: s.Response.Status, Body: s.Response.Body,
				ContentType: s.Response.ContentType},
		})
	}
	return all
}

// limitsOf is how many events of a source may come in.
func limitsOf(cfg *config.Config, s *config.Source) (limits []source.Limit) {
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
			tokens = append(tokens, issuers.Verifier(jwt.Settings{Issuer: way.JWT.Issuer,
				Audience: way.JWT.Audience, KeysURL: way.JWT.JWKSURL, Algorithms: way.JWT.Algorithms,
				Caller: way.JWT.Caller, Claims: way.JWT.Claims}))
		}
	}
	return tokens
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

// AsksForKeys reports whether a source asks for an API key.
func AsksForKeys(cfg *config.Config) bool {
	return anyWay(cfg, func(way config.Auth) bool { return way.APIKey })
}

// AsksForTokens reports whether a source asks for a token of an issuer.
func AsksForTokens(cfg *config.Config) bool {
	return anyWay(cfg, func(way config.Auth) bool { return way.JWT.Issuer != "" })
}

func anyWay(cfg *config.Config, is func(config.Auth) bool) bool {
	for _, s := range cfg.Sources {
		if slices.ContainsFunc(s.Auth, is) {
			return true
		}
	}
	return false
}
