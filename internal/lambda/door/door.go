// Package door is what the accepting function asks of a request: rules of sources out of a file that
// is packed with it, with secrets and API keys that are kept elsewhere, and taken anew while it runs.
//
// It promises: no source is open before all that it asks for is at hand; a secret or a key that was
// changed elsewhere counts within SecretsEvery or KeysEvery of a process that answers requests; what
// is at hand stays in force while the place where it is kept is away, or has something that can't
// be used. It knows no engine and starts nothing: everything happens in Refresh, because a function
// stands still between two requests.
package door

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/config"
	"pillarbox/internal/jwt"
	"pillarbox/internal/source"
	"pillarbox/internal/sourceconfig"
	"pillarbox/internal/telemetry"
)

// How often what is kept elsewhere is asked for, by a process that answers requests. A call for
// secrets costs 0.05 US dollars for 10,000, one for keys 0.4 for a million.
const (
	SecretsEvery = 5 * time.Minute
	KeysEvery    = time.Minute

	// again is how long it is until a call that has failed is made again, and patience how long one
	// may take where something is at hand: a request waits for it.
	again    = 10 * time.Second
	patience = 2 * time.Second
)

// Options of a Door. Path, Text and Issuers are required.
type Options struct {
	Path string // of the file, for errors
	Text []byte // its content: a configuration of sources alone

	// Env looks up what ${NAME} stands for in the file, where Secrets have no such name. Default:
	// nothing is found.
	Env func(name string) (string, bool)

	// Secrets are asked for what ${NAME} stands for, where the file refers to anything. They return no
	// values where known is still their version, and ErrUnavailable where they can't be had now. nil
	// for none.
	Secrets func(ctx context.Context, known string) (values map[string]string, version string, err error)

	// Keys are asked for the file of API keys, where a source asks for one. They return no text where
	// known is still its version, ErrNotFound where there is none, and ErrUnavailable where it can't be
	// had now. nil for none.
	Keys func(ctx context.Context, known string) (text []byte, version string, err error)

	Window  func(time.Duration) // is told for how long idempotency keys are remembered. Optional
	MaxBody int64               // of what is behind the function, in bytes; 0 for any
	Issuers *jwt.Issuers        // of tokens
	Source  source.Options
	Now     func() time.Time // default time.Now
}

// Door is rules in force. All methods may be called concurrently; one call of Refresh waits for
// another.
type Door struct {
	opts    Options
	logger  *slog.Logger
	sources *source.Sources
	ring    apikey.Ring

	mu      sync.Mutex     // guards all below
	config  *config.Config // in force; nil until the first secrets are there
	refers  bool           // the file refers to secrets
	secrets kept
	keys    kept
}

// kept is what is known of something that is kept elsewhere.
type kept struct {
	version string
	have    bool
	due     time.Time // when it is asked for again; zero for at once
}

// Open reads the file, and refuses one that can't be used. Where it refers to secrets, that can only
// be said once they are there. It makes no call.
func Open(opts Options) (*Door, error) {
	if opts.Env == nil {
		opts.Env = func(string) (string, bool) { return "", false }
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	none, err := source.Compile(nil, opts.Source)
	if err != nil {
		return nil, err
	}
	d := &Door{opts: opts, sources: source.NewSources(none),
		logger: cmp.Or(opts.Source.Logger, slog.New(slog.DiscardHandler))}
	cfg, refers, err := d.load(nil)
	if d.refers = refers; refers && opts.Secrets != nil {
		return d, nil
	}
	if err == nil {
		err = d.use(cfg)
	}
	return d, err
}

// Sources are those in force: none until Refresh has returned without an error for the first time,
// where secrets are kept elsewhere.
func (d *Door) Sources() *source.Sources { return d.sources }

// AsksForTokens reports whether a source may ask for tokens of an issuer, whose keys somebody has to
// fetch then.
func (d *Door) AsksForTokens() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.config == nil || sourceconfig.AsksForTokens(d.config)
}

// load reads the file with these secrets, and says whether it refers to any.
func (d *Door) load(secrets map[string]string) (cfg *config.Config, refers bool, err error) {
	cfg, refers, err = sourceconfig.LoadFunction(d.opts.Path, d.opts.Text,
		func(name string) (string, bool) {
			if value, found := secrets[name]; found {
				return value, true
			}
			return d.opts.Env(name)
		})
	if err == nil {
		err = d.check(cfg)
	}
	return cfg, refers, err
}

