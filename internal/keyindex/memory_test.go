package keyindex

import (
	"runtime"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// heap is the memory that is in use.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one has left to pools
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// TestMemoryOfTenMillionKeys measures what half a million keys in files take, and what a full table takes.
// Of ten million keys there are two tables at most, and while runs are merged their filters twice.
func TestMemoryOfTenMillionKeys(t *testing.T) {
	const keys, all, limit = 4 * MaxTable, pillarbox.DefaultMaxKeys, 64 << 20
	disk, err := vfs.OpenDisk(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	before := heap()
	table := newTable(1)
	for n := range MaxTable {
		key := keyOf(n)
		table.add(entry{key: key.Key, ordinal: uint64(n)})
	}
	ofTable := heap() - before
	runtime.KeepAlive(table)
	table = nil

	before = heap()
	x, err := Open(disk, "keys", Options{})
	if err != nil {
		t.Fatal(err)
	}
	batch := make([]Key, 0, MaxTable)
	for n := range keys {
		if batch = append(batch, keyOf(n)); len(batch) < MaxTable && n < keys-1 {
			continue
		}
		x.Committed(batch, uint64(n+2))
		if err := x.Maintain(); err != nil {
			t.Fatal(err)
		}
		batch = batch[:0]
	}
	batch = nil
	if err := x.Cover(keys + 1); err != nil {
		t.Fatal(err)
	}
	perKey := float64(heap()-before) / keys
	if stats := x.KeyStats(); stats.Held != keys {
		t.Errorf("%d keys are held, want %d", stats.Held, keys)
	}
	t.Logf("two tables of %d, and twice %.3f bytes for each key", ofTable, perKey)
	if total := int64(2*perKey*all) + 2*ofTable; total > limit || perKey < 1 {
		t.Errorf("ten million keys take up to %d bytes: two tables of %d, and twice %.2f for each key; want %d",
			total, ofTable, perKey, limit)
	}
	for n := 0; n < keys; n += keys/7 + 1 {
		if c := claim(x, keyOf(n)); c.State != pillarbox.KeyDone {
			t.Errorf("key %d: %+v", n, c)
		}
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

// TestKeysOfManyRunsAreFound: of more than have bits of their own.
func TestKeysOfManyRunsAreFound(t *testing.T) {
	x, err := Open(faultfs.New(faultfs.Options{}), "keys", Options{Window: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	x.writing.Lock() // nothing is merged
	for n := range manyRuns + 7 {
		x.Committed([]Key{keyOf(n)}, uint64(n+2))
		x.wanted = x.next
		if err := x.flush(); err != nil {
			t.Fatal(err)
		}
	}
	x.writing.Unlock()
	if len(x.runs) != manyRuns+7 {
		t.Fatalf("there are %d runs", len(x.runs))
	}
	for n := range manyRuns + 7 {
		if c := claim(x, keyOf(n)); c.State != pillarbox.KeyDone || c.RequestID != formatID(keyOf(n).ID) {
			t.Errorf("key %d: %+v", n, c)
		}
	}
	if c := claim(x, keyOf(1000)); c.State != pillarbox.KeyNew {
		t.Errorf("%+v", c)
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}
