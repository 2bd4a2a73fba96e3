package jwt

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/tidwall/gjson"

	"pillarbox/internal/telemetry"
)

const (
	// RefreshEvery is how often the keys of an issuer are fetched, at least: one that it takes back is
	// believed no longer than that.
	RefreshEvery = 15 * time.Minute
	// RefetchAfter is the shortest time between two fetches: anybody can name a key that is not known.
	RefetchAfter = 5 * time.Second
	// AwaitAtMost is how long Await may take: as long as the keys may not be fetched again, and a while.
	AwaitAtMost = RefetchAfter + 3*time.Second
	// MaxBackoff is the longest wait after a fetch that has failed; the first one is a second.
	MaxBackoff = time.Minute
	// FetchTimeout is how long one may take.
	FetchTimeout = 10 * time.Second
	// MaxKeysBytes is the largest answer of a server of keys.
	MaxKeysBytes = 1 << 20
	// MaxKeys is how many keys of an issuer are kept, and MaxCandidates how many of them are tried on
	// a token that names none.
	MaxKeys, MaxCandidates = 64, 4
	// MinRSABits is the shortest RSA key that is believed (RFC 7518, section 3.3).
	MinRSABits = 2048
)

// Options of Issuers. The zero value works.
type Options struct {
	Transport http.RoundTripper // default: http.DefaultTransport
	Logger    *slog.Logger
}

// Issuers fetches the keys of issuers, and keeps them. All methods may be called concurrently.
type Issuers struct {
	client *http.Client
	logger *slog.Logger
	change chan struct{} // has room for one: a set was added

	mu   sync.Mutex // guards sets
	sets map[[2]string]*keySet
}

// New makes one that has no keys yet. Run fetches them.
func New(options Options) *Issuers {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	client := &http.Client{Transport: options.Transport, Timeout: FetchTimeout,
		CheckRedirect: func(request *http.Request, via []*http.Request) error {
			if len(via) > 3 {
				return errors.New("too many redirections")
			}
			return CheckURL(request.URL.String())
		}}
	return &Issuers{client: client, logger: options.Logger, change: make(chan struct{}, 1),
		sets: map[[2]string]*keySet{}}
}

// CheckURL refuses an address that others can answer at: it has to be HTTPS, or of this machine.
func CheckURL(text string) error {
	at, err := url.Parse(text)
	switch {
	case err != nil || at.Host == "" || at.User != nil || at.Fragment != "":
		return errors.New("want a URL such as https://idp.example.org/")
	case at.Scheme == "https":
		return nil
	case at.Scheme == "http" && isLoopback(at.Hostname()):
		return nil
	}
	return errors.New("want https: whoever answers in the place of the issuer lets in whom they like")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Verifier makes one for these settings, which were checked. Verifiers of one issuer share its keys.
func (i *Issuers) Verifier(settings Settings) *Verifier {
	i.mu.Lock()
	defer i.mu.Unlock()
	at := [2]string{settings.Issuer, settings.KeysURL}
	set := i.sets[at]
	if set == nil {
		set = &keySet{issuer: at[0], url: at[1], client: i.client, logger: i.logger,
			wanted: make(chan struct{}, 1), done: make(chan struct{}), fetched: make(chan struct{})}
		i.sets[at] = set
		signal(i.change)
	}
	return newVerifier(settings, set)
}

// Retain forgets the keys that none of these verifiers uses. What is none of ours is passed over.
func (i *Issuers) Retain(used ...*Verifier) {
	keep := map[*keySet]bool{}
	for _, v := range used {
		keep[v.keys] = true
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for at, set := range i.sets {
		if !keep[set] {
			delete(i.sets, at)
			close(set.done)
		}
	}
}

func signal(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default:
	}
}

// Run fetches keys until ctx ends.
func (i *Issuers) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	started := map[*keySet]bool{}
	for {
		i.mu.Lock()
		for _, set := range i.sets {
			if !started[set] {
				started[set] = true
				running.Go(func() { set.run(ctx) })
			}
		}
		i.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-i.change:
		}
	}
}

// keySet is the keys of one issuer.
type keySet struct {
	issuer, url string
	client      *http.Client
	logger      *slog.Logger
	wanted      chan struct{} // has room for one: somebody misses a key
	done        chan struct{} // closed where nobody uses it any more

	keys atomic.Pointer[keys]

	mu      sync.Mutex    // guards fetched
	fetched chan struct{} // closed by the next fetch that succeeds
}

// keys are what one fetch has brought. Nobody changes them.
type keys struct {
	generation uint64    // from 1; grows with each change
	at         time.Time // when the last fetch that brought them began, by the clock that goes on
	text       []byte
	list       []publicKey
}

type publicKey struct {
	id, algorithm string // algorithm is empty for any
	key           crypto.PublicKey
}

func (s *keySet) current() *keys { return s.keys.Load() }

