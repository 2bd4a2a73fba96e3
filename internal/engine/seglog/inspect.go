package seglog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/vfs"
)

// SegmentInfo describes one segment file.
type SegmentInfo struct {
	File      string              `json:"file"`
	ID        uint64              `json:"id"`
	Size      int64               `json:"size"` // bytes on the disk, zeros included
	End       int64               `json:"end"`  // where the frames end
	First     uint64              `json:"first_sequence"`
	Events    uint64              `json:"events"`
	Created   pillarbox.Timestamp `json:"created"`
	Abandoned bool                `json:"abandoned,omitempty"` // left before its first event
}

// DestinationInfo describes the delivery state of one destination.
type DestinationInfo struct {
	Destination string `json:"destination"`
	Cursor      uint64 `json:"cursor"` // first sequence number that is not settled
	Stored      uint64 `json:"stored"`
	Dead        uint64 `json:"dead"`
	Skipped     uint64 `json:"skipped"`
	Damaged     uint64 `json:"damaged"`
	Retrying    int    `json:"retrying"`
	Problem     string `json:"problem,omitempty"`
	Sealed      bool   `json:"sealed,omitempty"` // with a data key that is not at hand: nothing else is known
}

// Inspection describes a log.
type Inspection struct {
	Segments     []SegmentInfo     `json:"segments"`
	Destinations []DestinationInfo `json:"destinations"`
	Quarantine   []string          `json:"quarantine"` // files that were set aside
	Accepted     uint64            `json:"accepted"`
}

// offline is a log that is looked at without being opened. Nothing is written.
type offline struct {
	fsys     vfs.FS
	keys     *atrest.Keys
	dir      string
	segments []*foundSegment
	damage   []pillarbox.CorruptError
}

func openOffline(fsys vfs.FS, keys *atrest.Keys, dir string) (*offline, error) {
	all, _, damage, err := listSegments(fsys, dir)
	if err == nil {
		err = refuseNewer(fsys, dir)
	}
	if err != nil {
		return nil, err
	}
	linkSegments(all)
	o := &offline{fsys: fsys, keys: keys, dir: dir, segments: all, damage: damage}
	next := uint64(1)
	for _, item := range all {
		if !item.linked {
			continue
		}
		if !item.scanned || !item.readable {
			end, nextSeq, known := item.end, item.nextSeq, item.scanned
			// Damage is found by the walk of a verification; here only the end is asked for.
			if _, _, err := item.scan(fsys, next); err != nil {
				return nil, err
			}
			if known {
				item.end, item.nextSeq = end, nextSeq
			}
		}
		next = item.nextSeq
	}
	return o, nil
}

