package atrest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/atrest/atresttest"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

func newDisk() *faultfs.FS { return faultfs.New(faultfs.Options{}) }

// service is a key service that may be away.
type service struct {
	atrest.KeyEncryption
	name  string
	away  bool
	wraps int
}

func (s *service) Name() string { return s.name }

func (s *service) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	if s.away {
		return nil, fmt.Errorf("no answer: %w", pillarbox.ErrUnavailable)
	}
	s.wraps++
	return s.KeyEncryption.Wrap(ctx, key)
}

func (s *service) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	if s.away {
		return nil, fmt.Errorf("no answer: %w", pillarbox.ErrUnavailable)
	}
	return s.KeyEncryption.Unwrap(ctx, wrapped)
}

func open(t *testing.T, disk vfs.FS, opts atrest.Options) *atrest.Keys {
	t.Helper()
	keys, err := atrest.Open(context.Background(), disk, opts)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func mustSeal(t *testing.T, keys *atrest.Keys, text string) []byte {
	t.Helper()
	box, err := keys.Seal(nil, []byte(text), atrest.Record)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func mustOpen(t *testing.T, keys *atrest.Keys, box []byte, want string) {
	t.Helper()
	plain, err := keys.Open(nil, box, atrest.Record)
	if err != nil || string(plain) != want {
		t.Fatalf("opened %q, %v, want %q", plain, err, want)
	}
}

// TestBoxOpensForItsPurposeAlone: no bit may change, nor what it is for.
func TestBoxOpensForItsPurposeAlone(t *testing.T) {
	keys := atresttest.Open(t, newDisk())
	box := mustSeal(t, keys, "what a client sent")
	mustOpen(t, keys, box, "what a client sent")
	if len(box) != len("what a client sent")+atrest.Overhead {
		t.Errorf("a box of %d bytes, want %d more than what is in it", len(box), atrest.Overhead)
	}
	if _, err := keys.Open(nil, box, atrest.Letter); !errors.Is(err, pillarbox.ErrCorrupt) {
		t.Errorf("opened as a letter: %v", err)
	}
	for bit := range len(box) * 8 {
		changed := bytes.Clone(box)
		changed[bit/8] ^= 1 << (bit % 8)
		if plain, err := keys.Open(nil, changed, atrest.Record); err == nil {
			t.Fatalf("bit %d was changed, and it opens as %q", bit, plain)
		}
	}
	for cut := range box {
		if _, err := keys.Open(nil, box[:cut], atrest.Record); err == nil {
			t.Fatalf("it opens when only %d bytes are left", cut)
		}
	}
	plain, err := keys.OpenInPlace(bytes.Clone(box), atrest.Record)
	if err != nil || string(plain) != "what a client sent" {
		t.Errorf("in place: %q, %v", plain, err)
	}
	if _, err := keys.OpenInPlace(box[:7], atrest.Record); !errors.Is(err, pillarbox.ErrCorrupt) {
		t.Errorf("in place, cut short: %v", err)
	}
}

// TestNoNonceIsUsedTwice: of boxes of several goroutines and lives, with renewals in between.
func TestNoNonceIsUsedTwice(t *testing.T) {
	disk := newDisk()
	var mu sync.Mutex
	seen := map[string]bool{}
	for range 3 {
		keys := atresttest.Open(t, disk)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for i := range 500 {
					if i%50 == 0 {
						if err := keys.Renew(); err != nil {
							t.Error(err)
						}
					}
					box, err := keys.Seal(nil, []byte("the same text"), atrest.Record)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if nonce := string(box[:32]); seen[nonce] {
						t.Errorf("nonce %x is used twice", nonce)
					} else {
						seen[nonce] = true
					}
					mu.Unlock()
				}
			})
		}
		group.Wait()
	}
	if len(seen) != 3*4*500 {
		t.Errorf("%d nonces, want %d", len(seen), 3*4*500)
	}
}

// TestADayHasItsDataKey: a data key seals for a day, over restarts, and opens for ever.
func TestADayHasItsDataKey(t *testing.T) {
	disk, now := newDisk(), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	with := &service{KeyEncryption: atresttest.Key(t), name: "service"}
	opts := atrest.Options{Key: with, Now: func() time.Time { return now }}
	var boxes [][]byte
	for day := range 5 {
		for range 3 { // lives
			keys := open(t, disk, opts)
			boxes = append(boxes, mustSeal(t, keys, fmt.Sprint("day ", day)))
			if n := len(keys.List()); n != day+1 {
				t.Fatalf("%d data keys on day %d", n, day)
			}
		}
		now = now.Add(24 * time.Hour)
	}
	if with.wraps != 5 {
		t.Errorf("the service was asked to wrap %d times, want once a day", with.wraps)
	}
	keys := open(t, disk, opts)
	for i, box := range boxes {
		mustOpen(t, keys, box, fmt.Sprint("day ", i/3))
	}
	now = now.Add(-30 * 24 * time.Hour) // a clock that was wrong: what it has dated is none to go by
	for range 3 {
		keys = open(t, disk, opts)
		mustOpen(t, keys, mustSeal(t, keys, "earlier"), "earlier")
	}
	if n := len(keys.List()); n != 7 {
		t.Errorf("%d data keys after the clock was set back, want one more", n)
	}
}

