package files

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"

	"pillarbox"
	"pillarbox/internal/deadletterfile"
	"pillarbox/internal/vfs"
)

const (
	indexDir   = "index"
	rowsSuffix = ".rows"
)

// kind is what a row says of its letter.
type kind uint8

const (
	rowLive    kind = iota + 1 // it is at this day
	rowMissing                 // it was, and somebody has removed its file
	rowGone                    // it has moved to another day
)

// row is what the index knows of a letter: enough to choose it without opening it. Later rows of a letter replace
// earlier ones.
type row struct {
	serial uint64 // of the row, over all days
	kind   kind
	state  state
	blind  bool // its file could not be read: only its name is known
	letter id

	requestID string // where the token does not tell it
	deadAt    pillarbox.Timestamp
	size      int64    // of the file
	at        position // of the frame in the journals that it comes from; zero where it was found as a file
	length    int64    // of the frame
	source    string
	reason    string
	lastError string
}

// rowFixed are the bytes of a row before its id.
const rowFixed = 8 + 1 + 1 + 1 + 8 + 8 + 8 + 8 + 8

func (r *row) encode(b []byte, offset int64) []byte {
	start := len(b)
	b = append(b, make([]byte, frameHead)...)
	b = binary.LittleEndian.AppendUint64(b, r.serial)
	blind := byte(0)
	if r.blind {
		blind = 1
	}
	b = append(b, byte(r.kind), byte(r.state), blind)
	for _, number := range [...]uint64{uint64(r.deadAt), uint64(r.size), r.at.file, uint64(r.at.offset), uint64(r.length)} {
		b = binary.LittleEndian.AppendUint64(b, number)
	}
	b = appendID(b, r.letter)
	for _, text := range [...]string{r.requestID, r.source, r.reason, r.lastError} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	seal(b[start:], offset)
	return b
}

func decodeRow(b []byte) (r row, ok bool) {
	if len(b) < rowFixed {
		return r, false
	}
	number := func(at int) uint64 { return binary.LittleEndian.Uint64(b[at:]) }
	r.serial, r.kind, r.state, r.blind = number(0), kind(b[8]), state(b[9]), b[10] != 0
	r.deadAt, r.size = pillarbox.Timestamp(number(11)), int64(number(19))
	r.at, r.length = position{number(27), int64(number(35))}, int64(number(43))
	if r.letter, b, ok = cutID(b[rowFixed:]); !ok {
		return r, false
	}
	for _, text := range [...]*string{&r.requestID, &r.source, &r.reason, &r.lastError} {
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return r, false
		}
		*text, b = string(b[n:n+int(length)]), b[n+int(length):]
	}
	return r, r.kind >= rowLive && r.kind <= rowGone && r.state <= discarded
}

// rowOf makes the row of a letter whose content is at hand.
func rowOf(letter *pillarbox.DeadLetter, named id, in state, size int64) row {
	r := row{
		kind: rowLive, state: in, letter: named, deadAt: letter.DeadAt, size: size,
		source: letter.Event.Source, reason: letter.Reason, lastError: letter.LastError(),
	}
	if named.Token.Hashed {
		r.requestID = letter.Event.RequestID
	}
	return r
}

// id returns the request id, as far as it is known.
func (r *row) id() string {
	if r.letter.Token.Hashed && r.requestID != "" {
		return r.requestID
	}
	return r.letter.Token.String()
}

func (r *row) key() pillarbox.Key {
	return pillarbox.Key{Timestamp: r.letter.Timestamp, RequestID: r.id()}
}

// rows is the file of the rows of one day.
type rows struct {
	fsys    vfs.FS
	name    string
	file    vfs.File // nil until it is needed
	end     int64    // of what is right; what is behind it is a leftover
	torn    bool     // there may be a leftover, to be cut off before anything is added
	wasTorn bool     // it was when it was opened
	made    bool     // its name is durable
	dirty   bool     // what it holds may not be
	live    int      // letters of this day, missing ones not among them
	all     int      // rows
}

func rowsName(dir string, day place) string { return path.Join(dir, day.DayName()+rowsSuffix) }