// Inspect describes the log in dir from its headers and delivery states. It writes nothing. The
// caller makes sure that no server has the directory.
func Inspect(fsys vfs.FS, keys *atrest.Keys, dir string) (*Inspection, error) {
	o, err := openOffline(fsys, keys, dir)
	if err != nil {
		return nil, err
	}
	result := &Inspection{
		Segments: []SegmentInfo{}, Destinations: []DestinationInfo{}, Quarantine: []string{},
	}
	for _, item := range o.segments {
		result.Segments = append(result.Segments, SegmentInfo{
			File: item.name, ID: item.id, Size: item.size, End: item.end, First: item.firstSeq,
			Events: item.nextSeq - item.firstSeq, Created: item.created, Abandoned: !item.linked,
		})
		if item.linked && item.nextSeq > 0 {
			result.Accepted = max(result.Accepted, item.nextSeq-1)
		}
	}
	names, err := stateNames(fsys, dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		result.Destinations = append(result.Destinations, inspectState(fsys, keys, dir, name))
	}
	entries, err := fsys.ReadDir(path.Join(dir, quarantineDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list quarantine: %w", err)
	}
	for _, entry := range entries {
		result.Quarantine = append(result.Quarantine, path.Join(dir, quarantineDir, entry.Name))
	}
	return result, nil
}

func stateNames(fsys vfs.FS, dir string) ([]string, error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	var names []string
	for _, entry := range entries {
		name, rest, _ := strings.Cut(entry.Name, ".")
		if (rest == "0.state" || rest == "1.state") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func inspectState(fsys vfs.FS, keys *atrest.Keys, dir, name string) DestinationInfo {
	info := DestinationInfo{Destination: name}
	_, state, damage, err := openJournal(fsys, keys, dir, name, DefaultStateBytes)
	if isNoKey(err) {
		info.Sealed = true
		return info
	}
	if err != nil {
		info.Problem = err.Error()
		return info
	}
	if len(damage) > 0 {
		info.Problem = damage[0].Error()
	}
	if state != nil {
		info.Cursor, info.Stored, info.Dead = state.cursor, state.Stored, state.Dead
		info.Skipped, info.Damaged = state.Skipped, state.Damaged
		for _, entry := range state.retry {
			if entry.Outcome == 0 { // the others are settled
				info.Retrying++
			}
		}
	}
	return info
}

// Verification is the result of reading everything.
type Verification struct {
	Segments int    `json:"segments"`
	Events   uint64 `json:"events"` // that can be read
	Bytes    int64  `json:"bytes"`  // of frames that were read
	Sealed   uint64 `json:"sealed"` // of these: their key is not at hand, and their checksums are right
	Lost     uint64 `json:"lost"`   // events that can't be read
	// LostBefore are events that were lost to damage which a repair has dealt with.
	LostBefore uint64                   `json:"lost_before"`
	Damage     []pillarbox.CorruptError `json:"damage"`
}

// Verify reads every frame of the log in dir and checks every checksum. It writes nothing. visit,
// if not nil, is called with every event that can be read. It needs no keys: what is sealed is then
// checked by its checksums, and not visited.
func Verify(
	ctx context.Context, fsys vfs.FS, keys *atrest.Keys, dir string, visit func(event *pillarbox.Event) error,
) (*Verification, error) {
	o, err := openOffline(fsys, keys, dir)
	if err != nil {
		return nil, err
	}
	result := &Verification{Damage: append([]pillarbox.CorruptError{}, o.damage...)}
	next := uint64(0)
	for _, item := range o.segments {
		if !item.linked {
			continue
		}
		if next != 0 && item.firstSeq > next {
			result.Lost += item.firstSeq - next
			result.Damage = append(result.Damage, pillarbox.CorruptError{
				File: item.name,
				Reason: fmt.Sprintf("earlier segments are missing: events %d to %d", next,
					item.firstSeq-1),
			})
		}
		next = item.nextSeq
		result.Segments++
		if err := o.verifySegment(ctx, item, result, visit); err != nil {
			return nil, err
		}
	}
	names, err := stateNames(fsys, dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if info := inspectState(fsys, keys, dir, name); info.Problem != "" {
			result.Damage = append(result.Damage,
				pillarbox.CorruptError{File: stateName(dir, name, 0), Reason: info.Problem})
		}
	}
	return result, nil
}

func (o *offline) verifySegment(
	ctx context.Context, item *foundSegment, result *Verification,
	visit func(event *pillarbox.Event) error,
) error {
	return o.walk(ctx, item, func(c *chunk) error {
		result.Bytes += c.end - c.offset
		if len(c.damage) > 0 {
			result.Lost += c.missing()
		} else {
			result.LostBefore += c.missing()
		}
		result.Damage = append(result.Damage, c.damage...)
		for i, rec := range c.records {
			if rec.missing {
				continue
			}
			event, err := openAndDecode(rec.text, o.keys)
			if isNoKey(err) {
				result.Events++
				result.Sealed++
				continue
			}
			if err != nil {
				result.Lost++
				result.Damage = append(result.Damage, pillarbox.CorruptError{
					File: item.name, Offset: c.offset,
					Reason: fmt.Sprintf("record %d: %v", i+1, err),
				})
				continue
			}
			result.Events++
			if visit != nil {
				if err := visit(event); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// walk calls visit with each chunk of a segment, and at the end with one for events that are
// missing there.
func (o *offline) walk(ctx context.Context, item *foundSegment, visit func(c *chunk) error) error {
	file, err := o.fsys.OpenFile(item.name, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("open segment: %w", unavailable(err))
	}
	defer file.Close()
	w := &walker{
		file: file, name: item.name, salt: item.salt, offset: dataStart,
		seq: item.firstSeq, limit: item.end, endSeq: item.nextSeq,
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := w.next()
		if errors.Is(err, errEnd) {
			break
		}
		if err != nil {
			return err
		}
		if err := visit(c); err != nil {
			return err
		}
	}
	if w.seq >= item.nextSeq {
		return nil
	}
	return visit(&chunk{
		offset: w.offset, end: w.offset, firstSeq: w.seq, lost: item.nextSeq - w.seq,
		damage: []pillarbox.CorruptError{w.corrupt(w.offset, "the end of the segment is missing")},
	})
}

// readWhatCanBe reads a whole file, with zeros in the place of pages that the disk can't read;
// unread says that there are some. Of a file over limit bytes nothing is read, and the error
// matches vfs.ErrForeign.
func readWhatCanBe(fsys vfs.FS, name string, limit int64) (content []byte, unread bool,
	err error) {
	file, err := fsys.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, false, err
	}
	if size > limit {
		return nil, false, tooLarge(name, size, limit)
	}
	w := &walker{file: file, name: name, limit: size}
	if size > 0 {
		if err := w.fill(0, int(size)); err != nil {
			return nil, false, err
		}
	}
	return w.buffer, len(w.unreadable) > 0, nil
}
