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
	"pillarbox/internal/vfs"
)

// passedReports lists the reports of damage that was the disk's, where all of it may have passed. They are removed without
// mu, for which status and metrics would wait with a disk that hangs.
func (l *Log) passedReports() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	reports := map[string]bool{}
	passed := func(item pillarbox.CorruptError) bool { return strings.HasPrefix(item.Reason, readFault) }
	if !slices.ContainsFunc(l.damage, passed) || len(l.unreadEnds) > 0 {
		return reports
	}
	for name, fault := range l.reported {
		if fault {
			reports[name] = true
		}
	}
	return reports
}

func (l *Log) quarantine(old *segment) error {
	dir := path.Join(l.dir, quarantineDir)
	if err := vfs.MkdirAll(l.fsys, dir); err != nil {
		return err
	}
	if err := l.fsys.Rename(old.name, path.Join(dir, path.Base(old.name))); err != nil {
		return err
	}
	return l.fsys.SyncDir(dir)
}

// damageReport is what is kept of damage that was found, so that the ledger can name it after a restart.
type damageReport struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Reason string `json:"reason"`
	Lost   uint64 `json:"lost_events"`
	First  uint64 `json:"first_sequence"`
	Kept   int    `json:"kept_events,omitempty"` // of an end that could not be read: what was saved at its beginning
}

// keepReport writes down damage that was met, beside the segment's future place in quarantine. It returns false
// for damage that has its report already.
func (l *Log) keepReport(c *chunk, segment *segment) bool {
	if l.opts.ReadOnly || len(c.damage) == 0 {
		return false
	}
	dir := path.Join(l.dir, quarantineDir)
	name := path.Join(dir, fmt.Sprintf("%016d-%d%s", segment.id, c.offset, damageSuffix))
	l.mu.Lock()
	_, known := l.reported[name]
	l.reported[name] = c.unread
	l.mu.Unlock()
	if known {
		return false
	}
	first := c.damage[0]
	report := damageReport{File: first.File, Offset: first.Offset, Reason: first.Reason, Lost: c.missing(), First: c.firstSeq, Kept: c.kept}
	text, err := json.MarshalIndent(report, "", "  ")
	if err == nil {
		err = vfs.MkdirAll(l.fsys, dir)
	}
	if err == nil {
		err = vfs.WriteFile(l.fsys, name, append(text, '\n'))
	}
	if err != nil {
		l.opts.Logger.Warn("write damage report", "segment", segment.name, "err", err)
	}
	return true
}

// loadQuarantine reads the reports of earlier lives.
func (l *Log) loadQuarantine() error {
	dir := path.Join(l.dir, quarantineDir)
	entries, err := l.fsys.ReadDir(dir)
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
		text, err := vfs.ReadFile(l.fsys, path.Join(dir, entry.Name))
		if vfs.IsUnreadable(err) {
			l.opts.Logger.Warn("damage report can't be read", "file", entry.Name, "err", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("read damage report: %w", unavailable(err))
		}
		var report damageReport
		if err := json.Unmarshal(text, &report); err != nil {
			l.opts.Logger.Warn("damage report can't be read", "file", entry.Name, "err", err)
			continue
		}
		l.mu.Lock()
		l.reported[path.Join(dir, entry.Name)] = strings.HasPrefix(report.Reason, readFault)
		l.mu.Unlock()
		l.reportDamage([]pillarbox.CorruptError{{File: report.File, Offset: report.Offset, Reason: report.Reason}})
		if report.Reason == unreadEndReason {
			l.findUnreadEnd(&report)
		}
	}
	return nil
}
