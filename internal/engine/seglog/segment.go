package seglog

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"pillarbox"
	"pillarbox/internal/vfs"
)

const (
	segmentSuffix = ".seg"
	sparePrefix   = "spare-"
)

// segment is one file of the log, as the log knows it in memory.
type segment struct {
	id       uint64
	name     string
	salt     uint64
	created  pillarbox.Timestamp
	firstSeq uint64
	nextSeq  uint64 // behind the last event; grows in the live segment
	end      int64  // where the valid frames end; everything below is durable
	base     int64  // bytes of frames in all earlier segments, for the limit on bytes
	prevID   uint64 // the segment before, as the header says
	prevEnd  int64
	damaged  bool // not to be removed, but to be quarantined
	removed  bool // somebody has removed the file, and that was said
}

func (s *segment) empty() bool { return s.firstSeq == s.nextSeq }

// position is the distance of an offset in this segment from the start of the log, in bytes of
// frames.
func (s *segment) position(offset int64) int64 { return s.base + offset - dataStart }

func segmentName(dir string, id uint64) string {
	return path.Join(dir, fmt.Sprintf("%016d%s", id, segmentSuffix))
}

// segmentID reads the id from a file's base name.
func segmentID(base string) (uint64, bool) {
	digits, found := strings.CutSuffix(base, segmentSuffix)
	if !found || len(digits) != 16 {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 10, 64)
	return id, err == nil && id > 0
}

func randomUint64() uint64 {
	var b [8]byte
	for {
		_, _ = rand.Read(b[:]) // never fails, by its documentation
		if n := binary.LittleEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}

// readHeaders reads both copies of the segment header. ok is false where neither is valid; damage
// tells of copies that are not.
func readHeaders(
	file vfs.File, name string,
) (header segmentHeader, ok bool, damage []pillarbox.CorruptError, err error) {
	w := walker{file: file, name: name, limit: dataStart}
	for copyNumber := range int64(2) {
		b, err := w.view(copyNumber*headerBytes, headerBytes)
		if err != nil {
			return segmentHeader{}, false, nil, err
		}
		found, reason := decodeSegmentHeader(b)
		if reason == reasonVersion {
			return segmentHeader{}, false, nil, newerFormat(name)
		}
		if reason != "" {
			if w.couldNotRead(copyNumber*headerBytes, (copyNumber+1)*headerBytes) {
				reason = readFault + reason
			}
			damage = append(damage, w.corrupt(copyNumber*headerBytes, reason))
			continue
		}
		if !ok {
			header, ok = found, true
		}
	}
	return header, ok, damage, nil
}

// foundSegment is a segment file as it was found in the directory.
type foundSegment struct {
	segment
	size     int64
	header   segmentHeader
	readable bool // one of its headers is valid
	scanned  bool // end and nextSeq are known
	linked   bool // part of the chain of headers
	tail     tail // set by scan
	// unreadEnd is set where the disk could not read the end, so that nobody knows how many events
	// are missing there.
	unreadEnd *unreadEnd
}

// maxUnknownFile is the largest file that is taken for a segment although none of its headers can
// be read, in bytes: 16 times the default. A repair reads it as a whole.
const maxUnknownFile = 1 << 30

// maxFile bounds what is read of the file at once. One with a valid header has the size that the
// configuration gave it.
func (f *foundSegment) maxFile() int64 {
	if f.readable {
		return max(f.size, maxUnknownFile)
	}
	return maxUnknownFile
}

// tooLarge is the error for a file that nobody but somebody else can have made.
func tooLarge(name string, size, limit int64) error {
	return fmt.Errorf("%s has %d bytes, and such a file has %d at most: %w", name, size, limit,
		vfs.ErrForeign)
}

// listSegments reads the headers of all segment files, in the order of their ids. What has the name
// of a segment and can't be one is damage, left as it is, and no part of the log; newest is the
// largest id, of those too.
func listSegments(
	fsys vfs.FS, dir string,
) (all []*foundSegment, newest uint64, damage []pillarbox.CorruptError, err error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("list %s: %w", dir, err)
	}
	for _, entry := range entries {
		id, ok := segmentID(entry.Name)
		if !ok {
			continue
		}
		item := &foundSegment{
			segment: segment{id: id, name: path.Join(dir, entry.Name)}, size: entry.Size,
		}
		newest = max(newest, id)
		headerDamage, err := item.read(fsys)
		if vfs.IsForeign(err) {
			damage = append(damage, pillarbox.CorruptError{
				File: item.name, Reason: vfs.Damage(item.name, err)})
			continue
		}
		if err != nil {
			return nil, 0, nil, err
		}
		damage = append(damage, headerDamage...)
		all = append(all, item)
	}
	slices.SortFunc(all, func(a, b *foundSegment) int { return int(int64(a.id) - int64(b.id)) })
	return all, newest, damage, nil
}

