package files

import (
	"errors"
	"fmt"
	"os"
	"path"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/vfs"
)

// rows is the file of the rows of one day.
type rows struct {
	fsys    vfs.FS
	keys    *atrest.Keys
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

// rewrite replaces the file by one with the rows that keep says, in the same order, durably.
func (r *rows) rewrite(dir string, keep func(offset int64) bool) (err error) {
	temp := r.name + vfs.TempSuffix // a leftover is no name of ours, and is written over
	file, err := vfs.Create(r.fsys, temp)
	if err != nil {
		return err
	}
	next := rows{fsys: r.fsys, keys: r.keys, name: temp, file: file}
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
		if buffer, err = added[i].encode(buffer, offset, r.keys); err != nil {
			return nil, fmt.Errorf("seal a row of the index: %w", err)
		}
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
		if found, ok := decodeRow(payload, r.keys); ok {
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
		found, ok := decodeRow(payload, r.keys)
		if !ok {
			return frames.offset, nil
		}
		if err := visit(frames.offset, &found); err != nil {
			return frames.offset, err
		}
		frames.offset += int64(frameHead + len(payload))
	}
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
	found, ok := decodeRow(payload, r.keys)
	if !ok {
		return row{}, &pillarbox.CorruptError{File: r.name, Offset: offset, Reason: "the row is damaged"}
	}
	return found, nil
}

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

func (r *rows) close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}
