package keyindex

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// keyOf makes a key and its stamp of a number.
func keyOf(n int) Key {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	return Key{
		Idempotency: pillarbox.Idempotency{Key: [16]byte(sum[:16]), Fingerprint: uint64(n)},
		Timestamp:   pillarbox.Timestamp(n + 1), ID: [16]byte(sum[16:]),
	}
}

// model is a log with an index, beside what the index is to know.
type model struct {
	t       *testing.T
	fsys    vfs.FS
	opts    Options
	now     time.Duration
	index   *Index
	log     []Key // the event with sequence number n is log[n-1]; zero for one without a key
	at      []time.Duration
	ordinal []int
	keys    int
}

func newModel(t *testing.T, fsys vfs.FS, opts Options) *model {
	m := &model{t: t, fsys: fsys, opts: opts}
	m.opts.Elapsed = func() time.Duration { return m.now }
	m.open()
	return m
}

func (m *model) open() {
	m.t.Helper()
	index, err := Open(m.fsys, "queue/keys", m.opts)
	if err != nil {
		m.t.Fatal(err)
	}
	m.index = index
	from := index.Covered()
	if from > uint64(len(m.log)+1) {
		m.t.Fatalf("the index covers %d events, and there are %d", from-1, len(m.log))
	}
	for i := from - 1; i < uint64(len(m.log)); i++ {
		key := m.log[i]
		key.Age = m.now - m.at[i]
		m.tell(key, i+2)
	}
}

func (m *model) tell(key Key, next uint64) {
	if key.IsZero() {
		m.index.Committed(nil, next)
	} else {
		m.index.Committed([]Key{key}, next)
	}
}

// accept appends an event, and tells of it.
func (m *model) accept(key Key) {
	m.log, m.at, m.ordinal = append(m.log, key), append(m.at, m.now), append(m.ordinal, m.keys)
	if !key.IsZero() {
		m.keys++
	}
	m.tell(key, uint64(len(m.log)+1))
}

// check asks for the key of each event.
func (m *model) check() {
	m.t.Helper()
	for i, key := range m.log {
		if key.IsZero() {
			continue
		}
		claims := []pillarbox.KeyClaim{{Idempotency: key.Idempotency, RequestID: "new"}}
		m.index.Claim(context.Background(), claims)
		live := m.keys-1-m.ordinal[i] < int(m.opts.MaxKeys) && m.now-m.at[i] <= m.opts.Window
		got := claims[0]
		switch {
		case live && (got.State != pillarbox.KeyDone || got.RequestID != formatID(key.ID) ||
			got.Timestamp != key.Timestamp):
			m.t.Fatalf("event %d of %d: %+v", i+1, len(m.log), got)
		case !live && got.State != pillarbox.KeyNew:
			m.t.Fatalf("event %d of %d is to be forgotten: %+v", i+1, len(m.log), got)
		}
		claims[0].Outcome = pillarbox.KeyFree
		if err := m.index.Settle(context.Background(), claims); err != nil {
			m.t.Fatal(err)
		}
	}
}

// TestIndexIsTheLog compares the index with all that was accepted, over crashes, at every size.
func TestIndexIsTheLog(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		disk := faultfs.New(faultfs.Options{})
		m := newModel(t, disk, Options{Table: 1 + rng.IntN(9), MaxKeys: int64(20 + rng.IntN(400)),
			Window: time.Duration(50+rng.IntN(500)) * time.Second})
		for step := range 600 {
			switch rng.IntN(12) {
			case 0:
				m.accept(Key{})
			case 1:
				if err := m.index.Cover(uint64(1 + rng.IntN(len(m.log)+1))); err != nil {
					t.Fatal(err)
				}
			case 2:
				if err := m.index.Maintain(); err != nil {
					t.Fatal(err)
				}
			case 3:
				m.now += time.Duration(rng.IntN(20)) * time.Second
			case 4:
				if rng.IntN(10) == 0 {
					disk = disk.Crash(rng, faultfs.Modes[rng.IntN(len(faultfs.Modes))])
					m.fsys = disk
					m.open()
				}
			case 5:
				if rng.IntN(10) == 0 {
					if err := m.index.Close(); err != nil {
						t.Fatal(err)
					}
					m.open()
				}
			default:
				m.accept(keyOf(step))
			}
		}
		m.check()
	}
}

func claim(x *Index, key Key) pillarbox.KeyClaim {
	claims := []pillarbox.KeyClaim{{Idempotency: key.Idempotency, Timestamp: key.Timestamp,
		RequestID: formatID(key.ID)}}
	x.Claim(context.Background(), claims)
	return claims[0]
}