// await waits for keys that were fetched after it was called.
func (s *keySet) await() bool {
	asked, timer := time.Now(), time.NewTimer(AwaitAtMost)
	defer timer.Stop()
	for {
		s.mu.Lock()
		fetched := s.fetched
		s.mu.Unlock()
		if now := s.current(); now != nil && now.at.After(asked) {
			return true
		}
		signal(s.wanted)
		select {
		case <-fetched:
		case <-timer.C:
			return false
		case <-s.done:
			return false
		}
	}
}

// publish puts keys in force, and tells those who wait.
func (s *keySet) publish(fresh *keys) {
	s.keys.Store(fresh)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.fetched)
	s.fetched = make(chan struct{})
}

// find returns the keys that a token may be signed with, and whether the one that it names is among
// them.
func (k *keys) find(id gjson.Result, algorithm string) (candidates []crypto.PublicKey, known bool) {
	if k == nil || id.Exists() && id.Type != gjson.String {
		return nil, false
	}
	for _, key := range k.list {
		if id.Exists() && key.id != id.Str || key.algorithm != "" && key.algorithm != algorithm {
			continue
		}
		if len(candidates) < MaxCandidates {
			candidates = append(candidates, key.key)
		}
	}
	return candidates, len(candidates) > 0
}

// run fetches until ctx ends, or nobody uses the keys any more.
func (s *keySet) run(ctx context.Context) {
	failed := 0
	for {
		began := time.Now()
		err := s.fetch(ctx, began)
		wait := RefreshEvery
		if err == nil {
			failed = 0
		} else if ctx.Err() == nil {
			wait = min(time.Second<<min(failed, 10), MaxBackoff)
			failed++
			s.logger.Warn("fetch the keys of an issuer of tokens; those that are at hand stay in force",
				telemetry.KeyIssuer, s.issuer, telemetry.KeyErr, err, telemetry.KeyRetryIn, wait)
		}
		if !s.sleep(ctx, began, wait) {
			return
		}
	}
}

// sleep waits until it is time for the next fetch, which is sooner where somebody misses a key. It
// reports whether there is to be one.
func (s *keySet) sleep(ctx context.Context, began time.Time, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	due, wanted := time.Now().Add(wait), s.wanted
	for {
		select {
		case <-ctx.Done():
			return false
		case <-s.done:
			return false
		case <-timer.C:
			return true
		case <-wanted:
			wanted = nil
			if again := began.Add(RefetchAfter); again.Before(due) {
				timer.Reset(max(0, time.Until(again)))
			}
		}
	}
}

// fetch gets the keys, from where the issuer says.
func (s *keySet) fetch(ctx context.Context, began time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, FetchTimeout)
	defer cancel()
	at := s.url
	if at == "" {
		var err error
		if at, err = s.discover(ctx); err != nil {
			return err
		}
	}
	text, err := s.get(ctx, at)
	if err != nil {
		return err
	}
	before := s.current()
	fresh := &keys{at: began, text: text, generation: 1}
	if before != nil && bytes.Equal(before.text, text) {
		fresh.generation, fresh.list = before.generation, before.list
		s.publish(fresh)
		return nil
	}
	if fresh.list, err = parseKeys(text); err != nil {
		return fmt.Errorf("keys at %s: %w", at, err)
	}
	if before != nil {
		fresh.generation = before.generation + 1
	}
	s.publish(fresh)
	return nil
}

// discover asks the issuer where its keys are (OpenID Connect Discovery 1.0, section 4).
func (s *keySet) discover(ctx context.Context) (string, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, s.client), s.issuer)
	if err != nil {
		return "", err
	}
	var document struct {
		KeysURL string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil {
		return "", err
	}
	if err := CheckURL(document.KeysURL); err != nil {
		return "", fmt.Errorf("jwks_uri %q of the issuer: %w", document.KeysURL, err)
	}
	return document.KeysURL, nil
}

func (s *keySet) get(ctx context.Context, at string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers with %s", at, response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, MaxKeysBytes+1))
	if err == nil && len(text) > MaxKeysBytes {
		err = fmt.Errorf("%s answers with more than %d bytes", at, MaxKeysBytes)
	}
	return text, err
}

// parseKeys reads a set of keys (RFC 7517). What can't verify is passed over: keys of other kinds
// and for other uses, secret ones, and such as are too short.
func parseKeys(text []byte) (list []publicKey, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("they can't be read: %w", err)
	}
	for _, one := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(one, &key) != nil || !key.Valid() || !key.IsPublic() ||
			key.Use != "" && key.Use != "sig" || !strong(key.Key) || len(list) == MaxKeys {
			continue
		}
		list = append(list, publicKey{id: strings.Clone(key.KeyID), algorithm: key.Algorithm, key: key.Key})
	}
	if len(list) == 0 {
		return nil, errors.New("there is none that verifies")
	}
	return list, nil
}

func strong(key any) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= MinRSABits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}
