package faultfs

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"pillarbox/internal/vfs"
)

// Options are the properties of the disk. The zero value is a disk without a limit.
type Options struct {
	// Space is the size of the disk in bytes, used up in pages of 4096 bytes; names cost nothing. 0 is
	// no limit, which Usage reports as 1 TiB.
	Space int64
}

// unlimited is what Usage reports for a disk without a limit.
const unlimited = 1 << 40

// FS is the file system. It implements vfs.FS. All methods may be called concurrently.
type FS struct {
	options Options
	count   atomic.Int64
	inject  atomic.Pointer[func(Op) error]
	after   atomic.Pointer[func(Op, error)]

	// turn is held from the start of an operation to the end of the function given to After, so that
	// the function sees the state right after the operation. It is taken before mu.
	turn sync.Mutex

	mu       sync.Mutex
	root     *node
	unsynced []*nameOp // guarded by mu
	used     int       // pages of content that readers can reach; guarded by mu

	generation uint64 // counts what became durable; guarded by mu
	nodes      uint64 // counts files and directories that were made; guarded by mu
	print      uint64 // of the state that it is, set by Crash
}

var _ vfs.FS = (*FS)(nil)

// New returns an empty disk.
func New(options Options) *FS {
	return &FS{options: options, root: &node{dir: true, names: map[string]*node{}}}
}

// Inject sets a function that is called before each operation; nil removes it. An error that it
// returns fails the operation, which then has no effect, except that a failed Sync loses the
// unsynced writes of the file for good (they stay readable, and no later Sync makes them durable)
// and that a ShortWrite lets a part through.
//
// The function is called by whoever runs the operation, concurrently if operations are. No lock is
// held: it may block, and it may use the file system.
func (f *FS) Inject(before func(op Op) error) {
	if before == nil {
		f.inject.Store(nil)
		return
	}
	f.inject.Store(&before)
}

// After sets a function that is called after each operation with its error; nil removes it. No
// other operation runs meanwhile. The function may call Crash, Operations and Flip, but no
// operation of this file system.
func (f *FS) After(after func(op Op, err error)) {
	if after == nil {
		f.after.Store(nil)
		return
	}
	f.after.Store(&after)
}

// Operations returns how many operations were started.
func (f *FS) Operations() int { return int(f.count.Load()) }

// operate runs one operation between the two functions of the harness. run is called with the
// injected error. Errors come back as *fs.PathError, except for io.EOF.
func (f *FS) operate(op Op, run func(fault error) error) error {
	op.Index = int(f.count.Add(1)) - 1
	var fault error
	if before := f.inject.Load(); before != nil {
		fault = (*before)(op)
	}
	f.turn.Lock()
	defer f.turn.Unlock()
	err := f.locked(run, fault)
	if err != nil && err != io.EOF {
		if short := (*ShortWrite)(nil); errors.As(err, &short) && short.Err != nil {
			err = short.Err
		}
		err = &fs.PathError{Op: op.Kind.String(), Path: op.Name, Err: err}
	}
	if after := f.after.Load(); after != nil {
		(*after)(op, err)
	}
	return err
}

func (f *FS) locked(run func(fault error) error, fault error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return run(fault)
}

// OpenFile implements vfs.FS.
func (f *FS) OpenFile(name string, flag int) (vfs.File, error) {
	var opened *file
	err := f.operate(Op{Kind: OpenFile, Name: name, Flag: flag}, func(fault error) (err error) {
		if fault != nil {
			return fault
		}
		opened, err = f.openLocked(name, flag)
		return err
	})
	if err != nil {
		return nil, err
	}
	return opened, nil
}

func (f *FS) openLocked(name string, flag int) (*file, error) {
	place, found, err := f.placeLocked(name)
	if err != nil {
		if path.Clean(name) == "." {
			return nil, syscall.EISDIR
		}
		return nil, err
	}
	writable := flag&(os.O_RDWR|os.O_WRONLY) != 0
	switch {
	case found == nil && flag&os.O_CREATE == 0:
		return nil, syscall.ENOENT
	case found == nil:
		found = new(node)
		f.changeNamesLocked(&nameOp{node: found, to: place})
	case flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, syscall.EEXIST
	case found.dir:
		return nil, syscall.EISDIR
	case flag&os.O_TRUNC != 0 && writable && found.live.size > 0:
		f.changeLocked(found, change{truncate: true})
	}
	found.open++
	return &file{fs: f, name: name, node: found, writable: writable}, nil
}

// Mkdir implements vfs.FS.
func (f *FS) Mkdir(name string) error {
	return f.operate(Op{Kind: Mkdir, Name: name}, func(fault error) error {
		if fault != nil {
			return fault
		}
		if path.Clean(name) == "." {
			return syscall.EEXIST
		}
		place, found, err := f.placeLocked(name)
		if err != nil {
			return err
		}
		if found != nil {
			return syscall.EEXIST
		}
		f.changeNamesLocked(&nameOp{node: &node{dir: true, names: map[string]*node{}}, to: place})
		return nil
	})
}

