package files

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"

	"pillarbox/internal/vfs"
)

const (
	journalDir    = "journal"
	journalSuffix = ".journal"

	journalMagic  = "pbjrnl01"
	sealedMagic   = "pbjrnl02" // of a journal whose letters may be sealed
	journalHeader = 36         // magic, number, number and end of the one before, checksum
	frameHead     = 8          // length and checksum

	// journalBytes is when the next file is begun: a file can be removed only when all of its
	// letters are filed.
	journalBytes = 8 << 20
	// appendBytes bounds one write to a journal, so that a large group needs no memory of its size.
	appendBytes = 4 << 20
)

// journal makes groups of letters durable before they have files. It is used by one goroutine at a
// time. A new file is begun in each life, when one is full, and after an error: what a failed sync
// has left of a file is not known.
type journal struct {
	fsys  vfs.FS
	dir   string
	magic string

	file   vfs.File // nil where the next group begins a file
	number uint64   // of the newest file, begun or tried
	last   uint64   // the newest file that holds something that was promised; 0 where there is none
	end    int64    // of what was promised in it
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
	file, err := vfs.Create(j.fsys, name)
	if err != nil {
		return err
	}
	if _, err = file.WriteAt(journalHead(j.magic, j.number, j.last, j.end), 0); err == nil {
		// The head is durable before anything else is written: a file without one is believed in
		// nothing.
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

// journalHead is what a journal begins with: its number, and which one is before it, and how far
// that one counts.
func journalHead(magic string, number, before uint64, end int64) []byte {
	head := append([]byte(magic), make([]byte, journalHeader-len(magic))...)
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

func journalName(dir string, number uint64) string {
	return path.Join(dir, fmt.Sprintf("%010d%s", number, journalSuffix))
}
