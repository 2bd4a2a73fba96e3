package keyindex

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sort"
	"sync/atomic"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/vfs"
)

// The form of a run, which docs/FORMAT.md describes: a header of one page, pages of entries sorted
// by key, and a foot, which is the first eight bytes of each page's first key, and the filter.
const (
	magic      = "PBXKEYS\n"
	version    = 1
	sealedForm = 2 // the version of a run whose pages and foot are boxes
	pageBytes  = 4096
	pageHeader = 8 // checksum of the rest, count, zero
	entryBytes = 16 + 8 + 8 + 16 + 4 + 4
	perPage    = (pageBytes - pageHeader) / entryBytes
	perBox     = (pageBytes - pageHeader - atrest.Overhead) / entryBytes // of a page that is sealed

	suffix     = ".keys"
	suffixTemp = ".keys.tmp"

	// maxRunKeys bounds what is believed of a header.
	maxRunKeys = 1 << 32
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the first page of a run.
type header struct {
	log      [16]byte
	from, to uint64 // the keys are those of the events from a sequence number to before another
	first    uint64 // the least ordinal
	end      uint64 // one more than the greatest
	keys     uint64
	oldest   uint32 // seconds, in the time of all lives
	newest   uint32
	pages    uint32
	filter   uint32 // bytes
	footCRC  uint32
	sealed   bool
}

// perPage is how many entries a page has at most.
func (h *header) perPage() int {
	if h.sealed {
		return perBox
	}
	return perPage
}

// footBytes is the size of the foot in the file.
func (h *header) footBytes() int64 {
	size := 8*int64(h.pages) + int64(h.filter)
	if h.sealed {
		size += atrest.Overhead
	}
	return size
}

func (h *header) encode() []byte {
	b := make([]byte, 0, pageBytes)
	b = append(b, magic...)
	form := uint64(version)
	if h.sealed {
		form = sealedForm
	}
	b = binary.LittleEndian.AppendUint64(b, form)
	for _, n := range []uint64{h.from, h.to, h.first, h.end, h.keys} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	for _, n := range []uint32{h.oldest, h.newest, h.pages, h.filter, h.footCRC} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = append(b, h.log[:]...)[:pageBytes]
	seal(b)
	return b
}

func seal(page []byte) {
	binary.LittleEndian.PutUint32(page[pageBytes-4:], crc32.Checksum(page[:pageBytes-4], castagnoli))
}

func (h *header) decode(b []byte) error {
	switch {
	case string(b[:8]) != magic || binary.LittleEndian.Uint32(b[pageBytes-4:]) !=
		crc32.Checksum(b[:pageBytes-4], castagnoli):
		return errors.New("the header is damaged")
	case binary.LittleEndian.Uint64(b[8:])-version > sealedForm-version:
		return pillarbox.Invalid("written in format %d by a newer version; this one reads format %d",
			binary.LittleEndian.Uint64(b[8:]), sealedForm)
	}
	h.sealed = binary.LittleEndian.Uint64(b[8:]) == sealedForm
	b = b[16:]
	for _, n := range []*uint64{&h.from, &h.to, &h.first, &h.end, &h.keys} {
		*n, b = binary.LittleEndian.Uint64(b), b[8:]
	}
	for _, n := range []*uint32{&h.oldest, &h.newest, &h.pages, &h.filter, &h.footCRC} {
		*n, b = binary.LittleEndian.Uint32(b), b[4:]
	}
	h.log = [16]byte(b)
	if h.keys > maxRunKeys || uint64(h.pages) != (h.keys+uint64(h.perPage())-1)/uint64(h.perPage()) ||
		h.filter == 0 || h.filter%blockBytes != 0 || h.from > h.to || h.first > h.end {
		return errors.New("the header does not fit itself")
	}
	return nil
}

// run is an open file of keys. What is in memory never changes, but for unreadable.
type run struct {
	header
	id     uint64
	name   string
	file   vfs.File
	atRest *atrest.Keys
	firsts []byte // eight bytes for each page
	filter filter

	unreadable atomic.Bool // the disk could not read it when it was to be merged
}

func openRun(fsys vfs.FS, name string, id uint64, keys *atrest.Keys) (*run, error) {
	file, err := fsys.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	r := &run{id: id, name: name, file: file, atRest: keys}
	if err := r.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), file.Close())
	}
	return r, nil
}

