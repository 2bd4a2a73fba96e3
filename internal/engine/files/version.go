package files

import (
	"encoding/binary"
	"os"
	"path"
	"strconv"
	"strings"

	"pillarbox"
	"pillarbox/internal/vfs"
)

const (
	indexVersion       = 1 // of the rows, as the file complete says it
	sealedIndexVersion = 2 // of rows whose texts may be sealed

	journalFamily = "pbjrnl" // of the magic, before its two digits of a version
)

// refuseNewer returns an error that matches ErrInvalid where journals or index were written in a
// newer format, before anything is changed. What is wrong with them otherwise is found by their
// readers.
func (l *Letters) refuseNewer() error {
	if err := l.refuseNewerIndex(); err != nil {
		return err
	}
	entries, err := l.fsys.ReadDir(l.path(journalDir))
	if notExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := l.path(journalDir, entry.Name)
		if strings.HasSuffix(entry.Name, journalSuffix) && isNewerJournal(l.fsys, name) {
			return pillarbox.Invalid(
				"journal of dead letters %s: written in a newer format; use the version of pillarbox that wrote it, and stop it in order: then its letters have files, and it is gone",
				name)
		}
	}
	return nil
}

// versionOf reads the file complete; 0 where it says nothing.
func versionOf(complete []byte) int {
	version, err := strconv.Atoi(strings.TrimSpace(string(complete)))
	if err != nil {
		return 0
	}
	return version
}

// isMagic reports whether a journal begins so that this program can read it.
func isMagic(head []byte) bool { return string(head) == journalMagic || string(head) == sealedMagic }

// isNewerJournal reports whether the file has a sound head of a version that is not known. The
// first 36 bytes of a journal end with their checksum in every version.
func isNewerJournal(fsys vfs.FS, name string) bool {
	file, err := fsys.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return false
	}
	defer file.Close()
	head := make([]byte, journalHeader)
	if n, _ := file.ReadAt(head, 0); n < len(head) {
		return false
	}
	return strings.HasPrefix(string(head), journalFamily) && !isMagic(head[:8]) &&
		binary.LittleEndian.Uint32(head[32:]) == checksum(head[:32], 0)
}

func (l *Letters) refuseNewerIndex() error {
	name := l.path(indexDir, completeName)
	content, err := vfs.ReadFile(l.fsys, name, maxSmallFile)
	if err != nil {
		return nil // there is none, or it is made anew, or openIndex meets the error
	}
	if versionOf(content) <= sealedIndexVersion {
		return nil
	}
	return pillarbox.Invalid(
		"index of the dead letters %s: written in a newer format; use the version of pillarbox that wrote it, or remove the directory while no server runs, and it is made anew from the letters",
		path.Dir(name))
}
