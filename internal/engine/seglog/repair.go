package seglog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/vfs"
)

// Repaired says what a repair did.
type Repaired struct {
	Segments []RepairedSegment `json:"segments"` // that were damaged
	States   []string          `json:"states"`   // destinations whose delivery state was made anew
	Events   uint64            `json:"events"`   // exported from damaged segments
	Lost     uint64            `json:"lost"`     // events that could not be read
}

// RepairedSegment is one damaged segment.
type RepairedSegment struct {
	File       string   `json:"file"`
	Quarantine string   `json:"quarantine"` // where the damaged file is now
	Export     string   `json:"export"`     // its readable events, as NDJSON
	Events     uint64   `json:"events"`
	Lost       uint64   `json:"lost"`
	Damage     []string `json:"damage"`
	Unreadable bool     `json:"unreadable,omitempty"` // by the disk, which may read it another time: the file is left as it is
}

// Repair replaces each damaged segment of the log in dir by a sound one with every event that can
// be read, exports those events as NDJSON, and keeps the damaged file in quarantine. A delivery
// state that can't be read at all is set aside too, and made anew so that everything that is held
// is delivered again: sinks are idempotent. Nothing is deleted. The caller makes sure that no
// server has the directory.
func Repair(ctx context.Context, fsys vfs.FS, keys *atrest.Keys, dir string) (*Repaired, error) {
	o, err := openOffline(fsys, keys, dir)
	if err != nil {
		return nil, err
	}
	result := &Repaired{Segments: []RepairedSegment{}, States: []string{}}
	var before *foundSegment
	for _, item := range o.segments {
		if !item.linked {
			continue
		}
		repaired, err := o.repairSegment(ctx, item, before)
		if err != nil {
			return result, fmt.Errorf("repair %s: %w", item.name, err)
		}
		if repaired != nil {
			result.Segments = append(result.Segments, *repaired)
			result.Events += repaired.Events
			result.Lost += repaired.Lost
		}
		before = item
	}
	return result, o.repairStates(result)
}

// repairSegment returns nil for a sound segment.
func (o *offline) repairSegment(
	ctx context.Context, item, before *foundSegment,
) (*RepairedSegment, error) {
	content, unread, err := readWhatCanBe(o.fsys, item.name, item.maxFile())
	if err != nil {
		return nil, unavailable(err)
	}
	// A file that was cut short gets its last sector back, so that a frame which ends there fits
	// again.
	content = append(content, make([]byte, alignUp(int64(len(content)))-int64(len(content)))...)
	r := &segmentRepair{item: item, keys: o.keys, content: content, unread: unread}
	for _, damage := range o.damage {
		if damage.File == item.name {
			r.damage = append(r.damage, damage.Error())
		}
	}
	if err := o.walk(ctx, item, r.take); err != nil {
		return nil, err
	}
	if len(r.damage) == 0 {
		return nil, nil
	}
	if r.unread {
		// What the disk can't read now it may read another time: the file stays, and is read again
		// by a server.
		return &RepairedSegment{
			File: item.name, Events: r.events, Lost: r.lost, Damage: r.damage, Unreadable: true,
		}, nil
	}
	r.writeHeader(before)
	return o.replace(item, r)
}

// segmentRepair is the sound copy of a segment in the making. Each frame keeps its offset, because
// the header of the next segment states where this one ends.
type segmentRepair struct {
	item    *foundSegment
	keys    *atrest.Keys
	content []byte
	export  bytes.Buffer
	damage  []string
	unread  bool  // the disk can't read all of the file
	offset  int64 // of the first damage
	events  uint64
	lost    uint64
	boxed   bool // a record is in a box
}

func (r *segmentRepair) take(c *chunk) error {
	for _, damage := range c.damage {
		if len(r.damage) == 0 {
			r.offset = damage.Offset
		}
		r.damage = append(r.damage, damage.Error())
	}
	r.lost += c.missing()
	r.boxed = r.boxed || c.boxed()
	for _, rec := range c.records {
		if rec.missing {
			continue
		}
		event, err := openAndDecode(rec.text, r.keys)
		if err != nil {
			continue // not understood, or sealed; its bytes stay in the quarantined file
		}
		line, err := json.Marshal(event)
		if err != nil {
			continue // it has no JSON form, and stays in the log
		}
		r.events++
		r.export.Write(append(line, '\n'))
	}
	if len(c.damage) > 0 && c.end > c.offset {
		r.rewrite(c)
	}
	return nil
}

// rewrite puts a sound frame with the saved records into a damaged range, and behind it, where
// there is room, one that stands for the lost events. Without room the gap in the sequence says the
// same.
func (r *segmentRepair) rewrite(c *chunk) {
	salt := r.item.salt
	region := r.content[min(c.offset, int64(len(r.content))):min(c.end, int64(len(r.content)))]
	clear(region)
	used := int64(0)
	if len(c.records) > 0 {
		frame := groupOf(c.records).seal(salt, c.offset, c.offset, c.firstSeq)
		if len(frame) <= len(region) {
			used = alignUp(int64(copy(region, frame)))
		}
	}
	if c.lost > 0 && used+frameHeaderBytes <= int64(len(region)) {
		frameHeader{
			kind: frameLost, salt: salt, offset: c.offset + used, firstSeq: c.firstSeq + uint64(
				len(c.records)),
			count: uint32(c.lost), durableUpTo: c.offset,
		}.encode(region[used:])
		used += sectorBytes
	}
	// What is left of the range is no damage.
	for ; used+frameHeaderBytes <= int64(len(region)); used += sectorBytes {
		frameHeader{
			kind:        frameMark,
			salt:        salt,
			offset:      c.offset + used,
			firstSeq:    c.nextSeq(),
			durableUpTo: c.offset + used,
		}.encode(region[used:])
	}
}

