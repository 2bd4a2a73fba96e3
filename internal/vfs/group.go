package vfs

import (
	"errors"
	"fmt"
	"os"
)

// SyncGroup makes the content of files and the names in directories durable, all at the cost of one
// where the system can do that for a whole file system at once. After an error nothing is known of
// any of them.
func SyncGroup(fsys FS, files, dirs []string) error {
	if done, err := fsys.SyncAll(); done {
		return err
	}
	for _, name := range files {
		if err := SyncFile(fsys, name); err != nil {
			return err
		}
	}
	for _, name := range dirs {
		if err := fsys.SyncDir(name); err != nil {
			return err
		}
	}
	return nil
}

// SyncFile makes the content of a file durable that is not open.
func SyncFile(fsys FS, name string) error {
	file, err := fsys.OpenFile(name, os.O_RDWR)
	if err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", name, err), file.Close())
	}
	return file.Close()
}

// WriteUnsynced makes name hold content, and nothing of it durable: a reader finds the file as it
// was or complete, and after a power cut it may hold anything, until SyncGroup has returned.
// Concurrent calls for one name must be kept apart.
func WriteUnsynced(fsys FS, name string, content []byte) (err error) {
	temp := name + TempSuffix
	file, err := Create(fsys, temp)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// The first error is the one that matters; a leftover is no file of ours.
			_ = fsys.Remove(temp)
		}
	}()
	if _, err := file.WriteAt(content, 0); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", temp, err), file.Close())
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", temp, err)
	}
	return fsys.Rename(temp, name)
}
