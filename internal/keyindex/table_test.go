package keyindex

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// clashing is a key whose hash has few values, and which shares its start with many others.
func clashing(random *rand.Rand) (key [16]byte) {
	binary.BigEndian.PutUint64(key[:], random.Uint64N(4))
	binary.BigEndian.PutUint64(key[8:], random.Uint64N(3000))
	return key
}

// TestTableHasTheNewestOfEachKey holds a table against a map, with keys that come again.
func TestTableHasTheNewestOfEachKey(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	table, want := newTable(1), map[[16]byte]uint64{}
	for ordinal := range uint64(3 * blockEntries) {
		key := clashing(random)
		if e := table.get(&key); (e != nil) != (want[key] > 0) {
			t.Fatalf("seed %d: key %x: %v, want %v", seed, key, e, want[key])
		}
		table.add(entry{key: key, ordinal: ordinal + 1})
		want[key] = ordinal + 1
	}
	for key, ordinal := range want {
		if e := table.get(&key); e == nil || e.ordinal != ordinal {
			t.Errorf("seed %d: key %x is %+v, want %d", seed, key, e, ordinal)
		}
	}
	all := table.sorted(func(e *entry) bool { return e.ordinal%5 > 0 })
	if !slices.IsSortedFunc(all, func(a, b entry) int { return bytes.Compare(a.key[:], b.key[:]) }) {
		t.Errorf("seed %d: it is not sorted", seed)
	}
	kept := 0
	for key, ordinal := range want {
		at, found := slices.BinarySearchFunc(all, key, func(e entry, key [16]byte) int {
			return bytes.Compare(e.key[:], key[:])
		})
		if keep := ordinal%5 > 0; found != keep || found && all[at].ordinal != ordinal {
			t.Errorf("seed %d: key %x with %d is listed: %v", seed, key, ordinal, found)
		} else if keep {
			kept++
		}
	}
	if kept != len(all) || kept == len(want) || table.len() != 3*blockEntries {
		t.Errorf("seed %d: %d of %d are listed, want %d", seed, len(all), len(want), kept)
	}
}

// TestKeysOfOneSlotAreToldApart gives a table keys that have the same hash.
func TestKeysOfOneSlotAreToldApart(t *testing.T) {
	table := newTable(1)
	var keys [][16]byte
	for i := range uint64(100) { // with the first half as the seed is, all hashes are 0
		var key [16]byte
		binary.LittleEndian.PutUint64(key[:], hashSeed[0])
		binary.LittleEndian.PutUint64(key[8:], i)
		if hashOf(&key) != 0 {
			t.Fatal("the keys have hashes of their own")
		}
		keys = append(keys, key)
		table.add(entry{key: key, ordinal: i})
	}
	for i := range keys {
		if e := table.get(&keys[i]); e == nil || e.ordinal != uint64(i) {
			t.Errorf("key %d is %+v", i, e)
		}
	}
}

// TestRequestIDs are read and written as UUIDs.
func TestRequestIDs(t *testing.T) {
	const text = "01a20982-735b-7980-86a3-0c4338e0f4cf"
	id, ok := ParseID(text)
	if !ok || formatID(id) != text {
		t.Errorf("%x, %v, %s", id, ok, formatID(id))
	}
	if upper, ok := ParseID("01A20982-735B-7980-86A3-0C4338E0F4CF"); !ok || upper != id {
		t.Errorf("%x, %v", upper, ok)
	}
	for at := range text {
		for _, c := range []byte{'g', '-', ' ', 0, 255, '/', ':', '@'} {
			wrong := []byte(text)
			if wrong[at] == c {
				continue
			}
			wrong[at] = c
			if _, ok := ParseID(string(wrong)); ok {
				t.Errorf("%q is read", wrong)
			}
		}
	}
	for _, wrong := range []string{"", text[1:], text + "0", "JKJaXmPLvHcESHA="} {
		if _, ok := ParseID(wrong); ok {
			t.Errorf("%q is read", wrong)
		}
	}
}
