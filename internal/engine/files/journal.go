package files

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"pillarbox"
	"pillarbox/internal/deadletterfile"
	"pillarbox/internal/vfs"
)

const (
	journalDir    = "journal"
	journalSuffix = ".journal"

	journalMagic  = "pbjrnl01"
	journalHeader = 36 // magic, number, number and end of the one before, checksum
	frameHead     = 8  // length and checksum

	// journalBytes is when the next file is begun: a file can be removed only when all of its letters are filed.
	journalBytes = 8 << 20
	// appendBytes bounds one write to a journal, so that a large group needs no memory of its size.
	appendBytes = 4 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// position is the place of a frame in the journals.
type position struct {
	file   uint64 // its number; 0 is before all
	offset int64
}

func (p position) before(other position) bool {
	return p.file < other.file || p.file == other.file && p.offset < other.offset
}

// entry is what a frame says: the letter is at the place, with this content, and no more at the others.
type entry struct {
	letter  id
	to      place
	from    []place
	content []byte
}

// encode appends the frame to b, as it stands at the offset.
func (e *entry) encode(b []byte, offset int64) []byte {
	start := len(b)
	b = append(b, make([]byte, frameHead)...)
	b = appendID(append(b, byte(e.to.State)), e.letter)
	b = binary.LittleEndian.AppendUint32(b, uint32(e.to.Day))
	b = append(b, byte(len(e.from)))
	for _, from := range e.from {
		b = binary.LittleEndian.AppendUint32(append(b, byte(from.State)), uint32(from.Day))
	}
	b = append(b, e.content...)
	seal(b[start:], offset)
	return b
}

// seal writes length and checksum. The offset is in the checksum, so that a frame is none anywhere else.
func seal(frame []byte, offset int64) {
	binary.LittleEndian.PutUint32(frame, uint32(len(frame)-frameHead))
	binary.LittleEndian.PutUint32(frame[4:], checksum(frame[frameHead:], offset))
}

func checksum(payload []byte, offset int64) uint32 {
	var place [8]byte
	binary.LittleEndian.PutUint64(place[:], uint64(offset))
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, payload)
}

func appendID(b []byte, letter id) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(letter.Timestamp))
	hashed := byte(0)
	if letter.Token.Hashed {
		hashed = 1
	}
	b = append(append(b, hashed), letter.Token.Bytes[:]...)
	return append(append(b, byte(len(letter.Destination))), letter.Destination...)
}

const idBytes = 8 + 1 + 16 + 1 // without the destination

func cutID(b []byte) (letter id, rest []byte, ok bool) {
	if len(b) < idBytes || len(b) < idBytes+int(b[idBytes-1]) {
		return letter, nil, false
	}
	letter.Timestamp = pillarbox.Timestamp(binary.LittleEndian.Uint64(b))
	letter.Token = token{Hashed: b[8] != 0, Bytes: [16]byte(b[9:25])}
	letter.Destination = string(b[idBytes : idBytes+int(b[idBytes-1])])
	return letter, b[idBytes+int(b[idBytes-1]):], true
}

// decodeEntry reads the payload of a frame. The content is a part of it.
func decodeEntry(payload []byte) (e entry, ok bool) {
	if len(payload) < 1 {
		return e, false
	}
	e.to.State = state(payload[0])
	if e.letter, payload, ok = cutID(payload[1:]); !ok || len(payload) < 5 {
		return e, false
	}
	e.to.Day = int32(binary.LittleEndian.Uint32(payload))
	n := int(payload[4])
	if payload = payload[5:]; len(payload) < 5*n {
		return e, false
	}
	for range n {
		e.from = append(e.from, place{State: state(payload[0]), Day: int32(binary.LittleEndian.Uint32(payload[1:]))})
		payload = payload[5:]
	}
	e.content = payload
	return e, true
}

// journal makes groups of letters durable before they have files. It is used by one goroutine at a time. A new file is
// begun in each life, when one is full, and after an error: what a failed sync has left of a file is not known.
type journal struct {
	fsys vfs.FS
	dir  string

	file   vfs.File // nil where the next group begins a file
	number uint64   // of the newest file, begun or tried
	last   uint64   // the newest file that holds something that was promised; 0 where there is none
	end    int64    // of what was promised in it
}

func journalName(dir string, number uint64) string {
	return path.Join(dir, fmt.Sprintf("%010d%s", number, journalSuffix))
}

// append makes the entries durable and says where each of them is, with the length of its frame.
func (j *journal) append(entries []entry) (at []position, lengths []int64, err error) {
	if j.file == nil || j.end >= journalBytes {
		if err := j.begin(); err != nil {
			return nil, nil, err
		}
	}
	end := j.end
	var buffer []byte
	write := func() error {
		_, err := j.file.WriteAt(buffer, end-int64(len(buffer)))
		buffer = buffer[:0]
		return err
	}
	for i := range entries {
		before := len(buffer)
		buffer = entries[i].encode(buffer, end)
		at, lengths = append(at, position{j.number, end}), append(lengths, int64(len(buffer)-before))
		end += lengths[i]
		if len(buffer) >= appendBytes && err == nil {
			err = write()
		}
	}
	if err == nil && len(buffer) > 0 {
		err = write()
	}
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("journal of dead letters: %w", errors.Join(err, j.give()))
	}
	j.end = end
	return at, lengths, nil
}

