package seglog

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/vfs"
)

// stateFile is one of the two files that a destination's state alternates between. A file begins
// with a snapshot; deltas follow until it is full, and then the other file begins with a newer
// snapshot.
type stateFile struct {
	name       string
	file       vfs.File // nil where it does not exist or must not be used any more
	generation uint64
	salt       uint64
	end        int64
	synced     int64 // everything below this offset was synced
	limit      int64 // where the next snapshot is due
	foreign    error // why it is no file of ours
}

// maxStateFile bounds what is read of a file of a delivery state, in bytes: the events that wait in
// it are at most DefaultMaxRetryingBytes, and as many that are held, as base64, besides a snapshot.
const maxStateFile = 512 << 20

// stateJournal keeps the delivery state of one destination.
type stateJournal struct {
	fsys    vfs.FS
	keys    *atrest.Keys
	bytes   int64 // size of a file
	files   [2]*stateFile
	current int // index of the file that is written
	broken  bool
	suspect bool   // a file could not be read in full: the state may be older than what was once durable
	dirty   bool   // written, not yet synced
	durable uint64 // cursor as of the last sync
	written uint64 // cursor as of the last write
}

func stateName(dir, destination string, slot int) string {
	return path.Join(dir, fmt.Sprintf("%s.%d.state", destination, slot))
}

// openJournal reads the newest state of the destination, without writing. It returns a nil state
// where there is none yet. What it read counts as durable only after renew.
func openJournal(
	fsys vfs.FS, keys *atrest.Keys, dir, destination string, bytes int64,
) (*stateJournal, *state, []pillarbox.CorruptError, error) {
	j := &stateJournal{fsys: fsys, keys: keys, bytes: bytes}
	var newest *state
	var damage []pillarbox.CorruptError // of the newest file
	exist, unreadable := false, false
	var sealed [2]error // with a data key that is not at hand
	for slot := range j.files {
		f := &stateFile{name: stateName(dir, destination, slot)}
		j.files[slot] = f
		read, rot, err := f.read(fsys, keys)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if exist = true; isNoKey(err) {
			sealed[slot] = err
			continue
		}
		if err != nil {
			return nil, nil, nil, err
		}
		unreadable = unreadable || read == nil
		if read != nil && (newest == nil || f.generation > j.files[j.current].generation) {
			newest, j.current, damage = read, slot, rot
		}
	}
	for slot, err := range sealed {
		// An older one is not asked for any more.
		if err != nil && (newest == nil || j.files[slot].generation > j.files[j.current].generation) {
			return nil, nil, nil, err
		}
	}
	// What is wrong in the older file does not count: a power cut may have stopped a snapshot that
	// was to overwrite it. Of a file that can't be read at all it is not known whether it was the
	// newer one.
	j.suspect = unreadable || len(damage) > 0
	if exist && newest == nil {
		err := errors.Join(j.files[0].foreign, j.files[1].foreign, pillarbox.ErrCorrupt)
		return nil, nil, nil, fmt.Errorf(
			"the delivery state of destination %s is damaged in both of its files (%s); stop the server and run \"pillarbox queue repair\": %w",
			destination, j.files[0].name, err,
		)
	}
	if newest != nil {
		j.written = newest.cursor
	}
	return j, newest, damage, nil
}

// refuseNewer returns an error that matches ErrInvalid where a delivery state was written in a
// newer format. What is wrong with a state otherwise is said by whoever uses it.
func refuseNewer(fsys vfs.FS, dir string) error {
	names, err := stateNames(fsys, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		for slot := range 2 {
			f := &stateFile{name: stateName(dir, name, slot)}
			if _, _, err := f.read(fsys, nil); errors.Is(err, pillarbox.ErrInvalid) {
				return err
			}
		}
	}
	return nil
}

// renew makes durable what was read, which may be what a killed life has left in the kernel's
// memory. Segments are removed by this cursor, and events that wait are in here alone, so a later
// power cut must not bring an older state back.
//
// It is written anew, to the other file. To sync the file that was read would prove nothing: where
// an earlier start has failed to, the kernel has forgotten that there is anything to write. On a
// full disk that has to wait; until then nothing counts as durable, and so no segment is removed.
func (j *stateJournal) renew(found *state) error {
	err := j.roll(found)
	if errors.Is(err, pillarbox.ErrNoSpace) {
		j.broken = true
		return nil
	}
	return err
}