// Rename implements vfs.FS.
func (f *FS) Rename(oldname, newname string) error {
	return f.operate(Op{Kind: Rename, Name: oldname, NewName: newname}, func(fault error) error {
		if fault != nil {
			return fault
		}
		from, moved, err := f.placeLocked(oldname)
		if err != nil {
			return err
		}
		if moved == nil {
			return syscall.ENOENT
		}
		to, replaced, err := f.placeLocked(newname)
		if err != nil || moved == replaced {
			return err
		}
		if err := mayReplace(moved, replaced, to.dir); err != nil {
			return err
		}
		f.changeNamesLocked(&nameOp{node: moved, from: from, to: to, replaced: replaced})
		return nil
	})
}

func mayReplace(moved, replaced, dir *node) error {
	switch {
	case moved.dir && inside(dir, moved):
		return syscall.EINVAL
	case replaced == nil:
		return nil
	case replaced.dir && !moved.dir:
		return syscall.EISDIR
	case !replaced.dir && moved.dir:
		return syscall.ENOTDIR
	case len(replaced.names) > 0:
		return syscall.ENOTEMPTY
	}
	return nil
}

// Remove implements vfs.FS. A file that is open stays readable and writable through its handles,
// and uses space until the last of them is closed.
func (f *FS) Remove(name string) error {
	return f.operate(Op{Kind: Remove, Name: name}, func(fault error) error {
		if fault != nil {
			return fault
		}
		place, found, err := f.placeLocked(name)
		switch {
		case err != nil:
			return err
		case found == nil:
			return syscall.ENOENT
		case len(found.names) > 0:
			return syscall.ENOTEMPTY
		}
		f.changeNamesLocked(&nameOp{node: found, from: place, replaced: found})
		return nil
	})
}

// ReadDir implements vfs.FS.
func (f *FS) ReadDir(name string) ([]vfs.Entry, error) {
	var entries []vfs.Entry
	err := f.operate(Op{Kind: ReadDir, Name: name}, func(fault error) error {
		if fault != nil {
			return fault
		}
		dir, err := f.findDirLocked(name)
		if err != nil {
			return err
		}
		for name, child := range dir.names {
			entries = append(entries, vfs.Entry{Name: name, Size: child.live.size, Dir: child.dir})
		}
		return nil
	})
	slices.SortFunc(entries, func(a, b vfs.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries, err
}

// SyncDir implements vfs.FS. Where an error is injected, nothing in the directory becomes durable
// by this call, but it may by the next.
func (f *FS) SyncDir(name string) error {
	return f.operate(Op{Kind: SyncDir, Name: name}, func(fault error) error {
		if fault != nil {
			return fault
		}
		dir, err := f.findDirLocked(name)
		if err != nil {
			return err
		}
		f.syncNamesLocked(dir)
		return nil
	})
}

func (f *FS) findDirLocked(name string) (*node, error) {
	dir, err := f.findLocked(name)
	if err == nil && !dir.dir {
		return nil, syscall.ENOTDIR
	}
	return dir, err
}

// Usage implements vfs.FS.
func (f *FS) Usage() (vfs.Usage, error) {
	var usage vfs.Usage
	err := f.operate(Op{Kind: Usage, Name: "."}, func(fault error) error {
		if fault != nil {
			return fault
		}
		usage.Total = cmp.Or(f.options.Space, unlimited)
		usage.Free = max(0, usage.Total-int64(f.used)*pageSize)
		return nil
	})
	return usage, err
}

// Flip inverts bit 0 to 7 of one byte of stored content, in what readers see and in what is durable
// or on the way there, as a disk does that rots. It is no operation: it is neither counted nor
// failed.
func (f *FS) Flip(name string, offset int64, bit uint) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	found, err := f.findLocked(name)
	if err == nil && (found.dir || offset < 0 || offset >= found.live.size || bit > 7) {
		err = syscall.EINVAL
	}
	if err != nil {
		return &fs.PathError{Op: "flip", Path: name, Err: err}
	}
	f.generation++
	found.live.flip(offset, bit)
	found.durable.flip(offset, bit)
	for i, change := range found.changes {
		if at := offset - change.off; !change.truncate && at >= 0 && at < int64(len(change.data)) {
			found.changes[i].data = slices.Clone(change.data)
			found.changes[i].data[at] ^= 1 << bit
		}
	}
	return nil
}

// freeLocked returns how many pages may still be used.
func (f *FS) freeLocked() int {
	space := cmp.Or(f.options.Space, unlimited)
	return int(space/pageSize) - f.used
}

// changeLocked shows a write or truncate to readers and remembers that it is not durable.
func (f *FS) changeLocked(n *node, c change) {
	f.used -= n.live.used
	c.apply(&n.live)
	f.used += n.live.used
	n.changes = append(n.changes, c)
}

// releaseLocked gives the space of a file back that can't be reached any more.
func (f *FS) releaseLocked(n *node) {
	if n.gone && n.open == 0 {
		f.used -= n.live.used
	}
}

// SyncAll implements vfs.FS: this disk can't do that.
func (f *FS) SyncAll() (done bool, err error) { return false, nil }

// Names implements vfs.FS.
func (f *FS) Names(dir string) ([]string, error) {
	entries, err := f.ReadDir(dir)
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name
	}
	return names, err
}

// Changed implements vfs.FS: this disk does not say.
func (f *FS) Changed(string) (time.Time, error) { return time.Time{}, nil }

// Uncache implements vfs.FS: there is no cache.
func (f *FS) Uncache(string) error { return nil }