// begin starts the next file. Its head says how far the one before is to be believed.
func (j *journal) begin() error {
	if err := j.give(); err != nil {
		return err
	}
	j.number++
	name := journalName(j.dir, j.number)
	file, err := j.fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if _, err = file.WriteAt(journalHead(j.number, j.last, j.end), 0); err == nil {
		// The head is durable before anything else is written: a file without one is believed in nothing.
		if err = file.Sync(); err == nil {
			err = j.fsys.SyncDir(j.dir)
		}
	}
	if err != nil {
		return fmt.Errorf("begin a journal of dead letters: %w", errors.Join(err, file.Close()))
	}
	j.file, j.last, j.end = file, j.number, journalHeader
	return nil
}

// journalHead is what a journal begins with: its number, and which one is before it, and how far that one counts.
func journalHead(number, before uint64, end int64) []byte {
	head := append([]byte(journalMagic), make([]byte, journalHeader-len(journalMagic))...)
	binary.LittleEndian.PutUint64(head[8:], number)
	binary.LittleEndian.PutUint64(head[16:], before)
	binary.LittleEndian.PutUint64(head[24:], uint64(end))
	binary.LittleEndian.PutUint32(head[32:], checksum(head[:32], 0))
	return head
}

// give closes the file at hand.
func (j *journal) give() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

// found is a journal of an earlier life.
type found struct {
	number uint64
	end    int64 // of what is to be believed
}

// findJournals returns the journals that count, oldest first, made durable, and the newest number that was used. Files
// that nothing was promised of are removed.
func findJournals(fsys vfs.FS, dir string) (journals []found, newest uint64, err error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	heads := map[uint64][2]uint64{} // number and end of the one before
	var numbers []uint64
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name, journalSuffix+vfs.TempSuffix) { // a copy that was not finished
			if err := fsys.Remove(path.Join(dir, entry.Name)); err != nil {
				return nil, 0, err
			}
			continue
		}
		digits, ok := strings.CutSuffix(entry.Name, journalSuffix)
		number, err := strconv.ParseUint(digits, 10, 64)
		if !ok || err != nil || journalName("", number) != entry.Name {
			continue
		}
		numbers, newest = append(numbers, number), max(newest, number)
		before, ok, err := readHead(fsys, journalName(dir, number), number)
		if err != nil {
			return nil, 0, err
		}
		if ok {
			heads[number] = before
		}
	}
	slices.Sort(numbers)
	journals, err = chain(fsys, dir, heads, numbers)
	if err != nil {
		return nil, 0, err
	}
	return journals, newest, removeVoid(fsys, dir, numbers, journals)
}

// chain follows the heads from the newest file back.
func chain(fsys vfs.FS, dir string, heads map[uint64][2]uint64, numbers []uint64) (journals []found, err error) {
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
	ok = string(head[:8]) == journalMagic && binary.LittleEndian.Uint64(head[8:]) == number &&
		binary.LittleEndian.Uint32(head[32:]) == checksum(head[:32], 0)
	return [2]uint64{binary.LittleEndian.Uint64(head[16:]), binary.LittleEndian.Uint64(head[24:])}, ok, nil
}

// readFrames calls visit with the frames of a journal from offset on, up to end; -1 is as far as they are whole. It
// returns where it has stopped: at the end, at a frame that is not whole, or where visit says so.
func readFrames(fsys vfs.FS, dir string, at position, end int64, visit func(at position, length int64, e entry) (more bool, err error)) (int64, error) {
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

// next returns the payload of the frame at the offset, which is valid until the next call; nil where there is no whole
// one. The caller moves the offset.
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

// readEntry reads one frame, wherever it is.
func readEntry(fsys vfs.FS, dir string, at position, length int64) (entry, error) {
	var read *entry
	_, err := readFrames(fsys, dir, at, at.offset+length, func(_ position, _ int64, e entry) (bool, error) {
		e.content = slices.Clone(e.content)
		read = &e
		return false, nil
	})
	if err != nil {
		return entry{}, err
	}
	if read == nil {
		return entry{}, &pillarbox.CorruptError{File: journalName(dir, at.file), Offset: at.offset, Reason: "the frame is damaged"}
	}
	return *read, nil
}

// notExist reports whether somebody, or a call of ours, has removed a file.
func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// Short names for what the whole package speaks of.
type (
	id    = deadletterfile.ID
	token = deadletterfile.Token
	place = deadletterfile.Place
	state = deadletterfile.State
)

const (
	open      = deadletterfile.Open
	replayed  = deadletterfile.Replayed
	discarded = deadletterfile.Discarded
)