func settle(x *Index, c pillarbox.KeyClaim, outcome pillarbox.KeyOutcome) {
	c.Outcome = outcome
	if err := x.Settle(context.Background(), []pillarbox.KeyClaim{c}); err != nil {
		panic(err)
	}
}

// TestStatesOfAKey goes through each of them.
func TestStatesOfAKey(t *testing.T) {
	m := newModel(t, faultfs.New(faultfs.Options{}), Options{Window: time.Hour, MaxKeys: 100})
	x, key, other := m.index, keyOf(1), keyOf(2)
	want := func(c pillarbox.KeyClaim, state pillarbox.KeyState, id string) {
		t.Helper()
		if c.State != state || c.RequestID != id {
			t.Fatalf("%+v, want state %d and id %s", c, state, id)
		}
	}
	first := claim(x, key)
	want(first, pillarbox.KeyNew, formatID(key.ID))
	again := key
	again.ID, again.Timestamp = other.ID, 7
	want(claim(x, again), pillarbox.KeyInFlight, formatID(again.ID))
	mismatch := again
	mismatch.Fingerprint++
	want(claim(x, mismatch), pillarbox.KeyMismatch, formatID(again.ID))

	settle(x, first, pillarbox.KeyFree)
	second := claim(x, again)
	want(second, pillarbox.KeyNew, formatID(again.ID))
	settle(x, second, pillarbox.KeyUnknown)
	want(claim(x, mismatch), pillarbox.KeyMismatch, formatID(again.ID))
	third := claim(x, key)
	want(third, pillarbox.KeyAgain, formatID(again.ID)) // the stamp of the one that may surface
	if third.Timestamp != 7 {
		t.Errorf("timestamp %d", third.Timestamp)
	}
	settle(x, third, pillarbox.KeyFree) // stored nothing, and the one before may have
	fourth := claim(x, key)
	want(fourth, pillarbox.KeyAgain, formatID(again.ID))
	m.accept(again)
	settle(x, fourth, pillarbox.KeyStored)
	want(claim(x, key), pillarbox.KeyDone, formatID(again.ID))
	want(claim(x, mismatch), pillarbox.KeyMismatch, formatID(again.ID))
}

// TestALateCommitIsSeen settles a key as unknown, and the log then says that it is there.
func TestALateCommitIsSeen(t *testing.T) {
	m := newModel(t, faultfs.New(faultfs.Options{}), Options{})
	settle(m.index, claim(m.index, keyOf(1)), pillarbox.KeyUnknown)
	m.accept(keyOf(1))
	if c := claim(m.index, keyOf(1)); c.State != pillarbox.KeyDone {
		t.Errorf("%+v", c)
	}
	if stats := m.index.KeyStats(); stats.Unknown != 0 || stats.InFlight != 0 || stats.Held != 1 {
		t.Errorf("%+v", stats)
	}
}

func TestUnknownKeysAreBounded(t *testing.T) {
	m := newModel(t, faultfs.New(faultfs.Options{}), Options{})
	for n := range MaxUnknown + 10 {
		settle(m.index, claim(m.index, keyOf(n)), pillarbox.KeyUnknown)
	}
	if stats := m.index.KeyStats(); stats.Unknown != MaxUnknown {
		t.Errorf("%d keys are remembered, want %d", stats.Unknown, MaxUnknown)
	}
}

// TestKeysThatCantBeWrittenStayInMemory fails every write: nothing is lost, new keys are refused
// when there are too many, and known ones are answered.
func TestKeysThatCantBeWrittenStayInMemory(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	m := newModel(t, disk, Options{Table: 8, MaxKeys: 1000, Window: time.Hour})
	disk.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.Write {
			return os.ErrPermission
		}
		return nil
	})
	for n := range 8 {
		m.accept(keyOf(n))
	}
	if m.index.Maintain() == nil {
		t.Fatal("the disk takes no write")
	}
	for n := range 16 {
		m.accept(keyOf(100 + n))
	}
	if c := claim(m.index, keyOf(999)); c.State != pillarbox.KeyRefused || c.Err == nil {
		t.Errorf("%+v", c)
	}
	if stats := m.index.KeyStats(); stats.Problem == "" {
		t.Error("nothing says that keys can't be written")
	}
	disk.Inject(nil)
	if err := m.index.Maintain(); err != nil {
		t.Fatal(err)
	}
	m.check()
	if stats := m.index.KeyStats(); stats.Problem != "" {
		t.Error(stats.Problem)
	}
}

