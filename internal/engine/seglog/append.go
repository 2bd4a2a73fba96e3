package seglog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"pillarbox"
)

// tryAgainInterval is how often a broken log tries to begin a new segment.
const tryAgainInterval = time.Second

// group gathers the events that one commit makes durable together.
type group struct {
	frame   []byte // room for the frame header, then records
	lengths []byte // the table behind the records
	count   uint32
	done    chan struct{} // closed after err is set
	err     error         // set by the one that settle has chosen
	settled bool          // guarded by Log.mu
}

func newGroup(buffer []byte) *group {
	return &group{
		frame: append(buffer[:0], make([]byte, frameHeaderBytes)...),
		done:  make(chan struct{}),
	}
}

func (g *group) size() int64 { return int64(len(g.frame) + len(g.lengths)) }

// add encodes an event. The record's checksum needs the salt of the segment, so it is filled in by seal.
func (g *group) add(event *pillarbox.Event) {
	start := len(g.frame)
	g.frame = append(g.frame, 0, 0, 0, 0, 0, 0, 0, 0)
	g.frame = appendRecord(g.frame, event)
	length := uint32(len(g.frame) - start - recordHeaderBytes)
	binary.LittleEndian.PutUint32(g.frame[start:], length)
	g.lengths = binary.LittleEndian.AppendUint32(g.lengths, length)
	g.count++
}

// groupOf makes a group of records that were read.
func groupOf(records []record) *group {
	g := newGroup(nil)
	for _, rec := range records {
		if rec.missing {
			rec.text = lostRecord
		}
		g.frame = binary.LittleEndian.AppendUint32(g.frame, uint32(len(rec.text)))
		g.frame = append(g.frame, 0, 0, 0, 0)
		g.frame = append(g.frame, rec.text...)
		g.lengths = binary.LittleEndian.AppendUint32(g.lengths, uint32(len(rec.text)))
		g.count++
	}
	return g
}

// seal fills in the record checksums, the table and the frame header for a place in a segment.
func (g *group) seal(salt uint64, offset, synced int64, firstSeq uint64) []byte {
	records := g.frame[frameHeaderBytes:]
	for i := 0; i < len(g.lengths); i += lengthBytes {
		length := binary.LittleEndian.Uint32(g.lengths[i:])
		binary.LittleEndian.PutUint32(records[4:], recordChecksum(salt, records[recordHeaderBytes:recordHeaderBytes+length]))
		records = records[recordHeaderBytes+length:]
	}
	frame := append(g.frame, g.lengths...)
	payload := frame[frameHeaderBytes:]
	frameHeader{
		kind: frameEvents, salt: salt, offset: offset, firstSeq: firstSeq, count: g.count,
		payload: uint32(len(payload)), durableUpTo: synced, payloadCRC: checksum(payload),
	}.encode(frame)
	return frame
}

// Append implements pillarbox.Queue. Events over MaxRecordBytes are named in a *BatchError, the others are
// committed with one fdatasync. Once the events are taken, ctx no longer counts: the commit takes as long as
// the disk, but no caller waits for longer than CommitTimeout.
func (l *Log) Append(ctx context.Context, events []*pillarbox.Event) error {
	return l.appendFitting(ctx, events, l.watch == nil)
}

// AppendInline implements pillarbox.InlineAppender.
func (l *Log) AppendInline(ctx context.Context, events []*pillarbox.Event) error {
	return l.appendFitting(ctx, events, true)
}

func (l *Log) appendFitting(ctx context.Context, events []*pillarbox.Event, inline bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fitting, tooLarge := splitTooLarge(events)
	if len(fitting) > 0 {
		if err := l.append(fitting, inline); err != nil {
			return err
		}
	}
	if tooLarge != nil {
		return tooLarge
	}
	return nil
}

