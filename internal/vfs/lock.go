package vfs

import (
	"errors"
	"fmt"
	"os"
)

// ErrLost says that a lock protects nothing any more: what was locked is not what is at its path
// now.
var ErrLost = errors.New("the directory was moved, removed or replaced")

// Lock is the exclusive lock of a directory. It is on the directories themselves, whose inodes
// nobody can replace without moving everything in them, and on a file with a name, for who looks at
// that.
type Lock struct {
	dir  string
	held []*os.File
}

// Lock takes the exclusive lock of the directory for this process, without waiting: of the root, of
// the file, which is made where it is missing, and of directories below the root, as far as they
// exist. The lock ends with Close, or with the process however it ends. ErrLocked says that another
// process holds it, whatever name it came by.
func (d *Disk) Lock(file string, dirs ...string) (_ *Lock, err error) {
	l := &Lock{dir: d.dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	for _, name := range append([]string{"."}, dirs...) {
		dir, err := openDirectory(d.root, name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		l.held = append(l.held, dir)
		if err := lock(dir); err != nil {
			return nil, err
		}
	}
	named, err := openRegular(d.root, file, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	l.held = append(l.held, named)
	return l, lock(named)
}

// Check returns an error that matches ErrLost where the directory that is locked is not the one at
// its path any more. A removed lock file costs nothing: the directory is locked.
func (l *Lock) Check() error {
	mine, err := l.held[0].Stat()
	if err != nil {
		return fmt.Errorf("look at the locked directory: %w", err)
	}
	there, err := os.Stat(l.dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no %s: %w", l.dir, ErrLost)
	case err != nil:
		return fmt.Errorf("look at %s: %w", l.dir, err)
	case !os.SameFile(mine, there):
		return fmt.Errorf("%s is another directory: %w", l.dir, ErrLost)
	}
	return nil
}

// Close gives the lock up.
func (l *Lock) Close() error {
	var errs []error
	for _, file := range l.held {
		errs = append(errs, file.Close())
	}
	l.held = nil
	return errors.Join(errs...)
}
