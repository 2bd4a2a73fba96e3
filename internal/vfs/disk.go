package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"pillarbox/internal/watchdog"
)

// Disk is the real file system below one directory.
type Disk struct {
	root  *os.Root
	dir   string
	top   *os.File        // the directory, open as long as the disk is: what could not be written back since then shows at it
	watch *watchdog.Calls // nil where nobody wants to know
}

// OpenDisk opens dir, which is made with mode 0700 where it is missing; the names of new
// directories are synced. Close it when everything inside is closed.
func OpenDisk(dir string) (*Disk, error) {
	if err := makeRoot(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	top, err := openDirectory(root, ".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &Disk{root: root, dir: dir, top: top}, nil
}

func makeRoot(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	switch info, err := os.Stat(dir); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return foreign(dir, info.Mode(), "a directory")
	}
	if err := makeRoot(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// Watch has every call to the disk looked after from now on: late is told when one has not returned
// within the bound, and back when all have again. It is to be called before the disk is used.
func (d *Disk) Watch(bound time.Duration, late, back func(what string, took time.Duration)) {
	d.watch = watchdog.NewCalls(bound, late, back)
}

// Hanging returns the call to the disk that has not returned for the longest time, and for how
// long, once that is longer than the bound; else "".
func (d *Disk) Hanging() (what string, since time.Duration) { return d.watch.Hanging() }

// Dir returns the directory that was opened.
func (d *Disk) Dir() string { return d.dir }

// OpenFile implements FS.
func (d *Disk) OpenFile(name string, flag int) (File, error) {
	defer d.watch.Begin("open", name).End()
	file, err := openRegular(d.root, name, flag)
	if err != nil {
		return nil, err
	}
	return &diskFile{file: file, name: name, watch: d.watch}, nil
}

// Mkdir implements FS.
func (d *Disk) Mkdir(name string) error {
	defer d.watch.Begin("mkdir", name).End()
	return d.root.Mkdir(name, 0o700)
}

// Rename implements FS.
func (d *Disk) Rename(oldname, newname string) error {
	defer d.watch.Begin("rename", oldname).End()
	return d.root.Rename(oldname, newname)
}

// Remove implements FS.
func (d *Disk) Remove(name string) error {
	defer d.watch.Begin("remove", name).End()
	return d.root.Remove(name)
}

// ReadDir implements FS.
func (d *Disk) ReadDir(name string) ([]Entry, error) {
	defer d.watch.Begin("list", name).End()
	dir, err := openDirectory(d.root, name)
	if err != nil {
		return nil, err
	}
	defer dir.Close() // it is only read
	found, err := dir.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	entries := make([]Entry, 0, len(found))
	for _, item := range found {
		entry := Entry{Name: item.Name(), Dir: item.IsDir()}
		if !entry.Dir {
			info, err := item.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed since the directory was read
			}
			if err != nil {
				return nil, err
			}
			entry.Size = info.Size()
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// Names lists a directory without asking for the size of anything, in no order.
func (d *Disk) Names(name string) ([]string, error) {
	defer d.watch.Begin("list", name).End()
	dir, err := openDirectory(d.root, name)
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	return names, errors.Join(err, dir.Close())
}

// Changed returns the time of the last change of the names in a directory.
func (d *Disk) Changed(name string) (time.Time, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// SyncAll makes everything on the file system durable, if the system can tell whether that has
// worked.
func (d *Disk) SyncAll() (done bool, err error) {
	defer d.watch.Begin("sync the file system of", d.dir).End()
	return syncFileSystem(d.top)
}

// SyncDir implements FS.
func (d *Disk) SyncDir(name string) error {
	defer d.watch.Begin("sync directory", name).End()
	dir, err := openDirectory(d.root, name)
	if err != nil {
		return err
	}
	if err := dir.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync directory %s: %w", name, err), dir.Close())
	}
	return dir.Close()
}

// Usage implements FS.
func (d *Disk) Usage() (Usage, error) {
	defer d.watch.Begin("ask for the space of", d.dir).End()
	return usage(d.dir)
}

func (d *Disk) Uncache(name string) error {
	file, err := openRegular(d.root, name, os.O_RDONLY)
	if err != nil {
		return err
	}
	return errors.Join(dontNeed(file), file.Close())
}

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// Close releases the directory.
func (d *Disk) Close() error { return errors.Join(d.top.Close(), d.root.Close()) }

type diskFile struct {
	file   *os.File
	name   string
	watch  *watchdog.Calls
	direct directWrites

	closeOnce sync.Once
	closeErr  error
}

func (f *diskFile) ReadAt(p []byte, off int64) (int, error) {
	defer f.watch.Begin("read", f.name).End()
	return f.file.ReadAt(p, off)
}

func (f *diskFile) Truncate(size int64) error {
	defer f.watch.Begin("truncate", f.name).End()
	return f.file.Truncate(size)
}

func (f *diskFile) Sync() error {
	defer f.watch.Begin("sync", f.name).End()
	return datasync(f.file)
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	defer f.watch.Begin("write", f.name).End()
	if err := f.direct.end(f.file); err != nil {
		return 0, err
	}
	return f.file.WriteAt(p, off)
}

// WriteZeros is for a file that nobody else has open yet.
func (f *diskFile) WriteZeros(n, off int64) error {
	zeros := f.direct.begin(f.file, n)
	if zeros == nil {
		_, err := f.WriteAt(make([]byte, n), off)
		return err
	}
	defer f.watch.Begin("write", f.name).End()
	_, err := f.file.WriteAt(zeros, off)
	return err
}

func (f *diskFile) Size() (int64, error) {
	info, err := f.file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *diskFile) Close() error {
	f.closeOnce.Do(func() { f.closeErr = f.file.Close() })
	return f.closeErr
}