// TestKeyServiceThatIsAway stops no one who has a data key at hand, and a start in words.
func TestKeyServiceThatIsAway(t *testing.T) {
	disk, now := newDisk(), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	with := &service{KeyEncryption: atresttest.Key(t), name: "service"}
	opts := atrest.Options{Key: with, Now: func() time.Time { return now }}
	keys := open(t, disk, opts)
	with.away = true
	now = now.Add(25 * time.Hour)
	for range 3 {
		keys.RotateIfDue(context.Background())
	}
	box := mustSeal(t, keys, "still")
	mustOpen(t, keys, box, "still")
	if stats := keys.Stats(); stats.Failed != 3 || !strings.Contains(stats.Problem, "no answer") || stats.DataKeys != 1 {
		t.Errorf("stats %+v", stats)
	}
	if _, err := atrest.Open(context.Background(), disk, opts); !errors.Is(err, pillarbox.ErrUnavailable) ||
		!strings.Contains(err.Error(), "service") {
		t.Errorf("a start: %v", err)
	}
	with.away = false
	keys.RotateIfDue(context.Background())
	if stats := keys.Stats(); stats.Problem != "" || stats.DataKeys != 2 {
		t.Errorf("stats %+v", stats)
	}
	mustOpen(t, keys, box, "still")
}

// TestRotationOfTheKeyIsRewrapping: what is sealed stays, and the old key is not needed any more.
func TestRotationOfTheKeyIsRewrapping(t *testing.T) {
	disk := newDisk()
	first := &service{KeyEncryption: atresttest.Key(t), name: "first"}
	box := mustSeal(t, open(t, disk, atrest.Options{Key: first}), "before")
	other, err := atrest.NewSecretKey("the test", "//////////////////////////////////////////8=")
	if err != nil {
		t.Fatal(err)
	}
	_, err = atrest.Open(context.Background(), disk, atrest.Options{Key: other})
	if !errors.Is(err, pillarbox.ErrInvalid) || !strings.Contains(err.Error(), "wrapped by first") ||
		!strings.Contains(err.Error(), "encryption.old_keys") {
		t.Errorf("with the new key alone: %v", err)
	}
	keys := open(t, disk, atrest.Options{Key: other, OldKeys: []atrest.KeyEncryption{first}})
	mustOpen(t, keys, box, "before")
	if stats := keys.Stats(); stats.Rewrapped != 1 {
		t.Errorf("stats %+v", stats)
	}
	first.away = true
	keys = open(t, disk, atrest.Options{Key: other})
	mustOpen(t, keys, box, "before")
	for _, one := range keys.List() {
		if one.WrappedBy != other.Name() {
			t.Errorf("%s is wrapped by %s", one.ID, one.WrappedBy)
		}
	}
}

// TestOffOpensWithOldKeys: without encryption.key nothing is sealed, and what is sealed can be read.
func TestOffOpensWithOldKeys(t *testing.T) {
	disk := newDisk()
	box := mustSeal(t, atresttest.Open(t, disk), "before")
	if _, err := atrest.Open(context.Background(), disk, atrest.Options{}); !errors.Is(err, pillarbox.ErrInvalid) ||
		!strings.Contains(err.Error(), "the configured keys are: none") {
		t.Errorf("without a key: %v", err)
	}
	keys := open(t, disk, atrest.Options{OldKeys: []atrest.KeyEncryption{atresttest.Key(t)}})
	mustOpen(t, keys, box, "before")
	if keys.Seals() {
		t.Error("it seals")
	}
	if _, err := keys.Seal(nil, nil, atrest.Record); err == nil {
		t.Error("something was sealed")
	}
	var none *atrest.Keys
	var absent *atrest.NoKeyError
	if _, err := none.Open(nil, box, atrest.Record); !errors.As(err, &absent) || !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("no keys: %v", err)
	}
	if plain, err := none.SealDocument([]byte("{}"), atrest.Letter); err != nil || string(plain) != "{}" {
		t.Errorf("no keys: %q, %v", plain, err)
	}
}

