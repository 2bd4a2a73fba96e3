package apikey

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// FileName is that of the keys in the data directory.
const FileName = "keys.json"

const (
	// MaxKeys is how many keys there may be. To make one more, the oldest that is revoked goes.
	MaxKeys = 10_000

	// MaxName is the longest name of a key, in bytes.
	MaxName = 64

	// MaxFileBytes is the largest file that is read, in bytes: a key takes less than 1 KiB.
	MaxFileBytes = MaxKeys << 10

	// saveEvery is the shortest time between two writes of when keys were used.
	saveEvery = time.Minute

	fileVersion = 1
)

// Store keeps a ring in a file. All methods may be called concurrently.
type Store struct {
	fsys   vfs.FS // nil where shared is not
	shared File
	now    func() time.Time
	logger *slog.Logger
	ring   Ring

	mu    sync.Mutex       // held while the file is written
	saved map[string]int64 // when each key was used, as the file says. Guarded by mu

	version string // of the shared file. Guarded by mu
}

// Options of a Store. The zero value is ready.
type Options struct {
	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: discard
}

// OpenStore reads the keys. Where there is no file there are none, and none is made. Errors:
// ErrCorrupt for a file that is not as it was written, and those of the disk.
func OpenStore(fsys vfs.FS, opts Options) (*Store, error) {
	s := &Store{fsys: fsys, now: opts.Now, logger: opts.Logger, saved: map[string]int64{}}
	if s.now == nil {
		s.now = time.Now
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	text, err := vfs.ReadFile(fsys, FileName, MaxFileBytes)
	if errors.Is(err, fs.ErrNotExist) {
		s.ring.put(nil)
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the API keys: %w", err)
	}
	entries, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; put the file back from a backup, or move it away and make new keys: %w", FileName, err, pillarbox.ErrCorrupt)
	}
	s.ring.put(entries)
	for _, e := range entries {
		s.saved[e.ID] = e.used.Load()
	}
	return s, nil
}

// Ring is what requests are held against. It changes with the store.
func (s *Store) Ring() *Ring { return &s.ring }

// New is what a key is made with.
type New struct {
	Name      string              // of who has it
	Source    string              // the only one that it opens; empty for all
	ExpiresAt pillarbox.Timestamp // zero for never
}

// Create makes a key, which is durable and in force when it returns. text is the key itself, which
// nobody can find out later. Errors: ErrInvalid, ErrConflict where there are MaxKeys, and those of
// the disk, after which nobody has a new key.
func (s *Store) Create(n New) (key Key, text string, err error) {
	if err := n.check(s.now()); err != nil {
		return Key{}, "", err
	}
	text = generate()
	sum, _ := parse(text)
	e := &entry{Key: Key{ID: newID(), Name: n.Name, Source: n.Source, ExpiresAt: n.ExpiresAt,
		CreatedAt: pillarbox.TimestampOf(s.now())}, digest: sum, used: new(atomic.Int64)}
	err = s.change(func(entries []*entry) ([]*entry, error) {
		if len(entries) >= MaxKeys {
			oldest := slices.IndexFunc(entries, func(e *entry) bool { return e.RevokedAt != 0 })
			if oldest < 0 {
				return nil, fmt.Errorf("there are %d API keys, and there may be no more; revoke one that nobody uses: %w", MaxKeys, pillarbox.ErrConflict)
			}
			entries = slices.Delete(entries, oldest, oldest+1)
		}
		return append(entries, e), nil
	})
	if err != nil {
		return Key{}, "", err
	}
	return e.Key, text, nil
}