func (r *segmentRepair) writeHeader(before *foundSegment) {
	header := r.item.header
	if !r.item.readable {
		header = segmentHeader{id: r.item.id, salt: r.item.salt, firstSeq: r.item.firstSeq, boxed: r.boxed}
		if before != nil {
			header.prevID, header.prevEnd, header.logID = before.id, before.end, before.header.logID
		}
	}
	if len(r.content) < dataStart {
		r.content = append(r.content, make([]byte, dataStart-len(r.content))...)
	}
	copy(r.content, header.encode())
	copy(r.content[headerBytes:], header.encode())
}

// replace exports, keeps the damaged file in quarantine, and then puts the sound one in its place.
func (o *offline) replace(item *foundSegment, r *segmentRepair) (*RepairedSegment, error) {
	base := path.Base(item.name)
	aside := path.Join(o.dir, quarantineDir, base+".damaged")
	export := path.Join(o.dir, quarantineDir, base+".ndjson")
	exported, err := o.keys.SealDocument(r.export.Bytes(), atrest.Export)
	if err != nil {
		return nil, err
	}
	if atrest.IsDocument(exported) {
		export += ".sealed"
	}
	if err := vfs.MkdirAll(o.fsys, path.Join(o.dir, quarantineDir)); err != nil {
		return nil, fmt.Errorf("make quarantine: %w", unavailable(err))
	}
	damaged, err := vfs.ReadFile(o.fsys, item.name, item.maxFile())
	if err != nil {
		return nil, unavailable(err)
	}
	if err := vfs.WriteFile(o.fsys, export, exported); err != nil {
		return nil, unavailable(err)
	}
	if err := vfs.WriteFile(o.fsys, aside, damaged); err != nil {
		return nil, unavailable(err)
	}
	if err := o.reportRepair(item, r); err != nil {
		return nil, err
	}
	if err := vfs.WriteFile(o.fsys, item.name, r.content); err != nil {
		return nil, unavailable(err)
	}
	return &RepairedSegment{
		File: item.name, Quarantine: aside, Export: export, Events: r.events, Lost: r.lost,
		Damage: r.damage,
	}, nil
}

// reportRepair leaves a report, from which later lives know what was lost and where.
func (o *offline) reportRepair(item *foundSegment, r *segmentRepair) error {
	report := damageReport{
		File: item.name, Offset: r.offset, Reason: "repaired: " + r.damage[0], Lost: r.lost,
		First: item.firstSeq,
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	name := path.Join(o.dir, quarantineDir, fmt.Sprintf("%016d-repaired%s", item.id, damageSuffix))
	return unavailable(vfs.WriteFile(o.fsys, name, append(text, '\n')))
}

func (o *offline) repairStates(result *Repaired) error {
	names, err := stateNames(o.fsys, o.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		_, loaded, _, err := openJournal(o.fsys, o.keys, o.dir, name, DefaultStateBytes)
		firstHeld, next := o.bounds()
		if err == nil && loaded != nil && loaded.cursor <= next {
			continue
		}
		// A state whose data key is gone, though the others are there, is as good as damaged.
		if err != nil && !errors.Is(err, pillarbox.ErrCorrupt) && !(isNoKey(err) && o.keys != nil) {
			return err
		}
		if err := o.renewState(name, firstHeld); err != nil {
			return fmt.Errorf("renew the delivery state of %s: %w", name, err)
		}
		result.States = append(result.States, name)
	}
	return nil
}

func (o *offline) bounds() (firstHeld, next uint64) {
	firstHeld, next = 1, 1
	first := true
	for _, item := range o.segments {
		if !item.linked {
			continue
		}
		if first {
			firstHeld, first = item.firstSeq, false
		}
		next = item.nextSeq
	}
	return firstHeld, max(firstHeld, next)
}

// renewState sets the files aside and begins again at the oldest event that is held. What came
// before is counted as stored: segments are removed only when everything in them is settled.
func (o *offline) renewState(name string, firstHeld uint64) error {
	if err := quarantineState(o.fsys, o.dir, name); err != nil {
		return err
	}
	journal, _, _, err := openJournal(o.fsys, o.keys, o.dir, name, DefaultStateBytes)
	if err != nil {
		return err
	}
	renewed := &state{
		position: position{start: 1, cursor: firstHeld}, counters: counters{Stored: firstHeld - 1},
		retry: map[uint64]*retryEntry{}, store: pillarbox.StoreRecord{Renewed: true},
	}
	return errors.Join(journal.roll(renewed), journal.close())
}

// quarantineState moves the delivery state of a destination into quarantine.
func quarantineState(fsys vfs.FS, dir, name string) error {
	aside := path.Join(dir, quarantineDir)
	if err := vfs.MkdirAll(fsys, aside); err != nil {
		return unavailable(err)
	}
	for slot := range 2 {
		file := stateName(dir, name, slot)
		err := fsys.Rename(file, path.Join(aside, path.Base(file)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return unavailable(err)
		}
	}
	return errors.Join(fsys.SyncDir(aside), fsys.SyncDir(dir))
}

// Forget gives up a destination that is not configured any more, so that the log no longer waits
// for it. Its state, with the events that wait for another attempt, is kept in quarantine. The
// caller makes sure that no server has the directory. Errors: ErrNotFound; ErrInvalid where a state
// was written in a newer format.
func Forget(fsys vfs.FS, dir, destination string) error {
	if err := refuseNewer(fsys, dir); err != nil {
		return err
	}
	names, err := stateNames(fsys, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == destination {
			return quarantineState(fsys, dir, name)
		}
	}
	return fmt.Errorf("destination %q has no delivery state in %s: %w", destination, dir,
		pillarbox.ErrNotFound)
}