// check refuses what is not there for this function.
func (d *Door) check(cfg *config.Config) error {
	if sourceconfig.AsksForKeys(cfg) && d.opts.Keys == nil {
		return pillarbox.Invalid("%s: a source asks for an API key, and the function is not told where keys are kept: set PILLARBOX_API_KEYS_BUCKET", d.opts.Path)
	}
	for name, s := range cfg.Sources {
		if d.opts.MaxBody > 0 && int64(s.MaxBody) > d.opts.MaxBody {
			return pillarbox.Invalid("%s: sources.%s.max_body is %v, and what is behind the function takes %v: set that or less, or set PILLARBOX_BODIES_BUCKET to a bucket for larger bodies",
				d.opts.Path, name, s.MaxBody, config.ByteSize(d.opts.MaxBody))
		}
	}
	return nil
}

// use puts a configuration in force. The caller holds mu, or is alone.
func (d *Door) use(cfg *config.Config) error {
	settings := sourceconfig.Settings(cfg, &d.ring, d.opts.Issuers)
	table, err := source.Compile(settings, d.opts.Source)
	if err != nil {
		return err
	}
	d.sources.Replace(table)
	d.config = cfg
	var used []*jwt.Verifier
	for _, s := range settings {
		for _, tokens := range s.Tokens {
			if verifier, ok := tokens.(*jwt.Verifier); ok {
				used = append(used, verifier)
			}
		}
	}
	d.opts.Issuers.Retain(used...)
	if d.opts.Window != nil {
		d.opts.Window(cfg.Idempotency.Window.Std())
	}
	return nil
}

// Refresh takes over what has changed elsewhere, where it is time to ask. Errors: ErrUnavailable,
// where something is asked for that is not at hand yet; nothing may be accepted then.
func (d *Door) Refresh(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refers && d.opts.Secrets != nil {
		if err := d.refresh(ctx, &d.secrets, SecretsEvery, "secrets", d.takeSecrets); err != nil {
			return err
		}
	}
	if sourceconfig.AsksForKeys(d.config) {
		return d.refresh(ctx, &d.keys, KeysEvery, "API keys", d.takeKeys)
	}
	return nil
}

// refresh asks for one thing if it is time to. The clock may have been set, and stands still with the
// function.
func (d *Door) refresh(ctx context.Context, k *kept, every time.Duration, what string,
	take func(ctx context.Context, known string) (version string, err error)) error {
	now := d.opts.Now().Round(0)
	if k.have && now.Before(k.due) && k.due.Sub(now) <= every {
		return nil
	}
	if k.have {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	version, err := take(ctx, k.version)
	switch {
	case err == nil:
		k.version, k.have, k.due = version, true, now.Add(every)
		return nil
	case !k.have:
		return &pillarbox.RetryAfterError{After: again,
			Err: fmt.Errorf("the %s of sources are not at hand: %w: %w", what, pillarbox.ErrUnavailable, err)}
	}
	k.due = now.Add(again)
	level := slog.LevelError // what is there can't be used, until somebody mends it
	if errors.Is(err, pillarbox.ErrUnavailable) {
		level = slog.LevelWarn
	}
	d.logger.Log(ctx, level, "what sources ask for can't be taken anew; what is at hand stays in force",
		telemetry.KeyWhat, what, telemetry.KeyErr, err)
	return nil
}

func (d *Door) takeSecrets(ctx context.Context, known string) (string, error) {
	values, version, err := d.opts.Secrets(ctx, known)
	if err != nil || version == known && known != "" {
		return version, err
	}
	cfg, _, err := d.load(values)
	if err == nil {
		err = d.use(cfg)
	}
	return version, err
}

func (d *Door) takeKeys(ctx context.Context, known string) (string, error) {
	text, version, err := d.opts.Keys(ctx, known)
	switch {
	case errors.Is(err, pillarbox.ErrNotFound): // nobody has made a key yet
		return "", d.ring.Load(nil)
	case err != nil || version == known && known != "":
		return version, err
	}
	return version, d.ring.Load(text)
}