// change makes what f returns durable and puts it in force; f may be called again where somebody else
// has changed keys meanwhile. Where it returns nothing there is nothing to change.
func (s *Store) change(f func(entries []*entry) ([]*entry, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for try := 1; ; try++ {
		if err := s.refreshLocked(context.Background()); err != nil {
			return err
		}
		entries, err := f(s.entries())
		if err != nil || entries == nil {
			return err
		}
		if err = s.save(entries); s.shared == nil || !errors.Is(err, pillarbox.ErrConflict) || try == sharedTries {
			return err
		}
	}
}

// check refuses what can't be, as ErrInvalid.
func (n *New) check(now time.Time) error {
	if n.ExpiresAt != 0 && n.ExpiresAt <= pillarbox.TimestampOf(now) {
		return pillarbox.Invalid("the key would expire at %s, which is over; say when, or how long from now, as in 90d", n.ExpiresAt)
	}
	if len(n.Name) > MaxName {
		return pillarbox.Invalid("the name of the key has %d bytes, and may have %d", len(n.Name), MaxName)
	}
	for _, c := range []byte(n.Name) {
		if c < ' ' || c > '~' {
			return pillarbox.Invalid("the name of the key is %q; it may have visible ASCII and spaces", n.Name)
		}
	}
	return nil
}

// newID makes an id of 64 bits, in hexadecimal.
func newID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails, as its document says
	return hex.EncodeToString(id[:])
}

// Revoke ends a key for good. When it returns, no request comes in with it any more, also after a
// crash. To revoke a key again changes nothing. Errors: ErrNotFound, and those of the disk, after
// which the key is as before until the next start, which may find it revoked.
func (s *Store) Revoke(id string) (key Key, err error) {
	err = s.change(func(entries []*entry) ([]*entry, error) {
		at := slices.IndexFunc(entries, func(e *entry) bool { return e.ID == id })
		if at < 0 {
			return nil, fmt.Errorf("there is no API key %q: %w", id, pillarbox.ErrNotFound)
		}
		if entries[at].RevokedAt != 0 {
			key = entries[at].withUse()
			return nil, nil
		}
		revoked := *entries[at]
		revoked.RevokedAt = pillarbox.TimestampOf(s.now())
		entries[at] = &revoked
		key = revoked.withUse()
		return entries, nil
	})
	if err != nil {
		return Key{}, err
	}
	return key, nil
}

// List returns all keys in the order in which they were made, those that are revoked too.
func (s *Store) List() []Key {
	var keys []Key
	for _, e := range s.entries() {
		keys = append(keys, e.withUse())
	}
	return keys
}

func (e *entry) withUse() Key {
	key := e.Key
	if used := e.used.Load(); used > 0 {
		key.LastUsed = pillarbox.TimestampOf(time.Unix(used, 0))
	}
	return key
}

// Run writes down when keys were used, at most once a minute, until ctx ends, and then once more; or
// reads keys that others may change.
func (s *Store) Run(ctx context.Context) error {
	if s.shared != nil {
		return s.runShared(ctx)
	}
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			s.saveUse()
			return nil
		case <-ticker.C:
			s.saveUse()
		}
	}
}

// saveUse writes the file if a key was used since. What it can't write it writes the next time.
func (s *Store) saveUse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := s.entries()
	if !slices.ContainsFunc(entries, func(e *entry) bool { return e.used.Load() != s.saved[e.ID] }) {
		return
	}
	if err := s.save(entries); err != nil {
		s.logger.Warn("it was not written down when API keys were used; it is tried again in a minute",
			telemetry.KeyErr, err)
	}
}

