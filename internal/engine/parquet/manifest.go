package parquet

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"path"
	"slices"
	"strings"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// Names below the directory. Readers of a tree of Hive partitions pass over what begins with "_".
const (
	ownDir        = "_pillarbox"
	manifestFile  = ownDir + "/manifest.json"
	intentFile    = ownDir + "/intent.json"  // of the last write
	rewriteIntent = ownDir + "/rewrite.json" // of the last compaction or purge, which is beside the writes
	daysDir       = ownDir + "/days"
	intentsDir    = ownDir + "/intents" // the same, of each writer, where there may be several
	tempDir       = ownDir + "/tmp"
	lockFile      = ownDir + "/LOCK"
	noneFile      = ownDir + "/none.json"    // a day without files, for readers that want a list of at least one
	noEvents      = ownDir + "/none"         // a Parquet file without rows, for the same
	viewFile      = ownDir + "/duckdb.sql"   // makes a view of exactly what is stored
	suffix        = ".parquet"               // of files of events
	manifestSize  = 256 << 20                // bytes that a manifest may have
	formatOne     = 1                        // the version of manifests
	checksumName  = `,"checksum":"` + "%08x" // the last member of what is checked
)

// place is a key as it stands in a manifest.
type place struct {
	Timestamp pillarbox.Timestamp `json:"timestamp"`
	RequestID string              `json:"request_id"`
}

func placeOf(key pillarbox.Key) place { return place{key.Timestamp, key.RequestID} }

func (p place) key() pillarbox.Key {
	return pillarbox.Key{Timestamp: p.Timestamp, RequestID: p.RequestID}
}

// entry is a file that counts. A file never changes, and its name is never used again.
type entry struct {
	Path   string `json:"path"` // below the directory
	Source string `json:"source"`
	First  place  `json:"first"` // the lowest key in it
	Last   place  `json:"last"`  // the highest
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	Odd    bool   `json:"odd,omitempty"` // it has ids that don't tell the time of their event
}

// covers reports whether the key may be in the file.
func (e *entry) covers(key pillarbox.Key) bool {
	return compareKeys(e.First.key(), key) <= 0 && compareKeys(key, e.Last.key()) <= 0
}

func (e *entry) hour() pillarbox.Timestamp { return hourOf(e.First.Timestamp) }
func (e *entry) partition() string         { return path.Dir(e.Path) }
func (e *entry) day() string               { return dayOf(e.First.Timestamp) }

func compareKeys(a, b pillarbox.Key) int {
	return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), strings.Compare(a.RequestID, b.RequestID))
}

// The times that a key can have: the years 0000 to 9999.
const (
	firstTime = pillarbox.Timestamp(-62167219200_000000)
	lastTime  = pillarbox.Timestamp(253402300799_999999)
)

const hourMicroseconds = 3_600_000_000

// hourOf is the beginning of the hour of a time.
func hourOf(at pillarbox.Timestamp) pillarbox.Timestamp {
	hour := at / hourMicroseconds * hourMicroseconds
	if hour > at { // before 1970
		hour -= hourMicroseconds
	}
	return hour
}

func dayOf(at pillarbox.Timestamp) string { return at.Time().Format("2006-01-02") }

// dayEntry is what the manifest has of a day whose files stand in a file of their own.
type dayEntry struct {
	Day   string `json:"day"`
	File  string `json:"file"` // below the directory; it never changes, and its name is never used again
	Files int    `json:"files"`
	Rows  int64  `json:"rows"`
	Loose int    `json:"loose,omitempty"` // partitions that have more than one file
	Odd   bool   `json:"odd,omitempty"`   // as of an entry
}

// retired is a file that does not count any more, and is kept for readers that know an older
// manifest.
type retired struct {
	Path string              `json:"path"`
	At   pillarbox.Timestamp `json:"at"`
}

// manifest says which files count: those of the days, without those that are removed, and those that
// are added. It is replaced as a whole by each change, which is the moment at which the change
// happens. A manifest in memory is never changed.
type manifest struct {
	Version    int               `json:"version"`
	ID         string            `json:"id"`               // of the store
	Generation uint64            `json:"generation"`       // of the manifest
	Writer     string            `json:"writer,omitempty"` // who has the place where others may take it; empty for nobody
	Mark       uint64            `json:"mark"`             // events that were ever added
	Events     uint64            `json:"events"`           // in all files that count
	Days       []dayEntry        `json:"days"`             // in their order
	Added      []entry           `json:"added"`
	Removed    []string          `json:"removed"`
	Retired    []retired         `json:"retired"`
	Purges     []pillarbox.Purge `json:"purges"`
}

// dayFiles is the content of the file of a day.
type dayFiles struct {
	Version int     `json:"version"`
	Day     string  `json:"day"`
	Files   []entry `json:"files"` // in the order of their first keys
}