func splitTooLarge(events []*pillarbox.Event) (fitting []*pillarbox.Event, tooLarge *pillarbox.BatchError) {
	for i, event := range events {
		if recordSizeBound(event) <= MaxRecordBytes {
			continue
		}
		if tooLarge == nil {
			tooLarge = &pillarbox.BatchError{}
		}
		err := fmt.Errorf("event of more than %d bytes: %w", MaxRecordBytes, pillarbox.ErrTooLarge)
		tooLarge.Items = append(tooLarge.Items, pillarbox.ItemError{Index: i, Err: err})
	}
	if tooLarge == nil {
		return events, nil
	}
	for _, event := range events {
		if recordSizeBound(event) <= MaxRecordBytes {
			fitting = append(fitting, event)
		}
	}
	return fitting, tooLarge
}

// append takes part in a commit. A caller that is not inline never makes a call to the disk: it waits for the goroutine that
// leads, and the watch ends its wait where that does not come back.
func (l *Log) append(events []*pillarbox.Event, inline bool) error {
	g, leads, err := l.join(events)
	if err != nil {
		return err
	}
	if leads && inline {
		return l.leadOnce()
	}
	if leads {
		go l.lead()
	}
	<-g.done
	return g.err
}

// leadOnce commits the pending group, and leaves what has come meanwhile to another goroutine.
func (l *Log) leadOnce() error {
	// Let those that are about to append join this group instead of waiting for the next one.
	runtime.Gosched()
	more, err := l.commitPending()
	if more {
		go l.lead()
	}
	return err
}

// lead commits for as long as somebody waits for a commit. Close waits for it.
func (l *Log) lead() {
	for more := true; more; {
		runtime.Gosched()
		more, _ = l.commitPending() // those that wait have the error
	}
}

// join adds the events to the pending group. leads says that the caller must commit it.
func (l *Log) join(events []*pillarbox.Event) (g *group, leads bool, err error) {
	need := int64(0)
	for _, event := range events {
		need += recordSizeBound(event)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.pending.count > 0 && l.pending.size()+need > MaxGroupBytes && !l.closed {
		l.room.Wait()
	}
	if err := l.acceptsLocked(need); err != nil {
		return nil, false, err
	}
	for _, event := range events {
		l.pending.add(event)
	}
	l.noteSizeLocked(need, len(events))
	if l.committing {
		return l.pending, false, nil
	}
	l.committing = true
	return l.pending, true, nil
}

func (l *Log) acceptsLocked(need int64) error {
	switch {
	case l.lateSince > 0:
		return l.lateErrorLocked()
	case l.closed || l.opts.ReadOnly:
		return fmt.Errorf("append to %s: %w", l.dir, pillarbox.ErrClosed)
	case l.problem != nil && l.opts.Now().Before(l.tryAgainAt):
		return l.problem
	case l.wouldRefuseLocked(need):
		return l.fullLocked(need)
	}
	return nil
}

// commitPending makes the pending group durable. The caller leads, and goes on to lead where there is more to commit.
func (l *Log) commitPending() (more bool, err error) {
	l.mu.Lock()
	g := l.pending
	l.pending = newGroup(l.buffer)
	l.buffer = nil
	l.beginLocked(g)
	l.room.Broadcast()
	l.mu.Unlock()

	err = l.commit(g)

	l.mu.Lock()
	l.endLocked()
	l.noteLocked(err)
	if cap(g.frame) <= MaxGroupBytes {
		l.buffer = g.frame
	}
	last := g.settleLocked()
	more = l.goOnLocked()
	l.mu.Unlock()
	l.stir()
	if last {
		g.err = err
		close(g.done)
	}
	return more, err
}

// settleLocked reports whether the caller is the one that tells those who wait for the group what became of it.
func (g *group) settleLocked() bool {
	first := !g.settled
	g.settled = true
	return first
}

// goOnLocked reports whether whoever leads has to go on. Else nobody leads any more.
func (l *Log) goOnLocked() bool {
	if l.pending.count > 0 {
		return true
	}
	l.committing = false
	l.room.Broadcast()
	return false
}

func (l *Log) noteLocked(err error) {
	if err == nil {
		if l.problem != nil {
			l.opts.Logger.Info("the log accepts again", "queue", l.dir)
		}
		l.problem = nil
		return
	}
	if l.problem == nil {
		l.opts.Logger.Error("the log can't accept", "queue", l.dir, "err", err)
	}
	l.problem, l.tryAgainAt = err, l.opts.Now().Add(tryAgainInterval)
}

// commit writes and syncs the group. After an error in the live segment that file is left for good and the
// group goes to a new one, once.
func (l *Log) commit(g *group) error {
	var errs []error
	for range 2 {
		need := alignUp(g.size())
		if l.live == nil || l.newest.end+need > l.liveSize {
			if err := l.rotate(need); err != nil {
				return errors.Join(append(errs, err)...)
			}
		}
		err := l.write(g)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		l.abandon(err)
	}
	return errors.Join(errs...)
}

func (l *Log) write(g *group) error {
	tail := l.newest
	frame := g.seal(tail.salt, tail.end, l.synced, tail.nextSeq)
	size := int64(len(frame))
	frame = toPage(frame, tail.end, l.liveSize)
	g.frame = frame[:len(g.frame)] // with the room that the rest has taken, for the next group
	if _, err := l.live.WriteAt(frame, tail.end); err != nil {
		return fmt.Errorf("write %s at %d: %w", tail.name, tail.end, unavailable(err))
	}
	start := time.Now()
	if err := l.live.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", tail.name, unavailable(err))
	}
	l.opts.Meter.Committed(int(g.count), size, time.Since(start))
	if err := l.stillThere(l.opts.Now()); err != nil {
		return fmt.Errorf("look at %s after the sync: %w", tail.name, unavailable(err))
	}
	l.marked = false
	l.mu.Lock()
	tail.end += alignUp(size)
	tail.nextSeq += uint64(g.count)
	l.nextSeq = tail.nextSeq
	l.mu.Unlock()
	l.synced = tail.end
	l.grown.fire()
	return nil
}