// read applies the valid frames from the start of the file. A delta that is damaged, or any behind
// it, is not applied: the state is then an older one, and what came later is delivered again.
//
// The error is a *atrest.NoKeyError where a frame is sealed with a key that is not at hand.
func (f *stateFile) read(fsys vfs.FS, keys *atrest.Keys) (*state, []pillarbox.CorruptError, error) {
	content, _, err := readWhatCanBe(fsys, f.name, maxStateFile)
	if vfs.IsForeign(err) {
		f.foreign = err
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	offset, salt := int64(0), uint64(0)
	s := &state{retry: map[uint64]*retryEntry{}}
	for {
		header, frame, err := stateFrameAt(content, offset, salt, keys)
		if err != nil {
			f.generation = header.firstSeq
			return nil, nil, fmt.Errorf("read %s: %w", f.name, err)
		}
		if frame == nil && isNewerFrame(content[min(offset, int64(len(content))):], salt, offset) {
			return nil, nil, newerFormat(f.name)
		}
		if frame == nil || (header.kind == frameSnapshot) != (offset == 0) {
			break
		}
		s.apply(frame)
		salt, f.generation = header.salt, header.firstSeq
		offset += header.size()
	}
	if offset == 0 {
		return nil, nil, nil
	}
	f.salt, f.end = salt, offset
	damage, err := f.laterFrames(content, offset, salt, keys)
	return s, damage, err
}

// laterFrames tells rot from deltas that a power cut has taken away: deltas are not synced one by
// one, and any of them may be lost while a later one is there. Only one that was written after the
// damaged place had been synced proves that it was whole once.
func (f *stateFile) laterFrames(
	content []byte, offset int64, salt uint64, keys *atrest.Keys,
) ([]pillarbox.CorruptError, error) {
	for at := offset + sectorBytes; at < int64(len(content)); at += sectorBytes {
		header, frame, err := stateFrameAt(content, at, salt, keys)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.name, err)
		}
		if frame != nil && header.durableUpTo > offset {
			return []pillarbox.CorruptError{
				{
					File: f.name, Offset: offset,
					Reason: "damaged delivery state; an older one is used and some events are delivered again",
				},
			}, nil
		}
	}
	return nil, nil
}

// stateFrameAt returns a nil frame where no valid one is at the offset. The error is a
// *atrest.NoKeyError.
func stateFrameAt(
	content []byte, offset int64, salt uint64, keys *atrest.Keys,
) (frameHeader, *stateFrame, error) {
	if offset >= int64(len(content)) {
		return frameHeader{}, nil, nil
	}
	header, ok := decodeFrameHeader(content[offset:], salt, offset)
	if !ok || header.kind < frameSnapshot ||
		offset+frameHeaderBytes+int64(header.payload) > int64(len(content)) {
		return frameHeader{}, nil, nil
	}
	payload := content[offset+frameHeaderBytes:][:header.payload]
	if checksum(payload) != header.payloadCRC {
		return frameHeader{}, nil, nil
	}
	frame, err := decodeState(payload, header.boxed, keys)
	if frame == nil && err == nil {
		return frameHeader{}, nil, nil
	}
	return header, frame, err
}

// plausible reports whether a writer may have made the frame: sequence numbers begin at 1.
func (f *stateFrame) plausible() bool {
	for _, entry := range f.Retry {
		if entry == nil || entry.Seq == 0 {
			return false
		}
	}
	for _, changes := range f.Aside {
		if changes == nil || !changes.Add.plausible() || !changes.Remove.plausible() {
			return false
		}
		if _, err := decodeSet(changes.Blocks); err != nil {
			return false
		}
	}
	return f.Start > 0 && f.Cursor >= f.Start && f.Offset >= 0
}

// append writes a delta that leads from before to its own place and counters; or a snapshot of the
// result where the file is full, or broken. durable asks for a sync before it returns.
func (j *stateJournal) append(delta *stateFrame, before *state, durable bool) error {
	if err := j.write(delta, before); err != nil {
		j.broken = true
		return err
	}
	if durable {
		return j.sync()
	}
	return nil
}