// TestDamagedRunsAreSetAside flips a bit in each part of a run: nothing is answered wrongly, and
// what the log still has is found.
func TestDamagedRunsAreSetAside(t *testing.T) {
	for name, offset := range map[string]int64{"header": 20, "page": pageBytes + 100, "foot": -5} {
		disk := faultfs.New(faultfs.Options{})
		m := newModel(t, disk, Options{Table: 1000, Window: time.Hour, MaxKeys: 10_000})
		for n := range 500 {
			m.accept(keyOf(n))
		}
		if err := m.index.Close(); err != nil {
			t.Fatal(err)
		}
		file := "queue/keys/0000000000000001.keys"
		if offset < 0 {
			opened, err := disk.OpenFile(file, os.O_RDONLY)
			if err != nil {
				t.Fatal(err)
			}
			size, _ := opened.Size()
			offset += size
		}
		if err := disk.Flip(file, offset, 3); err != nil {
			t.Fatal(err)
		}
		m.open()
		if name == "page" {
			lost := 0
			for n := range 500 {
				if claim(m.index, keyOf(n)).State != pillarbox.KeyDone {
					lost++
				}
			}
			if lost == 0 || lost > perPage || m.index.KeyStats().Damaged == 0 {
				t.Errorf("%d keys are lost with a page of %d", lost, perPage)
			}
			continue
		}
		m.check() // the log has told it again
		if m.index.KeyStats().Damaged == 0 {
			t.Errorf("%s: nothing is counted", name)
		}
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	m := newModel(t, disk, Options{})
	m.accept(keyOf(1))
	if err := m.index.Close(); err != nil {
		t.Fatal(err)
	}
	name := "queue/keys/0000000000000001.keys"
	file, err := disk.OpenFile(name, os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	page := make([]byte, pageBytes)
	if err := readFull(file, page, 0); err != nil {
		t.Fatal(err)
	}
	page[8] = sealedForm + 1
	seal(page)
	if _, err := file.WriteAt(page, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(disk, "queue/keys", Options{}); err == nil ||
		!strings.Contains(err.Error(), "newer version") {
		t.Errorf("%v", err)
	}
}

// TestMemoryIsBounded holds ten million keys to 64 MiB: what is in memory for each run, and the
// tables.
func TestMemoryIsBounded(t *testing.T) {
	const keys = pillarbox.DefaultMaxKeys
	filters := len(newFilter(keys))
	firsts := 8 * (keys + perPage - 1) / perPage
	const entry, slots = 64, 4 * 4 // at most four slots for each entry
	tables := 3 * MaxTable * (entry + slots)
	if sum := filters + firsts + tables; sum > 64<<20 {
		t.Errorf("%d MiB", sum>>20)
	}
}

func TestFilterLetsFewPass(t *testing.T) {
	const n = 50_000
	f := newFilter(n)
	for i := range n {
		key := keyOf(i)
		f.add(&key.Key)
	}
	passed := 0
	for i := range 2 * n {
		key := keyOf(i)
		if f.mayHave(&key.Key) {
			passed++
		} else if i < n {
			t.Fatal("a key is not found")
		}
	}
	if wrong := passed - n; wrong > n/200 {
		t.Errorf("%d of %d pass that are not there", wrong, n)
	}
}

func BenchmarkClaim(b *testing.B) {
	disk, err := vfs.OpenDisk(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer disk.Close()
	x, err := Open(disk, "keys", Options{MaxKeys: 2_000_000})
	if err != nil {
		b.Fatal(err)
	}
	const held = 2_000_000
	next := uint64(1)
	for n := range held {
		next++
		x.Committed([]Key{keyOf(n)}, next)
		if n%MaxTable == 0 {
			if err := x.Maintain(); err != nil {
				b.Fatal(err)
			}
		}
	}
	for name, of := range map[string]func(int) int{
		"new":   func(i int) int { return held + i },
		"known": func(i int) int { return (i * 7919) % held },
	} {
		b.Run(fmt.Sprint(name, " of ", len(x.runs), " runs"), func(b *testing.B) {
			keys := make([]Key, b.N)
			for i := range keys {
				keys[i] = keyOf(of(i))
			}
			b.ResetTimer()
			for i := range b.N {
				if c := claim(x, keys[i]); c.State == pillarbox.KeyNew {
					settle(x, c, pillarbox.KeyFree)
				}
			}
		})
	}
}