// TestACopyIsEnough of the two that each data key has; the other is made anew. Without both, the start
// says what to do.
func TestACopyIsEnough(t *testing.T) {
	for name, damage := range map[string]func(disk *faultfs.FS, file string) error{
		"removed": func(disk *faultfs.FS, file string) error { return disk.Remove(file) },
		"flipped": func(disk *faultfs.FS, file string) error { return disk.Flip(file, 40, 2) },
		"other": func(disk *faultfs.FS, file string) error {
			return vfs.WriteFile(disk, file, []byte("what somebody has put here"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			disk := newDisk()
			keys := atresttest.Open(t, disk)
			box := mustSeal(t, keys, "kept")
			id := keys.List()[0].ID.String()
			for _, number := range []string{".0.json", ".1.json"} {
				if err := damage(disk, path.Join(atrest.Directory, id+number)); err != nil {
					t.Fatal(err)
				}
				mustOpen(t, atresttest.Open(t, disk), box, "kept")
			}
			if name == "removed" {
				return // without any file there is no data key
			}
			for _, number := range []string{".0.json", ".1.json"} {
				if err := damage(disk, path.Join(atrest.Directory, id+number)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := atrest.Open(context.Background(), disk, atrest.Options{Key: atresttest.Key(t)})
			if !errors.Is(err, pillarbox.ErrCorrupt) || !strings.Contains(err.Error(), "from a backup") {
				t.Errorf("without both: %v", err)
			}
		})
	}
}

// TestNewerDataKeyIsRefused: nothing of a newer version is changed.
func TestNewerDataKeyIsRefused(t *testing.T) {
	disk := newDisk()
	id := atresttest.Open(t, disk).List()[0].ID.String()
	name := path.Join(atrest.Directory, id+".0.json")
	text, err := vfs.ReadFile(disk, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.Replace(text, []byte(`"version": 1`), []byte(`"version": 2`), 1)
	if err := vfs.WriteFile(disk, name, newer); err != nil {
		t.Fatal(err)
	}
	if _, err := atrest.Open(context.Background(), disk, atrest.Options{Key: atresttest.Key(t)}); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

// TestDataKeyIsDurableBeforeItSeals: whatever a power cut leaves, a box that was made opens.
func TestDataKeyIsDurableBeforeItSeals(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		disk := newDisk()
		box := mustSeal(t, atresttest.Open(t, disk), "sealed")
		after := disk.Crash(rng, faultfs.Modes[seed%uint64(len(faultfs.Modes))])
		mustOpen(t, atresttest.Open(t, after), box, "sealed")
	}
}

// TestReadOnlyWritesNothing, whatever there would be to do.
func TestReadOnlyWritesNothing(t *testing.T) {
	disk := newDisk()
	keys := open(t, disk, atrest.Options{Key: atresttest.Key(t), ReadOnly: true})
	if entries, err := disk.ReadDir("."); err != nil || len(entries) != 0 || keys.Seals() {
		t.Errorf("%v, %v, and it seals: %v", entries, err, keys.Seals())
	}
}

func TestDocuments(t *testing.T) {
	keys := atresttest.Open(t, newDisk())
	for _, text := range []string{"", "{}", strings.Repeat("x", 10_000)} {
		sealed, err := keys.SealDocument([]byte(text), atrest.Letter)
		if err != nil {
			t.Fatal(err)
		}
		if !atrest.IsDocument(sealed) || int64(len(sealed)) > atrest.DocumentBytes(int64(len(text))) {
			t.Errorf("a document of %d bytes for %d, at most %d: %.60s", len(sealed), len(text),
				atrest.DocumentBytes(int64(len(text))), sealed)
		}
		for _, again := range []func([]byte) ([]byte, error){
			func(b []byte) ([]byte, error) { return keys.OpenDocument(b, atrest.Letter) }, keys.OpenAny,
		} {
			if plain, err := again(sealed); err != nil || string(plain) != text {
				t.Errorf("opened %d bytes, %v", len(plain), err)
			}
		}
		if _, err := keys.OpenDocument(sealed, atrest.Quarantine); !errors.Is(err, pillarbox.ErrCorrupt) {
			t.Errorf("as a request in quarantine: %v", err)
		}
	}
	if _, err := keys.OpenDocument([]byte(`{"sealed":2}`), atrest.Letter); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("a newer one: %v", err)
	}
	if _, err := keys.OpenDocument([]byte(`{"sealed":`), atrest.Letter); !errors.Is(err, pillarbox.ErrCorrupt) {
		t.Errorf("one that is cut short: %v", err)
	}
}

func TestSecretKeyIsChecked(t *testing.T) {
	for _, text := range []string{"", "secret", "AAECAwQFBgcICQoLDA0ODw==", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"} {
		if _, err := atrest.NewSecretKey("encryption.key: /etc/key", text); !errors.Is(err, pillarbox.ErrInvalid) ||
			!strings.Contains(err.Error(), "new-key") || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if name := atresttest.Key(t).Name(); strings.Contains(name, atresttest.Text) {
		t.Errorf("the name gives the key away: %s", name)
	}
}

func BenchmarkSeal(b *testing.B) {
	keys := atresttest.Open(b, newDisk())
	plain, box := make([]byte, 330), []byte{}
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		var err error
		if box, err = keys.Seal(box[:0], plain, atrest.Record); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	keys := atresttest.Open(b, newDisk())
	box, err := keys.Seal(nil, make([]byte, 330), atrest.Record)
	if err != nil {
		b.Fatal(err)
	}
	plain := []byte{}
	for b.Loop() {
		if plain, err = keys.Open(plain[:0], box, atrest.Record); err != nil {
			b.Fatal(err)
		}
	}
}
