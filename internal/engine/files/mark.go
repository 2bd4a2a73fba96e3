package files

import (
	"encoding/binary"
	"errors"
	"os"
	"path"

	"pillarbox/internal/vfs"
)

// mark is up to where letters have their files, on the disk. It is written in two places in turn,
// so that one is whole.
type mark struct {
	name   string
	file   vfs.File
	serial uint64
}

const (
	markBytes  = 28   // serial, journal, offset, checksum
	markStride = 4096 // between the two
)

// read returns the newest mark; zero where there is none.
func (m *mark) read(fsys vfs.FS) (newest position, err error) {
	content, err := vfs.ReadFile(fsys, m.name, maxSmallFile)
	if vfs.IsForeign(err) { // without a mark, all that is in journals is filed once more
		err = fsys.Remove(m.name)
	}
	if err != nil && !notExist(err) {
		return newest, err
	}
	for _, at := range []int{0, markStride} {
		if len(content) < at+markBytes {
			continue
		}
		b := content[at : at+markBytes]
		serial := binary.LittleEndian.Uint64(b)
		if binary.LittleEndian.Uint32(b[24:]) == checksum(b[:24], int64(at)) && serial > m.serial {
			m.serial, newest = serial, position{binary.LittleEndian.Uint64(b[8:]),
				int64(binary.LittleEndian.Uint64(b[16:]))}
		}
	}
	return newest, nil
}

// write makes the mark durable.
func (m *mark) write(fsys vfs.FS, at position) (err error) {
	if m.file == nil {
		if m.file, err = fsys.OpenFile(m.name, os.O_RDWR|os.O_CREATE); err != nil {
			return err
		}
		if err := fsys.SyncDir(path.Dir(m.name)); err != nil {
			return errors.Join(err, m.close())
		}
	}
	m.serial++
	offset := int64(m.serial % 2 * markStride)
	b := binary.LittleEndian.AppendUint64(nil, m.serial)
	b = binary.LittleEndian.AppendUint64(b, at.file)
	b = binary.LittleEndian.AppendUint64(b, uint64(at.offset))
	b = binary.LittleEndian.AppendUint32(b, checksum(b, offset))
	if _, err := m.file.WriteAt(b, offset); err != nil {
		return errors.Join(err, m.close())
	}
	if err := m.file.Sync(); err != nil {
		return errors.Join(err, m.close())
	}
	return nil
}

func (m *mark) close() error {
	if m.file == nil {
		return nil
	}
	err := m.file.Close()
	m.file = nil
	return err
}
