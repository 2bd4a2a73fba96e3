package faultfs

import (
	"encoding/binary"
	"hash/maphash"
)

// The print of a state is a sum of hashes of what chance decided about: the sectors that unsynced
// writes touched, the sizes of their files, and the names in the directories with unsynced
// operations. All else is told by the generation.
var printSeed = maphash.MakeSeed()

func mix(parts ...uint64) uint64 {
	var buffer [4 * 8]byte
	text := buffer[:0]
	for _, part := range parts {
		text = binary.LittleEndian.AppendUint64(text, part)
	}
	return maphash.Bytes(printSeed, text)
}

// printFile adds what became of a file's unsynced changes.
func (c *cut) printFile(n *node, left *blob) {
	if len(n.changes) == 0 {
		return
	}
	c.after.print += mix(n.id, uint64(left.size))
	var buffer [pageSize]byte
	for _, change := range n.changes {
		end := change.off + int64(len(change.data))
		for at := change.off - change.off%sectorSize; at < end; at += pageSize {
			length := left.readAt(buffer[:min(pageSize, end-at)], at)
			c.after.print += mix(n.id, uint64(at), maphash.Bytes(printSeed, buffer[:length]))
		}
	}
}

// printNames adds the names in a directory where an unsynced operation was kept.
func (c *cut) printNames(dir *node) {
	for name, child := range c.names[dir] {
		c.after.print += mix(dir.id, child.id, maphash.String(printSeed, name))
	}
}
