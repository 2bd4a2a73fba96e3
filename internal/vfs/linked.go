package vfs

import (
	"errors"
	"io/fs"
	"os"
)

// IsFile implements FS.
func (d *Disk) IsFile(name string, file File) (bool, error) {
	mine, ok := file.(*diskFile)
	if !ok {
		return false, nil
	}
	there, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	info, err := mine.file.Stat()
	if err != nil {
		return false, err
	}
	return os.SameFile(info, there), nil
}
