package files

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"

	"pillarbox/internal/vfs"
)

// table finds the rows of a letter. It is a hash table in a file, because memory must not grow with
// the number of letters; it is made anew from the rows by each Open, and nothing in it is ever made
// durable or believed later.
type table struct {
	fsys  vfs.FS
	name  string
	seed  maphash.Seed
	file  vfs.File
	slots uint64 // a power of two
	used  uint64
}

const (
	slotBytes = 24 // hash of the token, hash of the letter, where its row is
	minSlots  = 1 << 10
	probes    = 32 // slots that are read at once
)

// address is where a row is: its day and its offset. Zero is none.
type address uint64

// offsetBits leave room for every day of ten thousand years.
const offsetBits = 36

func addressOf(day int32, offset int64) address {
	return address(day)<<offsetBits | address(offset+1)
}

func (a address) day() int32 { return int32(a >> offsetBits) }

func (a address) offset() int64 { return int64(a&(1<<offsetBits-1)) - 1 }

type slot struct {
	token, letter uint64
	row           address
}

// hashes are what a letter is found by.
func (t *table) hashes(letter id) (ofToken, ofLetter uint64) {
	var h maphash.Hash
	h.SetSeed(t.seed)
	hashed := byte(0)
	if letter.Token.Hashed {
		hashed = 1
	}
	_ = h.WriteByte(hashed)
	_, _ = h.Write(letter.Token.Bytes[:])
	ofToken = h.Sum64()
	var time [8]byte
	binary.LittleEndian.PutUint64(time[:], uint64(letter.Timestamp))
	_, _ = h.Write(time[:])
	_, _ = h.WriteString(letter.Destination)
	return ofToken, h.Sum64()
}

// find returns the rows of a token.
func (t *table) find(token uint64) (found []slot, err error) {
	err = t.probe(token, func(_ uint64, one slot) bool {
		if one.row != 0 && one.token == token {
			found = append(found, one)
		}
		return true
	})
	return found, err
}

// set says where the row of a letter is.
func (t *table) set(wanted slot) error {
	var place uint64
	fresh := false
	err := t.probe(wanted.token, func(at uint64, one slot) bool {
		place, fresh = at, one.row == 0
		return !fresh && (one.token != wanted.token || one.letter != wanted.letter)
	})
	if err != nil {
		return err
	}
	b := make([]byte, slotBytes)
	wanted.encode(b)
	if _, err := t.file.WriteAt(b, int64(place*slotBytes)); err != nil {
		return fmt.Errorf("write %s: %w", t.name, err)
	}
	if fresh {
		t.used++
	}
	if t.used > t.slots/2 {
		return t.grow()
	}
	return nil
}

// probe calls visit with the slots that a token may be in, up to and with the first free one, until
// it says stop.
func (t *table) probe(token uint64, visit func(at uint64, found slot) (more bool)) error {
	buffer := make([]byte, probes*slotBytes)
	at := token % t.slots
	for range t.slots {
		n := min(probes, t.slots-at)
		if got, err := t.file.ReadAt(buffer[:n*slotBytes], int64(at*slotBytes)); err != nil &&
			(!errors.Is(err, io.EOF) || got < int(n*slotBytes)) {
			return fmt.Errorf("read %s: %w", t.name, err)
		}
		for i := range n {
			b := buffer[i*slotBytes:]
			found := slot{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]),
				address(binary.LittleEndian.Uint64(b[16:]))}
			if !visit(at+i, found) || found.row == 0 {
				return nil
			}
		}
		at = (at + n) % t.slots
	}
	return nil
}

// grow doubles the table.
func (t *table) grow() error {
	content := make([]byte, t.slots*slotBytes)
	if _, err := t.file.ReadAt(content, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", t.name, err)
	}
	return t.build(func(yield func(slot) bool) {
		for ; len(content) > 0; content = content[slotBytes:] {
			one := slot{binary.LittleEndian.Uint64(content),
				binary.LittleEndian.Uint64(content[8:]),
				address(binary.LittleEndian.Uint64(content[16:]))}
			if one.row != 0 && !yield(one) {
				return
			}
		}
	}, int(t.used))
}

// build makes the table of these slots.
func (t *table) build(found func(yield func(slot) bool), n int) error {
	size := uint64(minSlots)
	for size < 4*uint64(n) {
		size *= 2
	}
	content := make([]byte, size*slotBytes)
	used := uint64(0)
	for one := range found {
		at := one.token % size
		for binary.LittleEndian.Uint64(content[at*slotBytes+16:]) != 0 {
			at = (at + 1) % size
		}
		one.encode(content[at*slotBytes:])
		used++
	}
	file, err := vfs.Create(t.fsys, t.name)
	if err != nil {
		return err
	}
	if _, err := file.WriteAt(content, 0); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", t.name, err), file.Close())
	}
	if t.file != nil {
		err = t.file.Close()
	}
	t.file, t.slots, t.used = file, size, used
	return err
}

func (s slot) encode(b []byte) {
	binary.LittleEndian.PutUint64(b, s.token)
	binary.LittleEndian.PutUint64(b[8:], s.letter)
	binary.LittleEndian.PutUint64(b[16:], uint64(s.row))
}

func (t *table) close() error {
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	return err
}
