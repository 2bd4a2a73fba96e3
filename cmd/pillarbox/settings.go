package main

import (
	"path/filepath"
	"slices"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/apikey"
	"pillarbox/internal/batch"
	"pillarbox/internal/bus"
	"pillarbox/internal/config"
	"pillarbox/internal/destination"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/engine/webhook"
	"pillarbox/internal/jwt"
	"pillarbox/internal/node"
	"pillarbox/internal/quarantine"
	"pillarbox/internal/ratelimit"
	"pillarbox/internal/retry"
	"pillarbox/internal/sourceconfig"
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
		Sources: sourceconfig.Settings(cfg, keys, issuers),
	}
	for name, d := range cfg.Destinations {
		before, since, _ := d.Begins() // the configuration was checked
		settings.Destinations = append(settings.Destinations, destination.Settings{
			Name: name, URL: d.URL, Rule: &pillarbox.Rule{
				Sources: slices.Sorted(slices.Values(d.Sources)), Where: d.Where},
			From: destination.From{Before: before, Since: since, Store: d.FromStore}, RefuseFailed: d.WhereOnError == config.FailedDeadLetter, Shape: shapeOf(d.Shape), MaxAge: cfg.Queue.MaxAge.Std(),
			Retry: retry.Policy{Initial: d.Backoff.Initial.Std(), Max: d.Backoff.Max.Std(),
				MaxAttempts: d.MaxAttempts},
			Batch: batch.Limits{MaxEvents: d.Batch.MaxEvents, MaxBytes: int64(d.Batch.MaxBytes),
				MaxAge: d.Batch.MaxAge.Std()},
			Probe:        retry.Breaker{ProbeInitial: d.Probe.Initial.Std(), ProbeMax: d.Probe.Max.Std()},
			WriteTimeout: d.WriteTimeout.Std(),
			Canary:       destination.Canary{Policy: canaryPolicies[d.Canary], Timeout: cfg.Canary.Timeout.Std()},
		})
	}
	return settings
}

var canaryPolicies = map[string]destination.CanaryPolicy{config.CanaryAuto: destination.CanaryThereAndBack,
	config.CanaryOn: destination.CanarySend, config.CanaryOff: destination.CanaryNever}

// canaryOf is the canary that the server sends itself.
func canaryOf(cfg *config.Config) node.CanaryOptions {
	if !cfg.Canary.Enabled {
		return node.CanaryOptions{}
	}
	return node.CanaryOptions{Every: cfg.Canary.Every.Std(), Timeout: cfg.Canary.Timeout.Std(), URL: cfg.Canary.URL, Secret: string(cfg.Canary.Secret)}
}

func shapeOf(shape config.Shape) destination.Shape {
	return destination.Shape{Drop: destination.Places(shape.Drop), Redact: destination.Places(shape.Redact),
		Rename: destination.Names(shape.Rename)}
}

// engineOf is what is set of a destination's engine.
func engineOf(d *config.Destination) catalog.Destination {
	engine := catalog.Destination{URL: d.URL, Webhook: webhook.Options{
		Send: d.Send, Concurrency: d.Concurrency, Rate: d.Rate, AllowPrivate: d.AllowPrivate,
		OAuth2: webhook.OAuth2{TokenURL: d.OAuth2.TokenURL, ClientID: d.OAuth2.ClientID,
			ClientSecret: string(d.OAuth2.ClientSecret), Scopes: d.OAuth2.Scopes},
		Proxy: webhook.Proxy{URL: d.Proxy.URL, User: d.Proxy.User, Password: string(d.Proxy.Password)},
		TLS:   webhook.TLS{CA: d.TLS.CA, Cert: d.TLS.Cert, Key: d.TLS.Key},
	}}
	if d.IsBroker() {
		engine.Broker = brokerOf(d)
	}
	for _, secret := range d.SigningSecrets {
		engine.Webhook.SigningSecrets = append(engine.Webhook.SigningSecrets, string(secret))
	}
	if len(d.Headers) > 0 {
		engine.Webhook.Headers = make(map[string]string, len(d.Headers))
	}
	for name, value := range d.Headers {
		engine.Webhook.Headers[name] = string(value)
	}
	return engine
}

// brokerOf is what is set of a broker.
func brokerOf(d *config.Destination) catalog.Broker {
	headers := make(map[string]string, len(d.Headers))
	for name, value := range d.Headers {
		headers[name] = string(value)
	}
	return catalog.Broker{
		Options: bus.Options{Format: d.Format, Key: d.Key, Headers: headers,
			TLS: bus.TLS{Enabled: d.TLS.Enabled, CA: d.TLS.CA, Cert: d.TLS.Cert, Key: d.TLS.Key}},
		Auth: catalog.BrokerAuth{User: d.Auth.User, Password: string(d.Auth.Password), Mechanism: d.Auth.Mechanism,
			Token: string(d.Auth.Token), NKey: string(d.Auth.NKey), Creds: d.Auth.Creds},
	}
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

// adminTokensOf are the tokens of the admin API beside the one for everything.
func adminTokensOf(cfg *config.Config) (tokens []adminapi.Token) {
	for _, t := range cfg.Admin.Tokens {
		scope, _ := adminapi.ParseScope(t.Scope) // Load has checked it
		tokens = append(tokens, adminapi.Token{Name: t.Name, Secret: string(t.Token), Scope: scope})
	}
	return tokens
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
	return sourceconfig.AsksForKeys(cfg) && cfg.APIKeys.URL == "" || quarantines(cfg) || len(cfg.TLS.ACME.Domains) > 0 || catalog.NeedsData(cfg.Queue.URL) || catalog.NeedsData(cfg.DeadLetters.URL)
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
