package seglog

import (
	"errors"
	"io/fs"
	"path"
	"slices"

	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// segmentSet is the segments that the log holds, and what is known of them in memory.
//
// Locks: core.mu guards all of it; what belongs to the newest segment and its end is changed by the
// leader alone, who may therefore read it without the lock.
type segmentSet struct {
	*core
	logID [16]byte // never changes after the start

	list    []*segment // oldest first; the last one is live unless the log is broken
	nextSeq uint64     // of the next event

	newest   *segment // the live segment, or the last one that was
	liveSize int64    // of its file
	lastID   uint64   // the newest that was ever given; the leader's alone
	unproven *tail    // held back until the next segment begins with it; nil where there is none
}

// bounds returns the sequence numbers of the oldest event that is held and of the next one to come.
func (set *segmentSet) bounds() (firstHeld, next uint64) {
	set.mu.Lock()
	defer set.mu.Unlock()
	if len(set.list) == 0 {
		return set.nextSeq, set.nextSeq
	}
	return set.list[0].firstSeq, set.nextSeq
}

func (set *segmentSet) accepted() uint64 {
	set.mu.Lock()
	defer set.mu.Unlock()
	return set.nextSeq - 1
}

// firstOfNewest is the sequence number with which the newest segments begin, so many of them.
func (set *segmentSet) firstOfNewest(n int) uint64 {
	set.mu.Lock()
	defer set.mu.Unlock()
	if len(set.list) == 0 {
		return set.nextSeq
	}
	return set.list[max(0, len(set.list)-n)].firstSeq
}

// add puts a segment behind the others, at a start.
func (set *segmentSet) add(s *segment) {
	set.list = append(set.list, s)
	set.newest = s
	set.nextSeq = max(set.nextSeq, s.nextSeq)
}

// begin makes a segment the live one, with a file of so many bytes. One before it that is empty is
// dropped. The caller leads.
func (set *segmentSet) begin(s *segment, size int64) {
	set.mu.Lock()
	defer set.mu.Unlock()
	if before := set.newest; before != nil {
		s.base = before.position(before.end)
		if before.empty() && len(set.list) > 0 {
			set.list = set.list[:len(set.list)-1]
		}
	}
	set.list = append(set.list, s)
	set.newest, set.liveSize, set.unproven = s, size, nil
}

// grow counts a frame that is in the live segment. The caller leads.
func (set *segmentSet) grow(bytes int64, events uint64) {
	set.mu.Lock()
	defer set.mu.Unlock()
	set.newest.end += bytes
	set.newest.nextSeq += events
	set.nextSeq = set.newest.nextSeq
}

// dropOldest takes the oldest segment out of the set before its file is removed.
func (set *segmentSet) dropOldest(old *segment) {
	set.mu.Lock()
	defer set.mu.Unlock()
	if len(set.list) > 1 && set.list[0] == old {
		set.list = set.list[1:]
	}
}

// markDamagedLocked has a segment end in quarantine.
func (set *segmentSet) markDamagedLocked(name string) {
	for _, s := range set.list {
		if s.name == name {
			s.damaged = true
		}
	}
}

// newestIsFresh reports whether nothing was appended yet in this life: an idle server needs no
// spare.
func (set *segmentSet) newestIsFresh() bool { return set.newest != nil && set.newest.empty() }

func (set *segmentSet) unprovenChunks() []*chunk {
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.unproven == nil {
		return nil
	}
	return set.unproven.chunks
}

// openUnproven returns copies of the same, with what is sealed opened: what is held back is copied
// into the next segment in its boxes.
func (set *segmentSet) openUnproven() []*chunk {
	var opened []*chunk
	for _, c := range set.unprovenChunks() {
		clone := *c
		clone.records = slices.Clone(c.records)
		clone.open(set.opts.AtRest, "the end of an earlier life")
		opened = append(opened, &clone)
	}
	return opened
}

// unprovenEvents is how many events at the end of the log have not been copied into a segment of
// this life.
func (set *segmentSet) unprovenEvents() (n uint64) {
	for _, c := range set.unprovenChunks() {
		n += uint64(len(c.records))
	}
	return n
}

// extent is a segment as a reader sees it: how far it may be read now, and whether more will come.
type extent struct {
	segment *segment
	end     int64
	nextSeq uint64
	sealed  bool
}

// extentFor returns the segment that holds seq, or the first one behind it. ok is false at the end
// of the log.
func (set *segmentSet) extentFor(seq uint64, after uint64) (extent, bool) {
	set.mu.Lock()
	defer set.mu.Unlock()
	for i, s := range set.list {
		newest := i == len(set.list)-1
		if s.id <= after || (s.nextSeq <= seq && !newest) {
			continue
		}
		return extent{segment: s, end: s.end, nextSeq: s.nextSeq, sealed: !newest}, true
	}
	return extent{}, false
}

func (set *segmentSet) extentOf(segment *segment) extent {
	set.mu.Lock()
	defer set.mu.Unlock()
	newest := set.list[len(set.list)-1]
	return extent{
		segment: segment, end: segment.end, nextSeq: segment.nextSeq, sealed: segment != newest,
	}
}

// sealed reports whether the log has the segment and writes to it no more. The file of one that was
// just trimmed may be gone.
func (set *segmentSet) sealed(s *segment) bool {
	set.mu.Lock()
	defer set.mu.Unlock()
	at := slices.Index(set.list, s)
	return at >= 0 && at < len(set.list)-1
}

// segmentOfLocked returns the segment that holds the event, or the oldest one behind it.
func (set *segmentSet) segmentOfLocked(seq uint64) *segment {
	for _, segment := range set.list {
		if seq < segment.nextSeq {
			return segment
		}
	}
	return set.list[len(set.list)-1]
}

// distanceLocked turns a position into a distance from the start of the log.
func (set *segmentSet) distanceLocked(at *position) int64 {
	for _, segment := range set.list {
		if segment.id >= at.segment {
			if segment.id == at.segment {
				return segment.position(at.offset)
			}
			return segment.base
		}
	}
	last := set.list[len(set.list)-1]
	return last.position(last.end)
}

// passed lists the segments at the front that hold nothing behind the sequence number, and their
// bytes.
func (set *segmentSet) passed(settled uint64) (passed []*segment, bytes int64) {
	set.mu.Lock()
	defer set.mu.Unlock()
	for _, segment := range set.list[:max(0, len(set.list)-1)] {
		if segment.nextSeq > settled {
			break
		}
		passed, bytes = append(passed, segment), bytes+segment.end
	}
	return passed, bytes
}

// remove removes a segment that no cursor needs, or moves it to quarantine if it is damaged.
func (set *segmentSet) remove(old *segment) {
	set.mu.Lock()
	damaged := old.damaged
	set.mu.Unlock()
	var err error
	if damaged {
		err = set.quarantine(old)
	} else {
		err = set.fsys.Remove(old.name)
	}
	if err == nil {
		err = set.fsys.SyncDir(set.dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		set.opts.Logger.Warn("remove segment", telemetry.KeySegment, old.name,
			telemetry.KeyErr, err)
	}
}

func (set *segmentSet) quarantine(old *segment) error {
	dir := path.Join(set.dir, quarantineDir)
	if err := vfs.MkdirAll(set.fsys, dir); err != nil {
		return err
	}
	if err := set.fsys.Rename(old.name, path.Join(dir, path.Base(old.name))); err != nil {
		return err
	}
	return set.fsys.SyncDir(dir)
}

// reportRemoved logs sealed segments whose files are gone.
func (set *segmentSet) reportRemoved() {
	entries, err := set.fsys.ReadDir(set.dir)
	if err != nil {
		return // the next commit or round of maintenance meets it
	}
	names := make(map[string]bool, len(entries))
	for _, entry := range entries {
		names[path.Join(set.dir, entry.Name)] = true
	}
	set.mu.Lock()
	defer set.mu.Unlock()
	for _, s := range set.list[:max(0, len(set.list)-1)] {
		if !names[s.name] && !s.removed {
			s.removed = true
			set.opts.Logger.Error(
				"somebody has removed a segment; what was not delivered of it is lost, unless the file is put back before it is missed",
				telemetry.KeySegment, s.name, telemetry.KeyFirst, s.firstSeq,
				telemetry.KeyEvents, s.nextSeq-s.firstSeq,
			)
		}
	}
}
