package apikey_test

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

var start = time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)

func open(t *testing.T, fsys vfs.FS) *apikey.Store {
	t.Helper()
	store, err := apikey.OpenStore(fsys, apikey.Options{Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func create(t *testing.T, store *apikey.Store, n apikey.New) (apikey.Key, string) {
	t.Helper()
	key, text, err := store.Create(n)
	if err != nil {
		t.Fatal(err)
	}
	return key, text
}

// TestKeysHaveTheFormThatScannersKnow: prefix, 22 characters of chance, and the CRC-32 of what is
// before it in base62. Two are never the same.
func TestKeysHaveTheFormThatScannersKnow(t *testing.T) {
	form := regexp.MustCompile(`^pb_[0-9A-Za-z]{22}[0-9A-Za-z]{6}$`)
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	store, seen := open(t, faultfs.New(faultfs.Options{})), map[string]bool{}
	for range 50 {
		_, text := create(t, store, apikey.New{})
		var sum uint64
		for _, c := range text[25:] {
			sum = sum*62 + uint64(strings.IndexRune(digits, c))
		}
		if !form.MatchString(text) || seen[text] || sum != uint64(crc32.ChecksumIEEE([]byte(text[:25]))) {
			t.Errorf("a key is %s", text)
		}
		seen[text] = true
	}
}

// TestAKeyOpensWhatItIsFor, while it may, and nothing else.
func TestAKeyOpensWhatItIsFor(t *testing.T) {
	store := open(t, faultfs.New(faultfs.Options{}))
	ring := store.Ring()
	any, anyText := create(t, store, apikey.New{})
	_, appText := create(t, store, apikey.New{Name: "shop", Source: "app"})
	end := start.Add(time.Hour)
	_, briefText := create(t, store, apikey.New{Name: "brief", ExpiresAt: pillarbox.TimestampOf(end)})
	old, oldText := create(t, store, apikey.New{Name: "old"})
	if _, err := store.Revoke(old.ID); err != nil {
		t.Fatal(err)
	}
	other := byte('a')
	if anyText[10] == other {
		other = 'b'
	}
	for _, c := range []struct {
		text, source string
		at           time.Time
		caller       string
		refused      apikey.Reason
	}{
		{anyText, "app", start, any.ID, ""},
		{anyText, "other", start.AddDate(100, 0, 0), any.ID, ""},
		{appText, "app", start, "shop", ""},
		{appText, "other", start, "", apikey.OtherSource},
		{briefText, "app", end.Add(-time.Microsecond), "brief", ""},
		{briefText, "app", end, "", apikey.Expired},
		{oldText, "app", start, "", apikey.Revoked},
		{"", "app", start, "", apikey.Malformed},
		{anyText + "a", "app", start, "", apikey.Malformed},
		{anyText[:len(anyText)-1], "app", start, "", apikey.Malformed},
		{anyText[:10] + string(other) + anyText[11:], "app", start, "", apikey.Malformed},
		{"PB_" + anyText[3:], "app", start, "", apikey.Malformed},
		{func() string {
			_, text := create(t, open(t, faultfs.New(faultfs.Options{})), apikey.New{})
			return text
		}(),
			"app", start, "", apikey.Unknown},
	} {
		if caller, refused := ring.Open(c.text, c.source, c.at); caller != c.caller || refused != c.refused {
			t.Errorf("%s at %s: opened by %q, refused as %q; want %q, %q", c.source, c.at, caller, refused, c.caller, c.refused)
		}
	}
	if _, refused := new(apikey.Ring).Open(anyText, "app", start); refused != apikey.Unknown {
		t.Errorf("a ring without keys refuses as %q", refused)
	}
	if n := testing.AllocsPerRun(100, func() { ring.Open(appText, "app", start) }); n != 0 {
		t.Errorf("%v allocations for a key", n)
	}
}

// TestWhatIsInForceIsDurable: keys that were made and revoked are so after a power cut, and the file
// holds no key.
func TestWhatIsInForceIsDurable(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	store := open(t, fsys)
	kept, keptText := create(t, store, apikey.New{Name: "kept", Source: "app",
		ExpiresAt: pillarbox.TimestampOf(start.Add(time.Hour))})
	gone, goneText := create(t, store, apikey.New{})
	if _, err := store.Revoke(gone.ID); err != nil {
		t.Fatal(err)
	}
	before := store.List()
	for seed := range uint64(20) {
		after := open(t, fsys.Crash(rand.New(rand.NewPCG(seed, 1)), faultfs.Dropped))
		if list := after.List(); !slices.Equal(list, before) {
			t.Errorf("seed %d: after the cut there are %v, want %v", seed, list, before)
		}
		if caller, _ := after.Ring().Open(keptText, "app", start); caller != kept.Caller() {
			t.Errorf("seed %d: the key is %q's", seed, caller)
		}
		if _, refused := after.Ring().Open(goneText, "app", start); refused != apikey.Revoked {
			t.Errorf("seed %d: the key that was revoked is refused as %q", seed, refused)
		}
	}
	text, err := vfs.ReadFile(fsys, apikey.FileName, 1<<20)
	if err != nil || bytes.Contains(text, []byte(keptText[3:20])) || !bytes.Contains(text, []byte(kept.ID)) {
		t.Errorf("the file is %s, %v", text, err)
	}
}

// TestOnlyTheOwnerReadsTheFile, though only digests are in it.
func TestOnlyTheOwnerReadsTheFile(t *testing.T) {
	dir := t.TempDir()
	disk, err := vfs.OpenDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	create(t, open(t, disk), apikey.New{})
	info, err := os.Stat(filepath.Join(dir, apikey.FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
}

// TestADamagedFileOpensNothing: whatever bit has turned, wherever the file ends, it is an error.
func TestADamagedFileOpensNothing(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	create(t, open(t, fsys), apikey.New{Name: "a", ExpiresAt: pillarbox.TimestampOf(start.Add(time.Hour))})
	text, err := vfs.ReadFile(fsys, apikey.FileName, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, damaged []byte) {
		t.Helper()
		fsys := faultfs.New(faultfs.Options{})
		if err := vfs.WriteFile(fsys, apikey.FileName, damaged); err != nil {
			t.Fatal(err)
		}
		store, err := apikey.OpenStore(fsys, apikey.Options{})
		if err == nil && len(store.List()) == 1 && bytes.EqualFold(damaged, text) {
			return // the case of a name of the file's own
		}
		if !errors.Is(err, pillarbox.ErrCorrupt) || !strings.Contains(err.Error(), apikey.FileName+": ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for at := range text[:len(text)-1] { // the last is a line feed
		for bit := range 8 {
			damaged := bytes.Clone(text)
			damaged[at] ^= 1 << bit
			check(string(damaged), damaged)
		}
		check("cut", text[:at])
	}
	check("twice", append(bytes.Clone(text), text...))
	check("another name", bytes.Replace(text, []byte(`{"version"`), []byte(`{"more":1,"version"`), 1))
}

// TestWhatCannotBeWrittenIsNotInForce, neither a new key nor a revocation; and both can be tried
// again.
func TestWhatCannotBeWrittenIsNotInForce(t *testing.T) {
	fsys := faultfs.New(faultfs.Options{})
	store := open(t, fsys)
	key, text := create(t, store, apikey.New{})
	full := errors.New("no space")
	fsys.Inject(func(op faultfs.Op) error { return full })
	if _, _, err := store.Create(apikey.New{}); !errors.Is(err, full) {
		t.Errorf("made: %v", err)
	}
	if _, err := store.Revoke(key.ID); !errors.Is(err, full) {
		t.Errorf("revoked: %v", err)
	}
	if caller, _ := store.Ring().Open(text, "app", start); caller != key.ID || len(store.List()) != 1 {
		t.Errorf("the key is %q's of %v", caller, store.List())
	}
	fsys.Inject(nil)
	for range 2 { // to revoke it again changes nothing
		if key, err := store.Revoke(key.ID); err != nil || key.RevokedAt != pillarbox.TimestampOf(start) {
			t.Errorf("revoked: %v, %v", key, err)
		}
	}
	if _, err := store.Revoke("another"); !errors.Is(err, pillarbox.ErrNotFound) {
		t.Errorf("another: %v", err)
	}
}

// TestLastUseIsWrittenOnceAMinuteAndAtTheEnd, and not where there was none.
func TestLastUseIsWrittenOnceAMinuteAndAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := faultfs.New(faultfs.Options{})
		store, err := apikey.OpenStore(fsys, apikey.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, text := create(t, store, apikey.New{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- store.Run(ctx) }()
		writes := func() (n int) { return fsys.Operations() }
		before := writes()
		time.Sleep(time.Hour + 30*time.Second) // on the clock of the test
		if n := writes(); n != before {
			t.Errorf("%d operations without use", n-before)
		}
		for range 60 {
			store.Ring().Open(text, "app", time.Now())
			time.Sleep(time.Second)
		}
		synctest.Wait()
		once := writes() - before
		used := time.Now()
		store.Ring().Open(text, "app", used)
		stop()
		if err := <-ended; err != nil || once == 0 || writes()-before != 2*once {
			t.Errorf("%v, %d operations, then %d", err, once, writes()-before)
		}
		if list := open(t, fsys).List(); list[0].LastUsed != pillarbox.TimestampOf(used.Truncate(time.Second)) {
			t.Errorf("the last use is written as %s, and was at %s", list[0].LastUsed, used)
		}
	})
}

// TestNamesAndTimesOfKeys that can't be are refused.
func TestNamesAndTimesOfKeys(t *testing.T) {
	store := open(t, faultfs.New(faultfs.Options{}))
	for _, n := range []apikey.New{{Name: strings.Repeat("a", apikey.MaxName+1)}, {Name: "a\nb"}, {Name: "ä"},
		{ExpiresAt: pillarbox.TimestampOf(start)}} {
		if _, _, err := store.Create(n); !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%v: %v", n, err)
		}
	}
	create(t, store, apikey.New{Name: strings.Repeat("a", apikey.MaxName), ExpiresAt: pillarbox.TimestampOf(start) + 1})
}