func (r *run) load() error {
	size, err := r.file.Size()
	if err != nil {
		return err
	}
	page := make([]byte, pageBytes)
	if size < pageBytes {
		return fmt.Errorf("it has %d bytes, and a header has %d", size, pageBytes)
	}
	if err := readFull(r.file, page, 0); err != nil {
		return err
	}
	if err := r.decode(page); err != nil {
		return err
	}
	start := pageBytes * (1 + int64(r.pages))
	if want := start + r.footBytes(); size != want {
		return fmt.Errorf("it has %d bytes, and %d by its header", size, want)
	}
	foot := make([]byte, size-start)
	if err := readFull(r.file, foot, start); err != nil {
		return err
	}
	if crc32.Checksum(foot, castagnoli) != r.footCRC {
		return errors.New("the foot is damaged")
	}
	if r.sealed {
		if foot, err = r.atRest.OpenInPlace(foot, atrest.KeyFoot); err != nil {
			return err
		}
		if len(foot) != 8*int(r.pages)+int(r.header.filter) {
			return errors.New("the foot does not fit the header")
		}
	}
	r.firsts, r.filter = foot[:8*r.pages], foot[8*r.pages:]
	return nil
}

func readFull(file vfs.File, b []byte, at int64) error {
	n, err := file.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// find looks a key up, which costs one page, or two where several pages begin alike.
func (r *run) find(key *[16]byte, page []byte) (e entry, found bool, err error) {
	prefix := string(key[:8])
	// the last page that begins before the key, or with it
	last := sort.Search(int(r.pages), func(i int) bool { return string(r.firsts[8*i:8*i+8]) > prefix }) - 1
	for ; last >= 0; last-- {
		entries, err := r.page(last, page)
		if err != nil {
			return entry{}, false, err
		}
		n := len(entries) / entryBytes
		at := sort.Search(n, func(i int) bool {
			return string(entries[i*entryBytes:][:16]) >= string(key[:])
		})
		if at < n && string(entries[at*entryBytes:][:16]) == string(key[:]) {
			return r.decodeEntry(entries[at*entryBytes:]), true, nil
		}
		if at > 0 || string(r.firsts[8*last:8*last+8]) != prefix {
			return entry{}, false, nil
		}
	}
	return entry{}, false, nil
}

// page returns the entries of a page, in buffer.
func (r *run) page(index int, buffer []byte) ([]byte, error) {
	if err := readFull(r.file, buffer[:pageBytes], pageBytes*(1+int64(index))); err != nil {
		return nil, fmt.Errorf("read %s, page %d: %w", r.name, index, err)
	}
	return r.checkPage(index, buffer[:pageBytes])
}

func (r *run) checkPage(index int, page []byte) ([]byte, error) {
	count := int(binary.LittleEndian.Uint16(page[4:]))
	if binary.LittleEndian.Uint32(page) != crc32.Checksum(page[4:], castagnoli) || count > r.perPage() {
		return nil, &pillarbox.CorruptError{File: r.name, Offset: pageBytes * (1 + int64(index)),
			Reason: "a page of idempotency keys is damaged"}
	}
	page = page[pageHeader:]
	if r.sealed {
		var err error
		if page, err = r.atRest.OpenInPlace(page[:count*entryBytes+atrest.Overhead], atrest.KeyPage); err != nil {
			return nil, fmt.Errorf("read %s, page %d: %w", r.name, index, err)
		}
	}
	return page[:count*entryBytes], nil
}

func (r *run) decodeEntry(b []byte) entry {
	return entry{
		key: [16]byte(b[:16]), fingerprint: binary.LittleEndian.Uint64(b[16:]),
		timestamp: pillarbox.Timestamp(binary.LittleEndian.Uint64(b[24:])), id: [16]byte(b[32:48]),
		at: binary.LittleEndian.Uint32(b[48:]), ordinal: r.first + uint64(binary.LittleEndian.Uint32(b[52:])),
	}
}

// covers reports whether the run has everything that another one has.
func (r *run) covers(other *run) bool {
	return r.from <= other.from && other.to <= r.to && r.id > other.id
}
