package source

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"pillarbox"
)

const (
	// CanaryPath is where the canary posts to. Whoever does not sign with its key gets what any
	// path gets that leads nowhere, or to a source whose path is a pattern.
	CanaryPath = "/pillarbox-canary"
	// CanarySignature is the header that the canary signs a request in.
	CanarySignature = "Pillarbox-Canary-Signature"
	// CanaryMaxBody is the largest body that it may have, in bytes.
	CanaryMaxBody = 1 << 10

	canaryTolerance = 5 * time.Minute // between the clock of who signs and ours
	maxCanariesSeen = 10_000          // signatures that are remembered; all of them are our own
)

// CanaryKey signs the requests of the canary, and tells them from those of others. Each signature
// opens the door once. All methods may be called concurrently.
type CanaryKey struct {
	key []byte
	now func() time.Time

	mu   sync.Mutex
	seen map[string]time.Time // signatures that were used, and when they end
}

// NewCanaryKey makes the key: of a secret that nodes share, or by chance where that is empty. now
// is the clock; nil is time.Now.
func NewCanaryKey(secret string, now func() time.Time) *CanaryKey {
	k := &CanaryKey{key: []byte(secret), now: now, seen: map[string]time.Time{}}
	if now == nil {
		k.now = time.Now
	}
	if secret == "" {
		k.key = []byte(rand.Text())
	}
	return k
}

// Sign makes a signature for one request, to be sent in CanarySignature.
func (k *CanaryKey) Sign() string {
	signed := k.now().UTC().Format(time.RFC3339) + "." + rand.Text()
	return signed + "." + k.mac(signed)
}

func (k *CanaryKey) mac(signed string) string {
	mac := hmac.New(sha256.New, k.key)
	fmt.Fprintf(mac, "pillarbox-canary\n%s", signed)
	return hex.EncodeToString(mac.Sum(nil))
}

// opens reports whether a signature is ours, of now, and has not come before.
func (k *CanaryKey) opens(signature string) bool {
	at := strings.LastIndexByte(signature, '.')
	if at < 0 || !hmac.Equal([]byte(signature[at+1:]), []byte(k.mac(signature[:at]))) {
		return false
	}
	text, _, _ := strings.Cut(signature, ".")
	signed, err := time.Parse(time.RFC3339, text)
	now := k.now()
	if err != nil || now.Sub(signed).Abs() > canaryTolerance {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for old, end := range k.seen {
		if end.Before(now) {
			delete(k.seen, old)
		}
	}
	if _, used := k.seen[signature]; used || len(k.seen) >= maxCanariesSeen {
		return false
	}
	k.seen[strings.Clone(signature)] = signed.Add(2 * canaryTolerance)
	return true
}

// CheckReserved refuses a source with the name or the path of the canary, as ErrInvalid: its events
// would be taken for the canary's, and removed.
func CheckReserved(name, path string) error {
	switch {
	case name == pillarbox.CanarySource:
		return pillarbox.Invalid(
			"sources.%s: the name is that of the built-in canary; choose another",
			name,
		)
	case strings.TrimSuffix(path, "/") == CanaryPath,
		strings.TrimSuffix(path, "/")+BatchSuffix == CanaryPath:
		return pillarbox.Invalid(
			"sources.%s.path: %s is that of the built-in canary; choose another",
			name,
			path,
		)
	}
	return nil
}

// canaryRoute makes the way in of the canary. It is in no list, has no limit but its size, and is
// counted in no metric of sources and paths: no user has configured it.
func canaryRoute() (*Route, error) {
	settings := Settings{Name: pillarbox.CanarySource, MaxBody: CanaryMaxBody, Key: "none",
		Headers: HeaderPolicy{Allow: []string{"Content-Type", pillarbox.CanaryHeader}}}
	compiled, err := compile(settings, nil, Options{})
	if err != nil {
		return nil, err
	}
	return &Route{Path: CanaryPath, Source: compiled}, nil
}

// Canary returns the route of a request to CanaryPath that the canary has signed; else nil. The
// signature counts as used. Whoever asks has seen that the path is that.
func (t *Table) Canary(signature string) *Route {
	if t.canary == nil || signature == "" || !t.canaryKey.opens(signature) {
		return nil
	}
	return t.canary
}