func (f *foundSegment) read(fsys vfs.FS) ([]pillarbox.CorruptError, error) {
	file, err := fsys.OpenFile(f.name, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	defer file.Close()
	header, ok, damage, err := readHeaders(file, f.name)
	if err != nil {
		return nil, err
	}
	if ok && header.id != f.id {
		ok = false
		damage = append(damage, pillarbox.CorruptError{
			File: f.name, Reason: fmt.Sprintf("the header belongs to segment %d", header.id),
		})
	}
	f.header, f.readable, f.damaged = header, ok, len(damage) > 0
	if !ok && f.size > maxUnknownFile {
		return nil, tooLarge(f.name, f.size, maxUnknownFile)
	}
	if ok {
		f.salt, f.created, f.firstSeq = header.salt, header.created, header.firstSeq
		f.prevID, f.prevEnd = header.prevID, header.prevEnd
	}
	return damage, nil
}

// linkSegments follows the headers from the newest segment back: each states where the one before
// ends. A segment that a newer one skips was abandoned before its first acknowledged frame; it
// stays unlinked.
func linkSegments(all []*foundSegment) {
	if len(all) == 0 {
		return
	}
	current := len(all) - 1
	all[current].linked = true
	for current > 0 {
		next := all[current]
		before := current - 1
		if next.readable && next.header.prevID != 0 {
			for before >= 0 && all[before].id > next.header.prevID {
				before-- // skipped
			}
		}
		if before < 0 {
			return
		}
		all[before].linked = true
		if next.readable && next.header.prevID == all[before].id {
			all[before].end, all[before].nextSeq, all[before].scanned = next.header.prevEnd, next.header.firstSeq, true
		}
		current = before
	}
}

// scan finds the end of a segment that no later header states.
func (f *foundSegment) scan(
	fsys vfs.FS, expectSeq uint64,
) (damage []pillarbox.CorruptError, torn int64, err error) {
	file, err := fsys.OpenFile(f.name, os.O_RDONLY)
	if err != nil {
		return nil, 0, fmt.Errorf("open segment: %w", err)
	}
	defer file.Close()
	if !f.readable {
		f.firstSeq = expectSeq
	}
	w := &walker{
		file: file, name: f.name, salt: f.salt, offset: dataStart, seq: f.firstSeq, limit: f.size,
	}
	f.end, f.nextSeq = min(dataStart, f.size), f.firstSeq
	w.proven, w.provenSeq = f.end, f.nextSeq
	var unproven []*chunk
	for {
		before := w.proven
		c, err := w.next()
		if errors.Is(err, errEnd) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		if c.torn {
			torn = c.end - c.offset
		}
		if c.unread && c.torn && f.unreadEnd == nil {
			f.unreadEnd = &unreadEnd{from: c.offset, seq: c.firstSeq, kept: len(c.records)}
		}
		if c.torn && len(c.records) == 0 {
			damage = append(damage, c.damage...)
			break
		}
		f.end, f.nextSeq = c.end, c.nextSeq()
		damage = append(damage, c.damage...)
		if len(c.damage) > 0 || c.missing() > 0 {
			w.proven, w.provenSeq = c.end, c.nextSeq() // it stays where it is, for a person to look at
		}
		if unproven = append(unproven, c); w.proven > before {
			unproven = w.behindProven(unproven)
		}
	}
	if w.lastEnd > f.end && torn == 0 {
		f.end = w.lastEnd
	}
	f.salt, f.scanned, f.tail = w.salt, true, tail{
		from: w.proven, firstSeq: w.provenSeq, chunks: w.behindProven(unproven),
	}
	f.damaged = f.damaged || len(damage) > 0
	return damage, torn, nil
}
