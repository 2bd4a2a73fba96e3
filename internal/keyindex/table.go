package keyindex

import (
	"bytes"
	"encoding/binary"
	"slices"

	"pillarbox"
)

// entry is what is remembered of a key.
type entry struct {
	key         [16]byte
	fingerprint uint64
	timestamp   pillarbox.Timestamp
	id          [16]byte // the request id, a UUID
	ordinal     uint64   // how many keys came before it, ever
	at          uint32   // seconds, in the time of all lives
}

// table holds the newest keys, by key and in their order.
type table struct {
	from    uint64 // sequence number of the first event whose key would be here
	entries []entry
	slots   []uint32 // one more than an index of entries, at a place that the key says; 0 is free
}

// firstSlots is the size of a new table, which grows; a power of two.
const firstSlots = 64

func newTable(from uint64) *table { return &table{from: from, slots: make([]uint32, firstSlots)} }

func (t *table) len() int { return len(t.entries) }

// slot returns where the key is, or the free place where it belongs.
func (t *table) slot(key *[16]byte) *uint32 {
	mask := uint64(len(t.slots) - 1)
	for at := binary.LittleEndian.Uint64(key[:]) & mask; ; at = (at + 1) & mask {
		if index := t.slots[at]; index == 0 || t.entries[index-1].key == *key {
			return &t.slots[at]
		}
	}
}

func (t *table) get(key *[16]byte) *entry {
	if index := *t.slot(key); index > 0 {
		return &t.entries[index-1]
	}
	return nil
}

// add remembers an entry. One with the same key before it is not found any more.
func (t *table) add(e entry) {
	if 2*(len(t.entries)+1) > len(t.slots) {
		t.slots = make([]uint32, 2*len(t.slots))
		for i := range t.entries {
			*t.slot(&t.entries[i].key) = uint32(i + 1)
		}
	}
	t.entries = append(t.entries, e)
	*t.slot(&e.key) = uint32(len(t.entries))
}

// sorted lists the entries by key, the newest of each, without those that are not to be kept.
func (t *table) sorted(keep func(*entry) bool) []entry {
	all := make([]entry, 0, len(t.entries))
	for i := range t.entries {
		if e := &t.entries[i]; *t.slot(&e.key) == uint32(i+1) && keep(e) {
			all = append(all, *e)
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return bytes.Compare(a.key[:], b.key[:]) })
	return all
}