func (j *stateJournal) write(delta *stateFrame, before *state) error {
	f := j.files[j.current]
	if f.file == nil || j.broken {
		return j.roll(before.with(delta))
	}
	header := frameHeader{
		kind: frameDelta, salt: f.salt, offset: f.end, firstSeq: f.generation,
		durableUpTo: f.synced,
	}
	frame, err := encodeStateFrame(header, delta, j.keys)
	if err != nil {
		return err
	}
	if f.end+int64(len(frame)) > f.limit {
		return j.roll(before.with(delta))
	}
	if _, err := f.file.WriteAt(frame, f.end); err != nil {
		return fmt.Errorf("write %s: %w", f.name, unavailable(err))
	}
	f.end += alignUp(int64(len(frame)))
	j.dirty, j.written = true, delta.Cursor
	return nil
}

// encodeStateFrame makes a frame of the content. header says its kind, its place and the
// generation.
func encodeStateFrame(header frameHeader, content *stateFrame, keys *atrest.Keys) ([]byte, error) {
	payload, boxed, err := encodeState(content, keys)
	if err != nil {
		return nil, err
	}
	frame := append(make([]byte, frameHeaderBytes, frameHeaderBytes+len(payload)), payload...)
	header.boxed = boxed
	header.count, header.payload, header.payloadCRC = 1, uint32(len(payload)), checksum(payload)
	header.encode(frame)
	return frame, nil
}

// roll begins the other file with a snapshot and syncs it. The old file keeps the state before,
// until the next roll. A file that failed once is replaced, not written to again.
func (j *stateJournal) roll(after *state) error {
	old := j.files[j.current]
	next := &stateFile{
		name: j.files[1-j.current].name, file: j.files[1-j.current].file,
		generation: max(old.generation, j.files[1-j.current].generation) + 1, salt: randomUint64(),
	}
	frame, err := encodeStateFrame(
		frameHeader{kind: frameSnapshot, salt: next.salt, firstSeq: next.generation},
		after.snapshot(), j.keys,
	)
	if err != nil {
		return err
	}
	if j.broken {
		err = errors.Join(old.close(), j.files[1-j.current].close())
		next.file = nil
	}
	if next.file == nil {
		err = errors.Join(err, next.create(j.fsys, frame, j.bytes))
	} else {
		err = next.overwrite(frame)
	}
	if err != nil {
		_ = next.close() // the first error is the one that matters, and the file is not used again
		j.files[1-j.current].file = nil
		return fmt.Errorf("write delivery state %s: %w", next.name, unavailable(err))
	}
	next.end = alignUp(int64(len(frame)))
	next.synced = next.end
	// A large snapshot is followed by as many deltas again, so that many waiting events don't make
	// each settle write all of them.
	next.limit = max(j.bytes, 2*next.end)
	j.current = 1 - j.current
	j.files[j.current] = next
	j.broken, j.dirty, j.written, j.durable = false, false, after.cursor, after.cursor
	return nil
}

func (f *stateFile) overwrite(frame []byte) error {
	if _, err := f.file.WriteAt(frame, 0); err != nil {
		return err
	}
	return f.file.Sync()
}

// create makes the file under another name, so that under its own name there is always a valid
// snapshot.
func (f *stateFile) create(fsys vfs.FS, frame []byte, size int64) error {
	temp := f.name + vfs.TempSuffix
	file, err := vfs.Create(fsys, temp)
	if err != nil {
		return err
	}
	f.file = file
	content := append(frame, make([]byte, max(0, size-int64(len(frame))))...)
	if _, err := file.WriteAt(content, 0); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := fsys.Rename(temp, f.name); err != nil {
		return err
	}
	return fsys.SyncDir(path.Dir(f.name))
}

func (f *stateFile) close() error {
	if f.file == nil {
		return nil
	}
	file := f.file
	f.file = nil
	return file.Close()
}

// sync makes what was written durable. A failed sync is final for the file: the next write replaces
// it.
func (j *stateJournal) sync() error {
	if !j.dirty {
		return nil
	}
	if j.broken {
		return fmt.Errorf("sync delivery state: an earlier write failed: %w",
			pillarbox.ErrUnavailable)
	}
	f := j.files[j.current]
	if err := f.file.Sync(); err != nil {
		j.broken = true
		return fmt.Errorf("sync %s: %w", f.name, unavailable(err))
	}
	j.dirty, j.durable, f.synced = false, j.written, f.end
	return nil
}

func (j *stateJournal) close() error {
	return errors.Join(j.files[0].close(), j.files[1].close())
}