// open opens the file, which is made where it is missing.
func (r *rows) open() error {
	if r.file != nil {
		return nil
	}
	file, err := r.fsys.OpenFile(r.name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	r.file = file
	return nil
}

// append adds rows, and makes nothing durable. It returns their offsets.
func (r *rows) append(added []row) (offsets []int64, err error) {
	if err := r.open(); err != nil {
		return nil, err
	}
	if r.torn {
		if err := r.file.Truncate(r.end); err != nil {
			return nil, fmt.Errorf("cut a leftover off the index: %w", err)
		}
		r.torn = false
	}
	var buffer []byte
	for i := range added {
		offset := r.end + int64(len(buffer))
		offsets = append(offsets, offset)
		buffer = added[i].encode(buffer, offset)
	}
	if _, err := r.file.WriteAt(buffer, r.end); err != nil {
		r.torn = true
		return nil, fmt.Errorf("write the index: %w", err)
	}
	r.end, r.all, r.dirty = r.end+int64(len(buffer)), r.all+len(added), true
	return offsets, nil
}

// read reads one row.
func (r *rows) read(offset int64) (row, error) {
	if err := r.open(); err != nil {
		return row{}, err
	}
	size := min(4<<10, r.end-offset)
	for {
		frames := frameReader{file: r.file, offset: offset, end: offset + size}
		payload, err := frames.next()
		if err != nil {
			return row{}, fmt.Errorf("read the index: %w", err)
		}
		if found, ok := decodeRow(payload); ok {
			return found, nil
		}
		if size == r.end-offset {
			return row{}, &pillarbox.CorruptError{File: r.name, Offset: offset, Reason: "the row is damaged"}
		}
		size = r.end - offset // a long one
	}
}

// scan calls visit with every row, oldest first, and says where the whole ones end.
func (r *rows) scan(end int64, visit func(offset int64, found *row) error) (int64, error) {
	if err := r.open(); err != nil {
		return 0, err
	}
	frames := frameReader{file: r.file, end: end}
	for {
		payload, err := frames.next()
		if err != nil {
			return frames.offset, fmt.Errorf("read the index: %w", err)
		}
		found, ok := decodeRow(payload)
		if !ok {
			return frames.offset, nil
		}
		if err := visit(frames.offset, &found); err != nil {
			return frames.offset, err
		}
		frames.offset += int64(frameHead + len(payload))
	}
}

func (r *rows) close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}

// rewrite replaces the file by one with the rows that keep says, in the same order, durably.
func (r *rows) rewrite(dir string, keep func(offset int64) bool) (err error) {
	temp := r.name + vfs.TempSuffix // a leftover is no name of ours, and is written over
	file, err := r.fsys.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	next := rows{fsys: r.fsys, name: temp, file: file}
	var some []row
	flush := func() error {
		_, err := next.append(some)
		some = some[:0]
		return err
	}
	_, err = r.scan(r.end, func(offset int64, found *row) error {
		if keep(offset) {
			some = append(some, *found)
		}
		if len(some) < 1000 {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, next.close()); err != nil {
		return err
	}
	if err := errors.Join(r.close(), r.fsys.Rename(temp, r.name)); err != nil {
		return err
	}
	r.end, r.all, r.torn = next.end, next.all, false
	return r.fsys.SyncDir(dir)
}

// nameAt returns the path of a letter's file below the directory of the letters.
func (r *row) nameAt(day place) string {
	return deadletterfile.Name(r.letter, place{Day: day.Day, State: r.state})
}

// rowReader reads rows that follow each other for the most part.
type rowReader struct {
	rows
	frames frameReader
}

func (r *rowReader) read(offset int64) (row, error) {
	if r.frames.file == nil {
		if err := r.open(); err != nil {
			return row{}, err
		}
		r.frames = frameReader{file: r.file, end: r.end, ahead: summaryWindow}
	}
	r.frames.offset = offset
	payload, err := r.frames.next()
	if err != nil {
		return row{}, fmt.Errorf("read the index: %w", err)
	}
	found, ok := decodeRow(payload)
	if !ok {
		return row{}, &pillarbox.CorruptError{File: r.name, Offset: offset, Reason: "the row is damaged"}
	}
	return found, nil
}
