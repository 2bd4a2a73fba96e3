package seglog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"pillarbox"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

const (
	quarantineDir   = "quarantine"
	damageSuffix    = ".damage.json"
	damageReportMax = 64 << 10
)

// damageLog is the damage that was found: what is shown of it, the reports in the quarantine
// directory, and the ends of segments that the disk could not read.
//
// Locks: core.mu guards all of it; the maintenance alone changes the ends, and may read them
// without it. Reports are written and removed without it.
type damageLog struct {
	*core
	segments *segmentSet

	found      []pillarbox.CorruptError // of this life, and of the reports of earlier ones
	reported   map[string]bool          // files of damage reports that exist, and whether the damage is the disk's and may pass
	unreadEnds []*unreadEnd             // what the disk could not read at a start, so that nobody knows what is missing there
}

// report logs damage, keeps it for Stats, and sees to it that the segment ends in quarantine. What
// is known already is left alone: every reader that passes a damaged place reports it.
func (d *damageLog) report(damage []pillarbox.CorruptError) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, item := range damage {
		if !slices.Contains(d.found, item) {
			d.reportLocked(item)
		}
	}
}

func (d *damageLog) reportLocked(item pillarbox.CorruptError) {
	d.opts.Logger.Error("the log is damaged", telemetry.KeySegment, item.File,
		telemetry.KeyOffset, item.Offset, telemetry.KeyReason, item.Reason)
	if len(d.found) < MaxDamageReports {
		d.found = append(d.found, item)
	}
	d.segments.markDamagedLocked(item.File)
}

// noteMissing reports events that were in segments which are not there any more.
func (d *damageLog) noteMissing(firstSeq, lost uint64, destination string) {
	d.mu.Lock()
	first := d.segments.list[0]
	d.mu.Unlock()
	reason := fmt.Sprintf(
		"segments before this one are missing, with events from %d on that destination %s has not settled",
		firstSeq, destination,
	)
	missing := &chunk{
		firstSeq: firstSeq, lost: lost,
		damage: []pillarbox.CorruptError{{File: first.name, Reason: reason}},
	}
	d.report(missing.damage)
	if d.keepReport(missing, first) {
		d.opts.Meter.Damaged(lost)
	}
}

// damageReport is what is kept of damage that was found, so that the ledger can name it after a
// restart.
type damageReport struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Reason string `json:"reason"`
	Lost   uint64 `json:"lost_events"`
	First  uint64 `json:"first_sequence"`
	Kept   int    `json:"kept_events,omitempty"` // of an end that could not be read: what was saved at its beginning
}

// keepReport writes down damage that was met, beside the segment's future place in quarantine. It
// returns false for damage that has its report already.
func (d *damageLog) keepReport(c *chunk, segment *segment) bool {
	if d.opts.ReadOnly || len(c.damage) == 0 {
		return false
	}
	dir := path.Join(d.dir, quarantineDir)
	name := path.Join(dir, fmt.Sprintf("%016d-%d%s", segment.id, c.offset, damageSuffix))
	d.mu.Lock()
	_, known := d.reported[name]
	d.reported[name] = c.unread
	d.mu.Unlock()
	if known {
		return false
	}
	first := c.damage[0]
	report := damageReport{
		File: first.File, Offset: first.Offset, Reason: first.Reason, Lost: c.missing(),
		First: c.firstSeq, Kept: c.kept,
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err == nil {
		err = vfs.MkdirAll(d.fsys, dir)
	}
	if err == nil {
		err = vfs.WriteFile(d.fsys, name, append(text, '\n'))
	}
	if err != nil {
		d.opts.Logger.Warn("write damage report", telemetry.KeySegment, segment.name,
			telemetry.KeyErr, err)
	}
	return true
}

// load reads the reports of earlier lives.
func (d *damageLog) load() error {
	dir := path.Join(d.dir, quarantineDir)
	entries, err := d.fsys.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, unavailable(err))
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name, damageSuffix) || entry.Size > damageReportMax {
			continue
		}
		text, err := vfs.ReadFile(d.fsys, path.Join(dir, entry.Name), damageReportMax)
		if vfs.IsUnreadable(err) || vfs.IsForeign(err) {
			d.opts.Logger.Warn("damage report can't be read", telemetry.KeyFile, entry.Name,
				telemetry.KeyErr, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("read damage report: %w", unavailable(err))
		}
		var report damageReport
		if err := json.Unmarshal(text, &report); err != nil {
			d.opts.Logger.Warn("damage report can't be read", telemetry.KeyFile, entry.Name,
				telemetry.KeyErr, err)
			continue
		}
		d.mu.Lock()
		d.reported[path.Join(dir, entry.Name)] = strings.HasPrefix(report.Reason, readFault)
		d.mu.Unlock()
		d.report([]pillarbox.CorruptError{
			{File: report.File, Offset: report.Offset, Reason: report.Reason},
		})
		if report.Reason == unreadEndReason {
			d.findUnreadEnd(&report)
		}
	}
	return nil
}

// forgive drops damage that was nothing but the disk's, once nothing is missing because of it.
func (d *damageLog) forgive() {
	reports := d.passedReports()
	for name := range reports {
		if err := d.fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			d.opts.Logger.Warn("remove the report of damage that has passed",
				telemetry.KeyFile, name, telemetry.KeyErr, err)
			delete(reports, name)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	passed := func(item pillarbox.CorruptError) bool {
		return strings.HasPrefix(item.Reason, readFault)
	}
	if !slices.ContainsFunc(d.found, passed) || len(d.unreadEnds) > 0 {
		return
	}
	d.found = slices.DeleteFunc(d.found, passed)
	for name := range reports {
		delete(d.reported, name)
	}
	for _, s := range d.segments.list {
		s.damaged = slices.ContainsFunc(d.found,
			func(item pillarbox.CorruptError) bool { return item.File == s.name })
	}
	d.opts.Logger.Info("the disk can read again what it could not", telemetry.KeyQueue, d.dir)
}

// passedReports lists the reports of damage that was the disk's, where all of it may have passed.
// They are removed without mu, for which status and metrics would wait with a disk that hangs.
func (d *damageLog) passedReports() map[string]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	reports := map[string]bool{}
	passed := func(item pillarbox.CorruptError) bool {
		return strings.HasPrefix(item.Reason, readFault)
	}
	if !slices.ContainsFunc(d.found, passed) || len(d.unreadEnds) > 0 {
		return reports
	}
	for name, fault := range d.reported {
		if fault {
			reports[name] = true
		}
	}
	return reports
}