// intent names the files that a change at hand is about to put in their places.
type intent struct {
	Version int      `json:"version"`
	Paths   []string `json:"paths"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeChecked writes an object as JSON, whose last member is the CRC-32C of what stands before it.
func encodeChecked(object any) ([]byte, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSuffix(text, []byte("}"))
	return fmt.Appendf(text, checksumName+"\"}\n", crc32.Checksum(text, castagnoli)), nil
}

// decodeChecked reads what encodeChecked has written. The error is an *pillarbox.CorruptError, or
// ErrInvalid for a newer version.
func decodeChecked(name string, text []byte, object any) error {
	damaged := func(reason string) error { return &pillarbox.CorruptError{File: name, Reason: reason} }
	at := bytes.LastIndex(text, []byte(checksumName[:len(checksumName)-len("%08x")]))
	if at < 0 {
		return damaged("it has no checksum")
	}
	want := fmt.Appendf(nil, checksumName+"\"}\n", crc32.Checksum(text[:at], castagnoli))
	if !bytes.Equal(text[at:], want) {
		return damaged("its checksum does not match")
	}
	var head struct{ Version int }
	if err := json.Unmarshal(text, &head); err != nil {
		return damaged(err.Error())
	}
	if head.Version > formatOne {
		return pillarbox.Invalid("%s: written in a newer format; use the version of pillarbox that wrote it", name)
	}
	if err := json.Unmarshal(text, object); err != nil {
		return damaged(err.Error())
	}
	return nil
}

// readChecked reads a file that writeChecked has written.
func readChecked(fsys vfs.FS, name string, object any) error {
	text, err := vfs.ReadFile(fsys, name, manifestSize)
	if err != nil {
		return err
	}
	return decodeChecked(name, text, object)
}

func writeChecked(fsys vfs.FS, name string, object any) error {
	text, err := encodeChecked(object)
	if err != nil {
		return err
	}
	return vfs.WriteFile(fsys, name, text)
}

// clone is a copy to be changed.
func (m *manifest) clone() *manifest {
	next := *m
	// None of them is null in JSON.
	next.Days, next.Added, next.Removed = append([]dayEntry{}, m.Days...), append([]entry{}, m.Added...), append([]string{}, m.Removed...)
	next.Retired, next.Purges = append([]retired{}, m.Retired...), append([]pillarbox.Purge{}, m.Purges...)
	return &next
}

// add counts a file.
func (m *manifest) add(e entry) {
	m.Added = append(m.Added, e)
	m.Events += uint64(e.Rows)
}

// remove counts a file no more, and keeps it until nobody can know of it.
func (m *manifest) remove(e entry, at pillarbox.Timestamp) {
	m.Events -= uint64(e.Rows)
	m.Retired = append(m.Retired, retired{e.Path, at})
	for i := range m.Added {
		if m.Added[i].Path == e.Path {
			m.Added = slices.Delete(m.Added, i, i+1)
			return
		}
	}
	m.Removed = append(m.Removed, e.Path)
}

// dayOfPath is the day of a file that counts, or counted.
func dayOfPath(name string) string {
	for part := range strings.SplitSeq(name, "/") {
		if day, found := strings.CutPrefix(part, "day="); found {
			return day
		}
	}
	return ""
}

// dayNames are all days that have files, in order.
func (m *manifest) dayNames() []string {
	names := make([]string, 0, len(m.Days)+1)
	for i := range m.Days {
		names = append(names, m.Days[i].Day)
	}
	for i := range m.Added {
		names = append(names, m.Added[i].day())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// of returns what stands of a day, or nil.
func (m *manifest) of(day string) *dayEntry {
	at, found := slices.BinarySearchFunc(m.Days, day, func(d dayEntry, day string) int { return strings.Compare(d.Day, day) })
	if !found {
		return nil
	}
	return &m.Days[at]
}

// isOdd reports whether a day has ids that don't tell the time of their event.
func (m *manifest) isOdd(day string) bool {
	if d := m.of(day); d != nil && d.Odd {
		return true
	}
	return slices.ContainsFunc(m.Added, func(e entry) bool { return e.Odd && e.day() == day })
}

// partitionOf is the directory of the events of a source in an hour.
func partitionOf(source string, hour pillarbox.Timestamp) string {
	return "source=" + encodeName(source) + hour.Time().Format("/day=2006-01-02/hour=15")
}

// maxEncodedName is how long the name of a directory gets. What is cut off is in a checksum.
const maxEncodedName = 180

// encodeName writes a source as Hive does: what is no letter, digit, "-", "_" or "." as % and two
// digits. The file has the source itself.
func encodeName(source string) string {
	if source == "" {
		return "__HIVE_DEFAULT_PARTITION__"
	}
	var name strings.Builder
	for _, c := range []byte(source) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' {
			name.WriteByte(c)
		} else {
			fmt.Fprintf(&name, "%%%02X", c)
		}
	}
	if name.Len() > maxEncodedName {
		return fmt.Sprintf("%s~%08x", name.String()[:maxEncodedName], crc32.Checksum([]byte(source), castagnoli))
	}
	return name.String()
}
