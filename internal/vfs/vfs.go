// Package vfs is the few file operations that durable engines need, behind one interface.
//
// Names are slash-separated and relative to the root directory that Open was given; they cannot
// leave it. What the interface promises is what POSIX promises after a power cut, and no more: file
// content is durable after Sync, and a name is durable after SyncDir of the directory that holds
// it. The package faultfs holds engines to that by forgetting everything else. Only this package
// opens files for engines.
package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

// FS is a tree of files. All methods may be called concurrently. Errors match fs.ErrNotExist,
// fs.ErrExist and syscall's numbers (ENOSPC, EROFS, EIO, ...) with errors.Is.
type FS interface {
	// OpenFile opens or creates a file. flag is a combination of os.O_RDONLY, O_RDWR, O_CREATE, O_EXCL
	// and O_TRUNC. A created file has mode 0600, and its name is not durable before SyncDir. What has
	// the name and is no regular file is neither waited for nor followed: the error is IsForeign.
	OpenFile(name string, flag int) (File, error)
	// Mkdir makes one directory. Its name is not durable before SyncDir of its parent.
	Mkdir(name string) error
	// Rename replaces newname. It is atomic, and durable after SyncDir of both directories.
	Rename(oldname, newname string) error
	// Remove removes a file or an empty directory. It is durable after SyncDir.
	Remove(name string) error
	// ReadDir lists a directory in the order of names.
	ReadDir(name string) ([]Entry, error)
	// SyncDir makes the names in a directory durable. "." is the root.
	SyncDir(name string) error
	// Usage reports the space of the file system that holds the root.
	Usage() (Usage, error)
	// IsFile reports whether the name belongs to the open file: nobody has removed, moved or replaced
	// it.
	IsFile(name string, file File) (bool, error)
	// SyncAll makes everything on the file system durable at once. done is false where the system
	// can't do that, or can't tell whether it has succeeded: then nothing was done.
	SyncAll() (done bool, err error)
	// Names lists a directory, in no order. It may cost less than ReadDir where there are many files.
	Names(dir string) ([]string, error)
	// Changed returns when the names in a directory were changed last, as exactly as the file system
	// says, or zero where it does not say.
	Changed(dir string) (time.Time, error)
	// Uncache tells the system that what it holds of a file in memory is not needed soon. Content that
	// is not synced stays. It is advice: a file system that can't take it does nothing.
	Uncache(name string) error
}

// File is an open file. ReadAt may be called concurrently with everything else.
type File interface {
	io.ReaderAt
	io.WriterAt
	// WriteZeros writes n zeros at an offset, past the page cache where the system allows it.
	WriteZeros(n, at int64) error
	// Sync makes the content and the size durable. After an error nothing is known about what was
	// written since the last success, and a later success proves nothing about it either.
	Sync() error
	// Truncate sets the size.
	Truncate(size int64) error
	// Size returns the size in bytes.
	Size() (int64, error)
	// Linked reports whether the file still has a name, anywhere. What is written to one that has none
	// is gone with the process, whatever Sync says. It is cheap enough to be asked at each commit.
	Linked() (bool, error)
	// Close is safe to call twice. It makes nothing durable.
	Close() error
}

// Entry is one name in a directory.
type Entry struct {
	Name string
	Size int64 // bytes; 0 for a directory
	Dir  bool
}

// Usage is the space of a file system, in bytes.
type Usage struct {
	Free  int64 // available to this process
	Total int64

	FreeFiles  int64 // files that may still be made (inodes)
	TotalFiles int64 // 0 where the file system does not count them
}

// MkdirAll makes a directory and every missing one above it, and syncs each directory that got a
// new name, so that what is later made durable inside cannot be cut off from above.
func MkdirAll(fsys FS, name string) error {
	if name == "." || name == "" {
		return nil
	}
	parent := path.Dir(name)
	if err := MkdirAll(fsys, parent); err != nil {
		return err
	}
	err := fsys.Mkdir(name)
	if errors.Is(err, fs.ErrExist) {
		// It may have been made by a life that ended before the next line.
		return fsys.SyncDir(parent)
	}
	if err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}

// ReadFile reads a whole file of at most limit bytes. Of one that is larger nothing is read, and
// the error matches ErrForeign: a file that somebody has made may have any size, and hold nothing.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	file, err := fsys.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes, and such a file has %d at most: %w", name, size, limit,
			ErrForeign)
	}
	content := make([]byte, size)
	n, err := file.ReadAt(content, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return content[:n], nil
}

// IsUnreadable reports whether an error says that the disk can't read what is asked for, while
// everything else may be well: an input/output error, or a checksum of the file system that does
// not match (EBADMSG, EUCLEAN, ENODATA). It may pass.
func IsUnreadable(err error) bool {
	for _, number := range unreadable {
		if errors.Is(err, number) {
			return true
		}
	}
	return false
}

// TempSuffix ends the name of a file that WriteFile has not finished. Such a file may always be
// removed.
const TempSuffix = ".tmp"

// WriteFile makes name hold content, durably and atomically: after a crash the file is either as
// before or complete. Two concurrent calls for one name must be kept apart by the caller.
func WriteFile(fsys FS, name string, content []byte) (err error) {
	temp := name + TempSuffix
	file, err := Create(fsys, temp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// The first error is the one that matters; a leftover is removed at the next start.
			_ = fsys.Remove(temp)
		}
	}()
	if _, err := file.WriteAt(content, 0); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", temp, err), file.Close())
	}
	if err := file.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", temp, err), file.Close())
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", temp, err)
	}
	if err := fsys.Rename(temp, name); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(name))
}

// Create makes an empty file of a name whose content is not finished, or can be made again:
// whatever has the name may be removed, and is never written through.
func Create(fsys FS, name string) (File, error) {
	file, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if !IsForeign(err) {
		return file, err
	}
	if err := fsys.Remove(name); err != nil {
		return nil, err
	}
	return fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

const (
	// zeroChunk is how much Zero writes at once: so little that a sync of another file waits no longer
	// for it than for a sync of its own.
	zeroChunk = 256 << 10
	// zeroSync is how much it writes between two syncs, which make others wait for what is gathered.
	zeroSync = 8 << 20
)

// Zero writes size bytes of zeros from the start of the file and syncs it. Writing real zeros, and
// not just reserving space, is what makes later overwrites cost one write and one flush: no
// metadata changes. Where the system allows it, the zeros go past the page cache.
//
// pace, if set, is called before each piece, with what is filled. It may wait; its error ends the
// work.
func Zero(file File, size int64, pace func(filled int64) error) error {
	for at := int64(0); at < size; at += zeroChunk {
		if pace != nil {
			if err := pace(at); err != nil {
				return err
			}
		}
		if err := file.WriteZeros(min(size-at, zeroChunk), at); err != nil {
			return fmt.Errorf("fill with zeros at %d: %w", at, err)
		}
		if end := at + zeroChunk; end%zeroSync == 0 || end >= size {
			if err := file.Sync(); err != nil {
				return fmt.Errorf("sync zeros: %w", err)
			}
		}
	}
	return nil
}

// IsTemp reports whether name was left over by a WriteFile that did not finish.
func IsTemp(name string) bool { return strings.HasSuffix(name, TempSuffix) }
