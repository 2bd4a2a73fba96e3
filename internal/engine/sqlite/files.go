package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// What SQLite adds to the name of the database.
const (
	walSuffix = "-wal"
	shmSuffix = "-shm"
)

// files tells which files are open. SQLite goes on writing to a file that was unlinked, and every
// row would be lost when it is closed; comparing what is open with what is at the path is how that
// is noticed.
type files struct {
	database, wal os.FileInfo
}

func statFiles(path string) (*files, error) {
	database, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	wal, err := os.Stat(path + walSuffix)
	if err != nil {
		return nil, err
	}
	return &files{database: database, wal: wal}, nil
}

// check returns an error that matches errReplaced if other files are at the path, or none.
func (f *files) check(path string) error {
	if err := sameFile(path, f.database); errors.Is(err, errReplaced) {
		return errReplaced
	} else if err != nil {
		return err
	}
	if err := sameFile(path+walSuffix, f.wal); errors.Is(err, errReplaced) {
		return errWALReplaced
	} else if err != nil {
		return err
	}
	return nil
}

func sameFile(path string, want os.FileInfo) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(info, want) {
		return errReplaced
	}
	return err
}

// setAside moves the WAL of a database that is gone out of the way of the next one: SQLite would
// take its frames for the new file's, and they hold pages of another database. The shared memory
// goes with it; it is derived from the WAL.
func (f *files) setAside(path string, now time.Time) error {
	if err := sameFile(path+walSuffix, f.wal); errors.Is(err, errReplaced) {
		return nil // removed, or already the new one's
	} else if err != nil {
		return err
	}
	if err := os.Remove(path + shmSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove shared memory of the old database: %w", err)
	}
	if err := os.Rename(path+walSuffix,
		fmt.Sprintf("%s%s.orphan-%d", path, walSuffix, now.UnixMicro())); err != nil {
		return fmt.Errorf("set the WAL of the old database aside: %w", err)
	}
	return syncPath(filepath.Dir(path))
}

// create makes an empty file with mode 0600, as everything that holds events has, where there is
// none.
func create(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// closeShm sees to it that the shared memory, which tells where rows are in the WAL, is open to no
// more users than the database: the driver would make it for all. What can't be done here SQLite
// meets itself.
func closeShm(path string) {
	database, err := os.Stat(path)
	if err != nil {
		return
	}
	mode := database.Mode().Perm()
	file, err := os.OpenFile(path+shmSuffix, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err == nil {
		_ = file.Close()
		return
	}
	there, err := os.Lstat(path + shmSuffix) // of an earlier version, or of another program
	if err == nil && there.Mode().IsRegular() && there.Mode().Perm()&^mode != 0 {
		_ = os.Chmod(path+shmSuffix, there.Mode().Perm()&mode)
	}
}

// syncPath syncs a file or directory.
func syncPath(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
