package faultfs

import (
	"maps"
	"path"
	"strings"
	"syscall"
)

// node is a file or a directory. FS.mu guards all of it.
type node struct {
	dir bool
	id  uint64 // of its disk, for prints

	// Of a file.
	live    blob     // what readers see
	durable blob     // what the last successful Sync made safe
	changes []change // written since then, in order; a failed Sync forgets them here, but not in live
	open    int      // handles
	gone    bool     // has no name any more; the space is given back when the last handle is closed

	// Of a directory.
	names map[string]*node // what readers see
	safe  map[string]*node // what SyncDir made safe; nil while that is the same as names
}

// change is an unsynced write or truncate.
type change struct {
	truncate bool
	off      int64 // of a truncate: the new size
	data     []byte
}

func (c change) apply(b *blob) {
	if c.truncate {
		b.truncate(c.off)
	} else {
		b.writeAt(c.data, c.off)
	}
}

// slot is the place of one name.
type slot struct {
	dir  *node
	name string
}

// nameOp is an unsynced operation on names: from is empty for a creation, to is empty for a
// removal.
type nameOp struct {
	node     *node
	from, to slot
	replaced *node // what lost its name by this, if anything

	fromSynced, toSynced bool
}

func (op *nameOp) rename() bool { return op.from.dir != nil && op.to.dir != nil }

func (op *nameOp) synced() bool {
	return (op.fromSynced || op.from.dir == nil) && (op.toSynced || op.to.dir == nil)
}

// apply carries the operation out on the names that at returns for a directory.
func (op *nameOp) apply(at func(dir *node) map[string]*node) {
	if op.from.dir != nil {
		delete(at(op.from.dir), op.from.name)
	}
	if op.to.dir != nil {
		at(op.to.dir)[op.to.name] = op.node
	}
}

// needs reports whether op makes no sense unless the earlier one happened too. Where placed is set,
// an operation needs the directory it takes place in as well.
func (op *nameOp) needs(earlier *nameOp, placed bool) bool {
	return op.touches(earlier.from) || op.touches(earlier.to) ||
		placed && (earlier.node == op.from.dir || earlier.node == op.to.dir) ||
		// A directory that goes was empty, which the earlier operations in it made it.
		op.replaced != nil && (earlier.from.dir == op.replaced || earlier.to.dir == op.replaced) ||
		// Renames of directories stay in order, so that none ends up below itself.
		op.rename() && op.node.dir && earlier.rename() && earlier.node.dir
}

func (op *nameOp) touches(place slot) bool {
	return place.dir != nil && (op.from == place || op.to == place)
}

// changeNamesLocked shows an operation to readers and remembers that it is not durable.
func (f *FS) changeNamesLocked(op *nameOp) {
	for _, dir := range []*node{op.from.dir, op.to.dir} {
		if dir != nil && dir.safe == nil {
			dir.safe = maps.Clone(dir.names)
		}
	}
	if op.node.id == 0 {
		f.nodes++
		op.node.id = f.nodes
	}
	op.apply(func(dir *node) map[string]*node { return dir.names })
	f.unsynced = append(f.unsynced, op)
	if op.replaced != nil {
		op.replaced.gone = true
		f.releaseLocked(op.replaced)
	}
}

// syncNamesLocked makes the operations in dir durable. A rename between two directories waits for
// the sync of both, unless something that builds on it is durable already.
func (f *FS) syncNamesLocked(dir *node) {
	for _, op := range f.unsynced {
		op.fromSynced = op.fromSynced || op.from.dir == dir
		op.toSynced = op.toSynced || op.to.dir == dir
	}
	durable := make([]bool, len(f.unsynced))
	pulled := make([]bool, len(f.unsynced))
	for i := len(f.unsynced) - 1; i >= 0; i-- {
		op := f.unsynced[i]
		durable[i] = pulled[i] || op.synced()
		if !durable[i] {
			continue
		}
		// A file that moved has its new name, so the directory that it moved to must be there. A new file
		// has no such claim: it is gone with its directory.
		placed := pulled[i] || op.rename()
		for j, earlier := range f.unsynced[:i] {
			pulled[j] = pulled[j] || op.needs(earlier, placed)
		}
	}
	var rest []*nameOp
	for i, op := range f.unsynced {
		if durable[i] {
			f.generation++
			op.apply(func(dir *node) map[string]*node { return dir.safe })
		} else {
			rest = append(rest, op)
		}
	}
	f.unsynced = rest
	f.forgetSafeLocked(dir)
}

// forgetSafeLocked drops the second set of names of a directory in which everything is durable.
func (f *FS) forgetSafeLocked(dir *node) {
	for _, op := range f.unsynced {
		if op.from.dir == dir || op.to.dir == dir {
			return
		}
	}
	dir.safe = nil
}

// findLocked returns what name stands for.
func (f *FS) findLocked(name string) (*node, error) {
	name = path.Clean(name)
	if strings.HasPrefix(name, "/") || name == ".." || strings.HasPrefix(name, "../") {
		return nil, syscall.EINVAL
	}
	at := f.root
	if name == "." {
		return at, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if !at.dir {
			return nil, syscall.ENOTDIR
		}
		next, ok := at.names[part]
		if !ok {
			return nil, syscall.ENOENT
		}
		at = next
	}
	return at, nil
}

// placeLocked returns where name is or would be, and what is there: nil for nothing.
func (f *FS) placeLocked(name string) (slot, *node, error) {
	name = path.Clean(name)
	if name == "." {
		return slot{}, nil, syscall.EINVAL
	}
	dir, err := f.findLocked(path.Dir(name))
	if err != nil {
		return slot{}, nil, err
	}
	if !dir.dir {
		return slot{}, nil, syscall.ENOTDIR
	}
	base := path.Base(name)
	return slot{dir: dir, name: base}, dir.names[base], nil
}

// inside reports whether n is dir or somewhere below it.
func inside(n, dir *node) bool {
	if n == dir {
		return true
	}
	for _, child := range dir.names {
		if child.dir && inside(n, child) {
			return true
		}
	}
	return false
}
