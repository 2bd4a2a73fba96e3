package faultfs

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"syscall"

	"pillarbox/internal/vfs"
)

// file is an open handle. It implements vfs.File.
type file struct {
	fs       *FS
	name     string
	node     *node
	writable bool
	closed   bool // guarded by fs.mu
}

// checkLocked returns why an operation can't go on.
func (h *file) checkLocked(writes bool, offset int64) error {
	switch {
	case h.closed:
		return fs.ErrClosed
	case writes && !h.writable:
		return syscall.EBADF
	case offset < 0:
		return syscall.EINVAL
	}
	return nil
}

// ReadAt implements io.ReaderAt.
func (h *file) ReadAt(p []byte, off int64) (n int, err error) {
	op := Op{Kind: Read, Name: h.name, Offset: off, Length: len(p)}
	err = h.fs.operate(op, func(fault error) error {
		if err := h.checkLocked(false, off); err != nil {
			return err
		}
		if fault != nil {
			return fault
		}
		if n = h.node.live.readAt(p, off); n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

// WriteAt implements io.WriterAt. On a full disk it writes what fits and returns ENOSPC.
func (h *file) WriteAt(p []byte, off int64) (n int, err error) {
	op := Op{Kind: Write, Name: h.name, Offset: off, Length: len(p)}
	err = h.fs.operate(op, func(fault error) error {
		if err := h.checkLocked(true, off); err != nil {
			return err
		}
		n = len(p)
		if fault != nil {
			n = 0
		}
		if short := (*ShortWrite)(nil); errors.As(fault, &short) {
			n = max(0, min(short.N, len(p)))
		}
		if room := h.node.live.room(n, off, h.fs.freeLocked()); room < n {
			n, fault = room, syscall.ENOSPC
		}
		if n > 0 {
			h.fs.changeLocked(h.node, change{off: off, data: slices.Clone(p[:n])})
		}
		return fault
	})
	return n, err
}

// Sync implements vfs.File. After it failed, what was written since the last success is lost at the
// next crash, and a later Sync that succeeds does not change that: the kernel marked the pages
// clean.
func (h *file) Sync() error {
	return h.fs.operate(Op{Kind: Sync, Name: h.name}, func(fault error) error {
		if err := h.checkLocked(false, 0); err != nil {
			return err
		}
		if fault == nil && len(h.node.changes) > 0 {
			h.fs.generation++
			for _, change := range h.node.changes {
				change.apply(&h.node.durable)
			}
		}
		h.node.changes = nil
		return fault
	})
}

// Truncate implements vfs.File.
func (h *file) Truncate(size int64) error {
	return h.fs.operate(Op{Kind: Truncate, Name: h.name, Offset: size}, func(fault error) error {
		if err := h.checkLocked(true, size); err != nil {
			return err
		}
		if fault != nil {
			return fault
		}
		h.fs.changeLocked(h.node, change{truncate: true, off: size})
		return nil
	})
}

// Size implements vfs.File.
func (h *file) Size() (int64, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.closed {
		return 0, &fs.PathError{Op: "size", Path: h.name, Err: fs.ErrClosed}
	}
	return h.node.live.size, nil
}

// Linked implements vfs.File. It is no operation: it is neither counted nor failed.
func (h *file) Linked() (bool, error) {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.closed {
		return false, &fs.PathError{Op: "stat", Path: h.name, Err: fs.ErrClosed}
	}
	return !h.node.gone, nil
}

// IsFile implements vfs.FS. It is no operation: it is neither counted nor failed.
func (f *FS) IsFile(name string, opened vfs.File) (bool, error) {
	mine, ok := opened.(*file)
	f.mu.Lock()
	defer f.mu.Unlock()
	found, err := f.findLocked(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return ok && found == mine.node, err
}

// Close implements vfs.File.
func (h *file) Close() error {
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	h.node.open--
	h.fs.releaseLocked(h.node)
	return nil
}

// WriteZeros implements vfs.File.
func (h *file) WriteZeros(n, at int64) error {
	_, err := h.WriteAt(make([]byte, n), at)
	return err
}
