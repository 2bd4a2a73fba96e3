package parquet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// attachDir opens a directory and locks it.
func attachDir(dir string) (attached, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return attached{}, err
	}
	above := filepath.Dir(dir)
	if _, err := os.Stat(above); err != nil {
		return attached{}, fmt.Errorf("the directory above it is not there; make it, or mount its disk: %w", err)
	}
	disk, err := vfs.OpenDisk(dir)
	if err != nil {
		return attached{}, err
	}
	lock, err := lockDir(disk)
	if err != nil {
		return attached{}, errors.Join(err, disk.Close())
	}
	a := attachedFS(disk)
	a.path, a.check = dir, lock.Check
	a.close = func() error { return errors.Join(lock.Close(), disk.Close()) }
	return a, nil
}

// lockDir takes the lock, whose file is in a directory that it makes only in one that is empty or ours.
func lockDir(disk *vfs.Disk) (*vfs.Lock, error) {
	if err := refuseForeign(disk); err != nil {
		return nil, err
	}
	if err := vfs.MkdirAll(disk, ownDir); err != nil {
		return nil, err
	}
	return disk.Lock(lockFile)
}

// refuseForeign returns an error for a directory without a manifest that has anything in it: somebody
// else's files, or events whose manifest is gone.
func refuseForeign(fsys vfs.FS) error {
	file, err := fsys.OpenFile(manifestFile, os.O_RDONLY)
	if err == nil {
		return file.Close()
	}
	if !notExist(err) {
		return err
	}
	entries, err := fsys.ReadDir(".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name != ownDir && e.Name[0] != '.' && e.Name != "lost+found" {
			return fmt.Errorf("it has %q in it, and no %s: name an empty directory, or put that file back: %w", e.Name,
				manifestFile, pillarbox.ErrUnavailable)
		}
	}
	days, err := fsys.ReadDir(daysDir)
	if err == nil && len(days) > 0 {
		return fmt.Errorf("%s is gone, and there are days of events: put that file back: %w", manifestFile,
			pillarbox.ErrUnavailable)
	}
	if notExist(err) {
		return nil
	}
	return err
}
