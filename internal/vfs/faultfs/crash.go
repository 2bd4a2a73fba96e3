package faultfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// Mode says what a power cut makes of unsynced writes.
type Mode int

// The modes. In all but Dropped and Kept, chance decides for each file and each write.
const (
	// Dropped loses every unsynced write and every unsynced name.
	Dropped Mode = iota + 1
	// Kept loses no write.
	Kept
	// Prefix keeps the writes of a file up to some point, in order; the last one may be cut at a
	// sector.
	Prefix
	// Torn keeps any subset of the sectors of each write. A lost sector holds what it held before;
	// where it lies behind the old end of the file, it is missing or reads as zeros.
	Torn
	// Zeros is like Torn, but a lost sector may hold zeros where it was to be written.
	Zeros
	// Garbage is like Torn, but a lost sector may hold random bytes where it was to be written.
	Garbage
)

// Modes lists all of them.
var Modes = []Mode{Dropped, Kept, Prefix, Torn, Zeros, Garbage}

func (m Mode) String() string {
	names := [...]string{Dropped: "dropped", Kept: "kept", Prefix: "prefix", Torn: "torn",
		Zeros: "zeros", Garbage: "garbage"}
	if m < Dropped || m > Garbage {
		return fmt.Sprintf("Mode(%d)", int(m))
	}
	return names[m]
}

// sectorSize is what a disk writes at once, in bytes.
const sectorSize = 512

// Crash returns the state after a power cut at this moment, as a file system of its own with the
// same options and no open file. f goes on unaffected, and content is shared until one of the two
// changes it.
//
// Each unsynced operation on names is kept or dropped by chance, except that one which builds on a
// dropped one is dropped too. A nil rng is allowed for Dropped, and for Kept, where it keeps all
// names as well: that is the state after a mere kill of the process. The state depends on nothing
// but f's state, rng and mode.
func (f *FS) Crash(rng *rand.Rand, mode Mode) *FS {
	if mode < Dropped || mode > Garbage || rng == nil && mode > Kept {
		panic(fmt.Sprintf("pillarbox: bug: crash with mode %v and rng %v", mode, rng))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	cut := &cut{rng: rng, mode: mode, after: &FS{options: f.options, nodes: f.nodes,
		print: mix(f.generation)}}
	cut.names = f.keepNamesLocked(rng, mode)
	cut.after.root = cut.node(f.root)
	return cut.after
}

// Print tells apart the states that Crash makes of one disk, for a harness that counts them: two
// with the same print hold the same. It is 0 for a disk that Crash has not made.
func (f *FS) Print() uint64 { return f.print }

// Unsynced reports whether a power cut now may lose anything. Where it may not, all states are the
// same.
func (f *FS) Unsynced() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.unsynced) > 0 || f.root.unsynced()
}

// unsynced reports whether a file at n or below has changes that are not durable.
func (n *node) unsynced() bool {
	if !n.dir {
		return len(n.changes) > 0
	}
	for _, child := range n.names {
		if child.unsynced() {
			return true
		}
	}
	return false
}

// Kill returns the state after the process has died while the machine lives: what was written can
// be read, what was not synced is still not safe from a power cut, and nothing is open. Names count
// as synced. f goes on unaffected.
func (f *FS) Kill() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	after := &FS{options: f.options, nodes: f.nodes, generation: f.generation}
	after.root = after.survivor(f.root)
	return after
}

// survivor copies n of another disk and everything below it, with the writes that were not synced.
func (f *FS) survivor(n *node) *node {
	if !n.dir {
		f.used += n.live.used
		return &node{id: n.id, live: n.live.clone(), durable: n.durable.clone(),
			changes: slices.Clone(n.changes)}
	}
	left := &node{dir: true, id: n.id, names: make(map[string]*node, len(n.names))}
	for name, child := range n.names {
		left.names[name] = f.survivor(child)
	}
	return left
}

// cut is the making of one state.
type cut struct {
	rng   *rand.Rand
	mode  Mode
	names map[*node]map[string]*node // of the directories in which an unsynced operation was kept
	after *FS
}

// keepNamesLocked decides about the unsynced operations on names, and returns the directories that
// they change.
func (f *FS) keepNamesLocked(rng *rand.Rand, mode Mode) map[*node]map[string]*node {
	if mode == Dropped || len(f.unsynced) == 0 {
		return nil
	}
	// Ends of the scale have their own weight: all and nothing are what most mistakes need to show.
	odds := 4
	if rng != nil {
		odds = rng.IntN(5)
	}
	names := make(map[*node]map[string]*node)
	at := func(dir *node) map[string]*node {
		if names[dir] == nil {
			names[dir] = maps.Clone(dir.safe)
		}
		return names[dir]
	}
	var dropped []*nameOp
	for _, op := range f.unsynced {
		if odds < 4 && rng.IntN(4) >= odds || op.needsAny(dropped) {
			dropped = append(dropped, op)
		} else {
			op.apply(at)
		}
	}
	return names
}

