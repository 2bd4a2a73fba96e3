package keyindex

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path"

	"pillarbox/internal/atrest"
	"pillarbox/internal/vfs"
)

// writer writes a run, whose entries come in the order of their keys.
type writer struct {
	fsys vfs.FS
	file vfs.File
	run  *run
	temp string

	pending []byte // pages that are not written
	at      int64  // where they belong
	page    []byte // the page that is being filled
	plain   []byte // its entries, before they are sealed
}

// writeAhead is how many bytes of pages are written at once.
const writeAhead = 64 * pageBytes

// newWriter begins a run of at most so many keys.
func newWriter(fsys vfs.FS, dir string, id uint64, about header, most int, keys *atrest.Keys) (*writer, error) {
	w := &writer{fsys: fsys, at: pageBytes, temp: runName(dir, id) + ".tmp"}
	w.run = &run{header: about, id: id, name: runName(dir, id), filter: newFilter(most), atRest: keys}
	w.run.sealed = keys.Seals()
	w.run.keys, w.run.pages, w.run.header.filter = 0, 0, uint32(len(w.run.filter))
	w.run.oldest, w.run.newest = 1<<32-1, 0
	if err := vfs.MkdirAll(fsys, dir); err != nil {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	var err error
	w.file, err = fsys.OpenFile(w.temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	return w, err
}

func runName(dir string, id uint64) string { return path.Join(dir, fmt.Sprintf("%016d%s", id, suffix)) }

func (w *writer) add(e *entry) error {
	r := w.run
	r.keys++
	r.oldest, r.newest = min(r.oldest, e.at), max(r.newest, e.at)
	r.filter.add(&e.key)
	if len(w.page) == 0 {
		w.page = append(w.page, make([]byte, pageHeader)...)
		r.firsts = append(r.firsts, e.key[:8]...)
	}
	w.page = append(w.page, e.key[:]...)
	w.page = binary.LittleEndian.AppendUint64(w.page, e.fingerprint)
	w.page = binary.LittleEndian.AppendUint64(w.page, uint64(e.timestamp))
	w.page = append(w.page, e.id[:]...)
	w.page = binary.LittleEndian.AppendUint32(w.page, e.at)
	w.page = binary.LittleEndian.AppendUint32(w.page, uint32(e.ordinal-r.first))
	if len(w.page) == pageHeader+w.run.perPage()*entryBytes {
		return w.endPage()
	}
	return nil
}

func (w *writer) endPage() error {
	if len(w.page) == 0 {
		return nil
	}
	count := (len(w.page) - pageHeader) / entryBytes
	if w.run.sealed {
		var err error
		w.plain = append(w.plain[:0], w.page[pageHeader:]...)
		if w.page, err = w.run.atRest.Seal(w.page[:pageHeader], w.plain, atrest.KeyPage); err != nil {
			return err
		}
	}
	w.page = append(w.page, make([]byte, pageBytes-len(w.page))...)
	binary.LittleEndian.PutUint16(w.page[4:], uint16(count))
	binary.LittleEndian.PutUint32(w.page, crc32.Checksum(w.page[4:], castagnoli))
	w.run.pages++
	w.pending, w.page = append(w.pending, w.page...), w.page[:0]
	if len(w.pending) >= writeAhead {
		return w.write()
	}
	return nil
}

func (w *writer) write() error {
	_, err := w.file.WriteAt(w.pending, w.at)
	w.at += int64(len(w.pending))
	w.pending = w.pending[:0]
	return err
}

// finish makes the run durable under its name, and returns it open.
func (w *writer) finish() (*run, error) {
	r := w.run
	err := w.endPage()
	if r.keys == 0 {
		r.oldest = 0
	}
	foot := append(append([]byte{}, r.firsts...), r.filter...)
	if r.sealed && err == nil {
		foot, err = r.atRest.Seal(nil, foot, atrest.KeyFoot)
	}
	r.footCRC = crc32.Checksum(foot, castagnoli)
	w.pending = append(w.pending, foot...)
	if err = errors.Join(err, w.write()); err == nil {
		_, err = w.file.WriteAt(r.encode(), 0)
	}
	if err == nil {
		err = w.file.Sync()
	}
	if err == nil {
		err = w.fsys.Rename(w.temp, r.name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", r.name, err), w.abort())
	}
	if err := w.fsys.SyncDir(path.Dir(r.name)); err != nil {
		return nil, errors.Join(fmt.Errorf("sync the directory of %s: %w", r.name, err),
			w.file.Close(), w.fsys.Remove(r.name))
	}
	r.file = w.file
	return r, nil
}

func (w *writer) abort() error { return errors.Join(w.file.Close(), w.fsys.Remove(w.temp)) }
