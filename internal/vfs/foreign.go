package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// ErrForeign says that what has the name can't be a file of ours, because somebody else has put it
// there: a named pipe, a symbolic link, a socket, a device, a directory where a file belongs, or a
// file that is larger than any of its kind. Nothing was read of it, and it is left as it is.
var ErrForeign = errors.New("this was not made by pillarbox; move it away")

// IsForeign reports whether an error says that somebody has put something else in the place of a
// file: it matches ErrForeign, or is the system's word for a directory.
func IsForeign(err error) bool {
	return errors.Is(err, ErrForeign) || errors.Is(err, syscall.EISDIR)
}

// Damage says of an error about a file why it is damaged, without the name that it is reported
// with.
func Damage(name string, err error) string { return strings.TrimPrefix(err.Error(), name+" ") }

// foreign is the error for what is not what belongs there.
func foreign(name string, found fs.FileMode, want string) error {
	return fmt.Errorf("%s is %s and not %s: %w", name, kindOf(found), want, ErrForeign)
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	case mode.IsRegular():
		return "a file"
	}
	return "something else"
}

// maxOpenRaces is how often an opening begins again because the file was replaced meanwhile, as a
// letter is that is written anew. More in a row is nobody's work but that of who wants it.
const maxOpenRaces = 100

// openRegular opens or makes a regular file. It neither waits for the other end of a pipe nor
// follows a link: os.Root follows those that stay inside, so the name is looked at first, and what
// was opened is compared with that.
func openRegular(root *os.Root, name string, flag int) (*os.File, error) {
	for range maxOpenRaces {
		file, again, err := tryRegular(root, name, flag)
		if !again {
			return file, err
		}
	}
	return nil, fmt.Errorf("%s is replaced again and again while it is opened: %w", name, ErrForeign)
}

// lookedAt is for tests: it is called between the look at a name and its opening.
var lookedAt func(name string)

// tryRegular reports again where the name has changed hands.
func tryRegular(root *os.Root, name string, flag int) (_ *os.File, again bool, err error) {
	there, err := root.Lstat(name)
	creates := flag&os.O_CREATE != 0
	switch {
	case err == nil && creates && flag&os.O_EXCL != 0:
		return nil, false, &fs.PathError{Op: "open", Path: name, Err: syscall.EEXIST}
	case err == nil && !there.Mode().IsRegular():
		return nil, false, foreign(name, there.Mode(), "a regular file")
	case errors.Is(err, fs.ErrNotExist) && creates:
		file, err := root.OpenFile(name, flag|os.O_EXCL, 0o600)
		again := errors.Is(err, fs.ErrExist) && flag&os.O_EXCL == 0
		return file, again, err
	case err != nil:
		return nil, false, foreignAbove(root, name, err)
	}
	if lookedAt != nil {
		lookedAt(name)
	}
	// Nothing is cut off before it is known to be the file.
	file, err := root.OpenFile(name, flag&^(os.O_TRUNC|os.O_CREATE)|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, creates && errors.Is(err, fs.ErrNotExist), err
	}
	opened, err := file.Stat()
	same := err == nil && os.SameFile(there, opened)
	if same && flag&os.O_TRUNC != 0 && opened.Size() > 0 {
		err = file.Truncate(0)
	}
	if err != nil || !same {
		return nil, err == nil, errors.Join(err, file.Close())
	}
	return file, false, nil
}

// foreignAbove says which directory above a name is none, where that is why it could not be
// reached.
func foreignAbove(root *os.Root, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
		if there, look := root.Lstat(dir); look == nil && !there.IsDir() {
			return fmt.Errorf("%w (%w)", foreign(dir, there.Mode(), "a directory"), err)
		}
	}
	return err
}

// openDirectory opens a directory for reading, and nothing else that has its name.
func openDirectory(root *os.Root, name string) (*os.File, error) {
	there, err := root.Lstat(name)
	if err != nil {
		return nil, foreignAbove(root, name, err)
	}
	if !there.IsDir() {
		return nil, foreign(name, there.Mode(), "a directory")
	}
	dir, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := dir.Stat()
	if err == nil && !info.IsDir() {
		err = foreign(name, info.Mode(), "a directory")
	}
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}