func (op *nameOp) needsAny(earlier []*nameOp) bool {
	for _, other := range earlier {
		if op.needs(other, true) {
			return true
		}
	}
	return false
}

// node copies what is left of n and everything below it.
func (c *cut) node(n *node) *node {
	if !n.dir {
		left := &node{live: c.content(n), id: n.id}
		c.printFile(n, &left.live)
		left.durable = left.live.clone()
		c.after.used += left.live.used
		return left
	}
	names := n.names
	if n.safe != nil {
		names = n.safe
	}
	if kept, ok := c.names[n]; ok {
		names = kept
	}
	c.printNames(n)
	left := &node{dir: true, id: n.id, names: make(map[string]*node, len(names))}
	if c.rng == nil || c.mode <= Kept || len(names) < 2 {
		for name, child := range names {
			left.names[name] = c.node(child)
		}
		return left
	}
	// Chance is spent in a fixed order, so that the same seed leads to the same state.
	for _, name := range sortedKeys(names) {
		left.names[name] = c.node(names[name])
	}
	return left
}

// content returns what is left of a file.
func (c *cut) content(n *node) blob {
	left := n.durable.clone()
	if len(n.changes) == 0 {
		return left
	}
	switch c.mode {
	case Dropped:
	case Kept:
		for _, change := range n.changes {
			change.apply(&left)
		}
	case Prefix:
		c.prefix(n, &left)
	default:
		c.tear(n, &left)
	}
	return left
}

func (c *cut) prefix(n *node, left *blob) {
	count := c.rng.IntN(len(n.changes) + 1)
	for _, change := range n.changes[:count] {
		change.apply(left)
	}
	if count == len(n.changes) || n.changes[count].truncate {
		return
	}
	last := n.changes[count]
	left.writeAt(last.data[:c.cutAt(last)], last.off)
}

// cutAt returns a length up to which a write got, which ends at the end of a sector or at the end
// of the write.
func (c *cut) cutAt(write change) int {
	first := write.off - write.off%sectorSize
	sectors := (write.off + int64(len(write.data)) - first + sectorSize - 1) / sectorSize
	end := first + c.rng.Int64N(sectors+1)*sectorSize
	return int(max(0, min(end-write.off, int64(len(write.data)))))
}

// tear decides sector by sector, and about the growth of the file on its own.
func (c *cut) tear(n *node, left *blob) {
	size := left.size
	cache := n.durable.clone() // what the page cache held at each write: a sector is written as it stands there
	for _, change := range n.changes {
		change.apply(&cache)
		if change.truncate {
			if c.rng.IntN(2) == 0 {
				left.truncate(change.off)
				size = change.off
			}
			continue
		}
		c.tearWrite(change, &cache, left)
		if change.off+int64(len(change.data)) > size {
			size = c.grow(size, change)
		}
	}
	left.truncate(size)
}

// grow returns the size after a write behind the old end: the old one, the new one, or one in
// between.
func (c *cut) grow(size int64, write change) int64 {
	switch c.rng.IntN(4) {
	case 0:
		return size
	case 1:
		return max(size, write.off+int64(c.cutAt(write)))
	}
	return write.off + int64(len(write.data))
}

func (c *cut) tearWrite(write change, cache, left *blob) {
	const never, whole = 0, 1
	fate := c.rng.IntN(4)
	if fate == never {
		return
	}
	var buffer [sectorSize]byte
	end := write.off + int64(len(write.data))
	for start := write.off - write.off%sectorSize; start < end; start += sectorSize {
		if fate == whole || c.rng.IntN(2) == 0 {
			n := cache.readAt(buffer[:], start)
			left.writeAt(buffer[:n], start)
			continue
		}
		if hole := c.hole(buffer[:]); hole != nil {
			from := max(start, write.off)
			left.writeAt(hole[:min(start+sectorSize, end)-from], from)
		}
	}
}

// hole fills buffer with what stands in a lost sector. It returns nil where that is what stood
// there before.
func (c *cut) hole(buffer []byte) []byte {
	switch c.mode {
	case Zeros:
		clear(buffer)
		return buffer
	case Garbage:
		for i := range buffer {
			buffer[i] = byte(c.rng.Uint32())
		}
		return buffer
	}
	return nil
}

func sortedKeys(names map[string]*node) []string {
	return slices.Sorted(maps.Keys(names))
}