// entries are those in force, in the order in which they were made.
func (s *Store) entries() []*entry {
	return slices.SortedFunc(maps.Values(*s.ring.entries.Load()), func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
}

// save makes entries durable, and then puts them in force. The caller holds mu.
func (s *Store) save(entries []*entry) error {
	used := make(map[string]int64, len(entries))
	for _, e := range entries {
		used[e.ID] = e.used.Load()
	}
	write := func(text []byte) error { return vfs.WriteFile(s.fsys, FileName, text) }
	if s.shared != nil {
		write, used = s.writeShared, nil
	}
	if err := write(encode(entries, used)); err != nil {
		return fmt.Errorf("write the API keys: %w", err)
	}
	s.saved = used
	s.ring.put(entries)
	return nil
}

// file is the content of FileName. Checksum is the CRC-32 (IEEE) of the keys as they stand there,
// in hexadecimal: a bit that has turned must not make a key last longer.
type file struct {
	Version  int             `json:"version"`
	Checksum string          `json:"checksum"`
	Keys     json.RawMessage `json:"keys"`
}

// fileKey is a key in the file.
type fileKey struct {
	ID        string               `json:"id"`
	Name      string               `json:"name"`
	Source    string               `json:"source"`
	SHA256    string               `json:"sha256"`
	CreatedAt pillarbox.Timestamp  `json:"created_at"`
	ExpiresAt *pillarbox.Timestamp `json:"expires_at"`
	RevokedAt *pillarbox.Timestamp `json:"revoked_at"`
	LastUsed  *pillarbox.Timestamp `json:"last_used_at"`
}

func encode(entries []*entry, used map[string]int64) []byte {
	keys := make([]fileKey, len(entries))
	for i, e := range entries {
		keys[i] = fileKey{ID: e.ID, Name: e.Name, Source: e.Source, SHA256: hex.EncodeToString(e.digest[:]),
			CreatedAt: e.CreatedAt, ExpiresAt: optional(e.ExpiresAt), RevokedAt: optional(e.RevokedAt)}
		if seconds := used[e.ID]; seconds > 0 {
			keys[i].LastUsed = optional(pillarbox.TimestampOf(time.Unix(seconds, 0)))
		}
	}
	list, err := json.Marshal(keys)
	if err != nil {
		panic("pillarbox: bug: " + err.Error())
	}
	return fmt.Appendf(nil, "{\"version\":%d,\"checksum\":\"%08x\",\"keys\":%s}\n", fileVersion,
		crc32.ChecksumIEEE(list), list)
}

func optional(t pillarbox.Timestamp) *pillarbox.Timestamp {
	if t == 0 {
		return nil
	}
	return &t
}

func valueOf(t *pillarbox.Timestamp) pillarbox.Timestamp {
	if t == nil {
		return 0
	}
	return *t
}

// decode reads the file, strictly.
func decode(text []byte) ([]*entry, error) {
	var content file
	if err := strictly(text, &content); err != nil {
		return nil, err
	}
	if content.Version != fileVersion {
		return nil, fmt.Errorf("it has the version %d, and this pillarbox reads %d", content.Version, fileVersion)
	}
	if sum := fmt.Sprintf("%08x", crc32.ChecksumIEEE(content.Keys)); sum != content.Checksum {
		return nil, fmt.Errorf("the checksum of the keys is %s, and not %q as it says", sum, content.Checksum)
	}
	var keys []fileKey
	if err := strictly(content.Keys, &keys); err != nil {
		return nil, err
	}
	ids, digests := map[string]bool{}, map[digest]bool{}
	var entries []*entry
	for _, k := range keys {
		sum, err := hex.DecodeString(k.SHA256)
		if err != nil || len(sum) != len(digest{}) || k.ID == "" || ids[k.ID] || digests[digest(sum)] {
			return nil, fmt.Errorf("the key %q has no digest and id of its own", k.ID)
		}
		ids[k.ID], digests[digest(sum)] = true, true
		e := &entry{Key: Key{ID: k.ID, Name: k.Name, Source: k.Source, CreatedAt: k.CreatedAt,
			ExpiresAt: valueOf(k.ExpiresAt), RevokedAt: valueOf(k.RevokedAt)},
			digest: digest(sum), used: new(atomic.Int64)}
		if k.LastUsed != nil {
			e.used.Store(k.LastUsed.Time().Unix())
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// strictly reads one JSON value without unknown names.
func strictly(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("it can't be read as JSON: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("there is more than one value in it")
	}
	return nil
}
