package keyindex

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
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
//
// A slot has the hash of its key beside the place of the entry, so that one line of the processor's
// cache says that a key is not there, and a table that grows looks at no entry.
type table struct {
	from   uint64 // sequence number of the first event whose key would be here
	blocks []*[blockEntries]entry
	length int
	slots  []slot // a power of two of them, at most half of which are taken
}

// slot is the upper half of a hash, and below it one more than the place of an entry; 0 is free.
type slot uint64

func (s slot) index() int { return int(uint32(s)) - 1 }

const (
	// firstSlots is the size of a new table, which grows; a power of two.
	firstSlots = 64
	// blockEntries is how many entries get memory at once: what is there is not moved when more come.
	blockEntries = 1 << 10
)

func newTable(from uint64) *table { return &table{from: from, slots: make([]slot, firstSlots)} }

func (t *table) len() int { return t.length }

func (t *table) at(index int) *entry {
	return &t.blocks[index/blockEntries][index%blockEntries]
}

// hashSeed is of this process. Clients choose their keys, and whoever knows where a key goes could
// choose many that go to one place.
var hashSeed = [2]uint64{rand.Uint64(), rand.Uint64()}

// hashOf is of 32 bits, in the upper half of a slot.
func hashOf(key *[16]byte) slot {
	high, low := bits.Mul64(binary.LittleEndian.Uint64(key[:])^hashSeed[0],
		binary.LittleEndian.Uint64(key[8:])^hashSeed[1])
	return slot(high^low) &^ (1<<32 - 1)
}

// find returns the place of a slot: that of the key, or the free one where it belongs.
func (t *table) find(key *[16]byte, hash slot) *slot {
	mask := uint64(len(t.slots) - 1)
	for place := uint64(hash>>32) & mask; ; place = (place + 1) & mask {
		s := t.slots[place]
		if s == 0 || (s^hash)>>32 == 0 && t.at(s.index()).key == *key {
			return &t.slots[place]
		}
	}
}

func (t *table) get(key *[16]byte) *entry {
	if s := *t.find(key, hashOf(key)); s != 0 {
		return t.at(s.index())
	}
	return nil
}

// add remembers an entry. One with the same key before it is not found any more.
func (t *table) add(e entry) {
	if 2*(t.length+1) > len(t.slots) {
		t.grow()
	}
	if t.length == len(t.blocks)*blockEntries {
		t.blocks = append(t.blocks, new([blockEntries]entry))
	}
	*t.at(t.length) = e
	t.length++
	hash := hashOf(&e.key)
	*t.find(&e.key, hash) = hash | slot(t.length)
}

// grow doubles the slots.
func (t *table) grow() {
	before := t.slots
	t.slots = make([]slot, 2*len(before))
	mask := uint64(len(t.slots) - 1)
	for _, s := range before {
		if s == 0 {
			continue
		}
		place := uint64(s>>32) & mask
		for t.slots[place] != 0 {
			place = (place + 1) & mask
		}
		t.slots[place] = s
	}
}

// order is where an entry goes among all.
type order struct {
	start uint64 // of the key
	index int
}

// sorted lists the entries by key, the newest of each, without those that are not to be kept. It
// reads the table only.
func (t *table) sorted(keep func(*entry) bool) []entry {
	places := t.ordered()
	all := make([]entry, 0, len(places))
	for i, place := range places {
		e := t.at(place.index)
		newer := i+1 < len(places) && t.at(places[i+1].index).key == e.key
		if !newer && keep(e) {
			all = append(all, *e)
		}
	}
	return all
}

// sortBuckets are by the first byte of a key. Keys are digests, so that all get about as many.
const sortBuckets = 1 << 8

// ordered sorts by key, and the same keys by their age.
func (t *table) ordered() []order {
	var ends [sortBuckets]int
	for i := range t.length {
		ends[t.at(i).key[0]]++
	}
	for i := 1; i < sortBuckets; i++ {
		ends[i] += ends[i-1]
	}
	starts := [sortBuckets]int{}
	copy(starts[1:], ends[:])
	next, places := starts, make([]order, t.length)
	for i := range t.length {
		key := &t.at(i).key
		places[next[key[0]]] = order{binary.BigEndian.Uint64(key[:]), i}
		next[key[0]]++
	}
	for i := range sortBuckets {
		slices.SortFunc(places[starts[i]:ends[i]], func(a, b order) int {
			if a.start != b.start {
				return cmp.Compare(a.start, b.start)
			}
			return cmp.Or(bytes.Compare(t.at(a.index).key[8:], t.at(b.index).key[8:]), a.index-b.index)
		})
	}
	return places
}
