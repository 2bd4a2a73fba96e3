package files

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// found is a journal of an earlier life.
type found struct {
	number uint64
	end    int64 // of what is to be believed
}

// findJournals returns the journals that count, oldest first, made durable, and the newest number
// that was used. Files that nothing was promised of are removed, unless something has the name of a
// journal and is none: then nobody knows what it stands in the place of, and foreign says so.
func findJournals(fsys vfs.FS, dir string) (journals []found, newest uint64, foreign, err error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, 0, nil, err
	}
	heads := map[uint64][2]uint64{} // number and end of the one before
	var numbers []uint64
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name, journalSuffix+vfs.TempSuffix) { // a copy that was not finished
			if err := fsys.Remove(path.Join(dir, entry.Name)); err != nil {
				return nil, 0, nil, err
			}
			continue
		}
		digits, ok := strings.CutSuffix(entry.Name, journalSuffix)
		number, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || journalName("", number) != entry.Name {
			continue
		}
		newest = max(newest, number)
		before, ok, err := readHead(fsys, journalName(dir, number), number)
		if vfs.IsForeign(err) {
			foreign = errors.Join(foreign, err)
			continue
		}
		if err != nil {
			return nil, 0, nil, err
		}
		numbers = append(numbers, number)
		if ok {
			heads[number] = before
		}
	}
	slices.Sort(numbers)
	journals, err = chain(fsys, dir, heads, numbers)
	if err != nil || foreign != nil {
		return journals, newest, foreign, err
	}
	return journals, newest, nil, removeVoid(fsys, dir, numbers, journals)
}

func readHead(fsys vfs.FS, name string, number uint64) (before [2]uint64, ok bool, err error) {
	file, err := fsys.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return before, false, err
	}
	defer file.Close()
	head := make([]byte, journalHeader)
	if n, err := file.ReadAt(head, 0); n < len(head) {
		if err != nil && !errors.Is(err, io.EOF) {
			return before, false, err
		}
		return before, false, nil
	}
	ok = isMagic(head[:8]) && binary.LittleEndian.Uint64(head[8:]) == number &&
		binary.LittleEndian.Uint32(head[32:]) == checksum(head[:32], 0)
	return [2]uint64{binary.LittleEndian.Uint64(head[16:]), binary.LittleEndian.Uint64(head[24:])},
		ok, nil
}

// chain follows the heads from the newest file back.
func chain(fsys vfs.FS, dir string, heads map[uint64][2]uint64,
	numbers []uint64) (journals []found, err error) {
	at, end := uint64(0), int64(-1)
	for _, number := range numbers {
		if _, ok := heads[number]; ok {
			at = number
		}
	}
	for at != 0 {
		before, ok := heads[at]
		if !ok {
			break // it is filed and removed, or its head is damaged
		}
		journals = append(journals, found{number: at, end: end})
		at, end = before[0], int64(before[1])
	}
	slices.Reverse(journals)
	return journals, nil
}

func removeVoid(fsys vfs.FS, dir string, numbers []uint64, journals []found) error {
	for _, number := range numbers {
		if slices.ContainsFunc(journals, func(j found) bool { return j.number == number }) {
			continue
		}
		if err := fsys.Remove(journalName(dir, number)); err != nil {
			return err
		}
		if err := fsys.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// readEntry reads one frame, wherever it is.
func readEntry(fsys vfs.FS, dir string, at position, length int64) (entry, error) {
	var read *entry
	_, err := readFrames(fsys, dir, at, at.offset+length,
		func(_ position, _ int64, e entry) (bool, error) {
			e.content = slices.Clone(e.content)
			read = &e
			return false, nil
		})
	if err != nil {
		return entry{}, err
	}
	if read == nil {
		return entry{}, &pillarbox.CorruptError{File: journalName(dir, at.file), Offset: at.offset,
			Reason: "the frame is damaged"}
	}
	return *read, nil
}

// readFrames calls visit with the frames of a journal from offset on, up to end; -1 is as far as
// they are whole. It returns where it has stopped: at the end, at a frame that is not whole, or
// where visit says so.
func readFrames(fsys vfs.FS, dir string, at position, end int64,
	visit func(at position, length int64, e entry) (more bool, err error)) (int64, error) {
	file, err := fsys.OpenFile(journalName(dir, at.file), os.O_RDONLY)
	if err != nil {
		return at.offset, err
	}
	defer file.Close()
	if end < 0 {
		if end, err = file.Size(); err != nil {
			return at.offset, err
		}
	}
	frames := frameReader{file: file, offset: at.offset, end: end}
	for {
		payload, err := frames.next()
		if err != nil || payload == nil {
			return frames.offset, err
		}
		e, ok := decodeEntry(payload)
		if !ok {
			return frames.offset, nil
		}
		length := int64(frameHead + len(payload))
		more, err := visit(position{at.file, frames.offset}, length, e)
		if err != nil {
			return frames.offset, err
		}
		if frames.offset += length; !more {
			return frames.offset, nil
		}
	}
}

// frameReader reads frames one after the other through a buffer.
type frameReader struct {
	file   vfs.File
	offset int64 // of the next frame
	end    int64

	ahead  int64 // how much is read at once; 0 is readBytes
	buffer []byte
	start  int64 // offset of the buffer
}

const readBytes = 1 << 20

// next returns the payload of the frame at the offset, which is valid until the next call; nil
// where there is no whole one. The caller moves the offset.
func (r *frameReader) next() ([]byte, error) {
	head, err := r.bytes(r.offset, frameHead)
	if err != nil || head == nil {
		return nil, err
	}
	length, sum := int64(binary.LittleEndian.Uint32(head)), binary.LittleEndian.Uint32(head[4:])
	if length == 0 || length > r.end-r.offset-frameHead {
		return nil, nil
	}
	payload, err := r.bytes(r.offset+frameHead, length)
	if err != nil || payload == nil || checksum(payload, r.offset) != sum {
		return nil, err
	}
	return payload, nil
}

// bytes returns n bytes, or nil where the file ends before.
func (r *frameReader) bytes(offset, n int64) ([]byte, error) {
	if offset+n > r.end {
		return nil, nil
	}
	if offset < r.start || offset+n > r.start+int64(len(r.buffer)) {
		size := min(max(n, cmp.Or(r.ahead, readBytes)), r.end-offset)
		if int64(cap(r.buffer)) < size {
			r.buffer = make([]byte, size)
		}
		r.buffer, r.start = r.buffer[:size], offset
		got, err := r.file.ReadAt(r.buffer, offset)
		r.buffer = r.buffer[:got]
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if int64(got) < n {
			return nil, nil
		}
	}
	return r.buffer[offset-r.start : offset-r.start+n], nil
}