// pageBytes is what the kernel caches files in.
const pageBytes = 4096

// toPage lets a write end where a page ends, with zeros like those that are there. Segments are not filled through the
// page cache, and a part of a page that is not in it would be read from the disk first, while the group waits.
func toPage(frame []byte, offset, limit int64) []byte {
	end := offset + int64(len(frame))
	whole := min((end+pageBytes-1)&^(pageBytes-1), limit)
	return append(frame, make([]byte, max(0, whole-end))...)
}

// errRemoved says that somebody has removed, moved or replaced the file of the live segment.
var errRemoved = errors.New("somebody has removed, moved or replaced the file")

// abandon leaves the live segment at its last durable frame. What came behind may or may not be on the disk;
// the header of the next segment says that it doesn't count. The file of one that was removed is made anew with what was
// acknowledged, as long as it can be read here.
func (l *Log) abandon(cause error) {
	if errors.Is(cause, errRemoved) {
		cause = errors.Join(cause, l.restore(l.newest, l.live))
	}
	l.opts.Meter.IOError()
	l.opts.Logger.Error("segment is left after an I/O error", "segment", l.newest.name, "offset", l.newest.end, "err", cause)
	if err := l.live.Close(); err != nil {
		l.opts.Logger.Warn("close segment", "segment", l.newest.name, "err", err)
	}
	l.live = nil
}

// mark writes a frame without events behind the last one. Its presence proves that what stands before it was
// synced, so that later damage there is known to be damage and not a torn write. The caller leads.
func (l *Log) mark(sync bool) error {
	if l.live == nil || l.marked || l.newest.empty() {
		return nil
	}
	tail := l.newest
	if tail.end+sectorBytes > l.liveSize {
		return nil // the next header will say it
	}
	frame := make([]byte, frameHeaderBytes)
	frameHeader{kind: frameMark, salt: tail.salt, offset: tail.end, firstSeq: tail.nextSeq, durableUpTo: l.synced}.encode(frame)
	_, err := l.live.WriteAt(frame, tail.end)
	if err == nil && sync {
		err = l.live.Sync()
	}
	if err != nil {
		err = fmt.Errorf("mark the end of %s: %w", tail.name, unavailable(err))
		l.abandon(err)
		return err
	}
	l.mu.Lock()
	tail.end += sectorBytes
	l.mu.Unlock()
	l.marked = true
	if sync {
		l.synced = tail.end
	}
	return nil
}
