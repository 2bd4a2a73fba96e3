package keyindex

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// The defaults and limits of Options.
const (
	// MaxTable is how many keys are in memory before they are written, 64 bytes each.
	MaxTable = 128 << 10
	minTable = 1 << 10
	// MaxUnknown bounds the keys that are remembered for an append with an unknown outcome. With more,
	// the oldest is forgotten.
	MaxUnknown = 64 << 10
)

// Options of an Index. Zero means the default.
type Options struct {
	Window  time.Duration // for which a key is remembered at most, to the second
	MaxKeys int64         // how many are
	Table   int           // keys in memory before they are written; default: an eighth of MaxKeys, from minTable to MaxTable

	// Elapsed is the time that has passed in all lives, and never goes back. Default: the time since
	// Open.
	Elapsed func() time.Duration
	Logger  *slog.Logger // default: discard
	AtRest  *atrest.Keys // seals the files, and opens sealed ones; nil: neither

	LogID [16]byte // of the log. Files of another one are set aside
	Next  uint64   // the sequence number of its next event; 0: not known. What is ahead of it is set aside
}

// Index is the index of one log. All methods may be called concurrently, but for Committed, whose
// calls come one after the other.
//
// Locks: writing is held while files are made and before mu; reading while runs are read, and
// before mu. No call to the disk is made with mu held.
type Index struct {
	fsys vfs.FS
	dir  string
	log  *slog.Logger

	atRest *atrest.Keys

	logID [16]byte
	kick  chan struct{} // holds one wake-up of Run

	elapsed func() time.Duration
	base    uint32 // seconds that earlier lives have counted

	writing sync.Mutex
	nextID  uint64       // of the next run; guarded by writing
	reading sync.RWMutex // keeps the files of runs open

	mu      sync.Mutex
	limits  limits
	flight  map[[16]byte]flight
	unknown [][16]byte // keys whose append has an unknown outcome, oldest first; some may be none any more
	active  *table
	frozen  *table // being written
	frozeAt uint64 // the sequence number at which it ends
	runs    []*run // oldest first; replaced, never changed
	next    uint64 // everything before it was told
	wanted  uint64 // what is to be in files as soon as possible
	count   uint64 // keys that came, ever
	damaged int64
	problem error
}

type limits struct {
	window  uint32 // seconds
	maxKeys uint64
	table   int
}

// flight is a key that is claimed.
type flight struct {
	fingerprint uint64
	timestamp   pillarbox.Timestamp
	id          string
	unknown     bool // nobody has it, and what became of its append is not known
	again       bool // it was unknown before
}

// Open opens the index in dir, which is made with the first file. The caller then tells it of every
// event of the log from Covered on. Errors: ErrInvalid for a newer format, and of the disk.
func Open(fsys vfs.FS, dir string, opts Options) (*Index, error) {
	x := &Index{
		fsys: fsys, dir: dir, log: opts.Logger, atRest: opts.AtRest, logID: opts.LogID, kick: make(chan struct{}, 1), elapsed: opts.Elapsed,
		flight: map[[16]byte]flight{}, nextID: 1, active: newTable(1), next: 1,
	}
	if x.log == nil {
		x.log = slog.New(slog.DiscardHandler)
	}
	if x.elapsed == nil {
		start := time.Now()
		x.elapsed = func() time.Duration { return time.Since(start) }
	}
	x.setLimits(opts)
	if err := x.load(opts); err != nil {
		return nil, errors.Join(err, x.closeRuns())
	}
	return x, nil
}

func (x *Index) setLimits(opts Options) {
	window := cmp.Or(opts.Window, pillarbox.DefaultKeyWindow)
	maxKeys := uint64(cmp.Or(opts.MaxKeys, pillarbox.DefaultMaxKeys))
	x.limits = limits{
		window: uint32(min(window.Seconds(), 1<<31)), maxKeys: maxKeys,
		table: cmp.Or(opts.Table, int(min(max(maxKeys/8, minTable), MaxTable))),
	}
}

// SetLimits changes the window and how many keys are remembered, from now on. What was forgotten
// stays so.
func (x *Index) SetLimits(window time.Duration, maxKeys int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.setLimits(Options{Window: window, MaxKeys: maxKeys})
}

// load opens the runs. What is damaged is set aside, and the log is then asked for its keys again
// as far as it has them.
func (x *Index) load(opts Options) error {
	entries, err := x.fsys.ReadDir(x.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list %s: %w", x.dir, err)
	}
	var all []*run
	for _, entry := range entries {
		name := path.Join(x.dir, entry.Name)
		if strings.HasSuffix(entry.Name, suffixTemp) {
			if err := x.fsys.Remove(name); err != nil {
				return fmt.Errorf("remove %s, which was never finished: %w", name, err)
			}
		}
		number, isRun := strings.CutSuffix(entry.Name, suffix)
		id, err := strconv.ParseUint(number, 10, 64)
		if !isRun || err != nil || entry.Dir {
			continue
		}
		x.nextID = max(x.nextID, id+1)
		var absent *atrest.NoKeyError
		r, err := openRun(x.fsys, name, id, x.atRest)
		switch {
		case errors.Is(err, pillarbox.ErrInvalid):
			return err
		case vfs.IsUnreadable(err) || errors.As(err, &absent): // it may be there another time
			x.damaged++
			x.log.Error("a file of idempotency keys can't be read; keys that only it has are new when they come again",
				telemetry.KeyFile, name, telemetry.KeyErr, err)
		case err != nil:
			x.setAside(name, err)
		case r.log != x.logID || opts.Next > 0 && r.to > opts.Next:
			x.setAside(name, errors.Join(errForeign, r.file.Close()))
		default:
			all = append(all, r)
		}
	}
	return x.arrange(all)
}

var errForeign = errors.New("it is of another log, or of a part of this one that is gone")

// setAside keeps a damaged run for a person.
func (x *Index) setAside(name string, cause error) {
	x.log.Error("a file of idempotency keys is damaged; keys that only it has are new when they come again",
		telemetry.KeyFile, name, telemetry.KeyErr, cause)
	x.damaged++
	if err := x.fsys.Rename(name, name+".damaged"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		x.log.Warn("set a damaged file aside", telemetry.KeyFile, name, telemetry.KeyErr, err)
	}
}

// arrange puts the runs in order, and removes those that a larger one has taken in.
func (x *Index) arrange(all []*run) error {
	var errs []error
	for _, r := range all {
		covered := false
		for _, other := range all {
			covered = covered || other.covers(r)
		}
		if covered {
			errs = append(errs, r.file.Close(), x.fsys.Remove(r.name))
			continue
		}
		x.insert(r)
	}
	newest := uint32(0)
	for _, r := range x.runs {
		x.count, newest = max(x.count, r.end), max(newest, r.newest)
	}
	x.base = newest - min(newest, uint32(x.elapsed()/time.Second))
	x.next = x.coveredLocked()
	x.active.from = x.next
	return errors.Join(errs...)
}

func (x *Index) insert(r *run) {
	at := 0
	for at < len(x.runs) && x.runs[at].from <= r.from {
		at++
	}
	x.runs = append(x.runs[:at:at], append([]*run{r}, x.runs[at:]...)...)
}

// coveredLocked is the end of the newest run.
func (x *Index) coveredLocked() uint64 {
	if len(x.runs) == 0 {
		return 1
	}
	return x.runs[len(x.runs)-1].to
}

// Covered is the sequence number from which on the index is to be told of events. Where a run was
// set aside, it is where that began: what the log still has of it is told again.
func (x *Index) Covered() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := 1; i < len(x.runs); i++ {
		if x.runs[i-1].to < x.runs[i].from {
			return x.runs[i-1].to
		}
	}
	return x.coveredLocked()
}

// now is in seconds of all lives. It never goes back, not even where what counts them was lost.
func (x *Index) now() uint32 { return x.base + uint32(x.elapsed()/time.Second) }

// liveLocked reports whether an entry is to be found.
func (x *Index) liveLocked(e *entry, now uint32) bool { return x.limits.live(e, x.count, now) }

// live reports whether an entry is to be found, where so many keys came, ever.
func (l limits) live(e *entry, count uint64, now uint32) bool {
	return e.ordinal+l.maxKeys >= count && now-min(now, e.at) <= l.window
}

// Claim implements pillarbox.Keys.
func (x *Index) Claim(_ context.Context, claims []pillarbox.KeyClaim) {
	var buffer *[]byte
	now := x.now()
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range claims {
		c := &claims[i]
		if c.IsZero() {
			continue
		}
		may := x.claimLocked(c, now)
		if may == 0 {
			continue
		}
		if buffer == nil {
			buffer = pages.Get().(*[]byte)
			defer pages.Put(buffer)
		}
		for !x.claimFromRunsLocked(c, now, may, *buffer) {
			may = x.likelyLocked(&c.Key)
		}
	}
}

var pages = sync.Pool{New: func() any { page := make([]byte, pageBytes); return &page }}

// likely are the runs whose filters say that they may have a key: a bit for each, in their order, and
// the last bit for all that have none of their own.
type likely uint64

// manyRuns is how many of them have bits of their own. There are some twenty of ten million keys.
const manyRuns = 63

func (x *Index) likelyLocked(key *[16]byte) (may likely) {
	for i, r := range x.runs {
		if r.filter.mayHave(key) {
			may |= 1 << min(i, manyRuns)
		}
	}
	return may
}

func (l likely) has(i int, r *run, key *[16]byte) bool {
	return l>>min(i, manyRuns)&1 == 1 && (i < manyRuns || r.filter.mayHave(key))
}

// claimLocked answers from memory, or returns the runs that have to be asked.
func (x *Index) claimLocked(c *pillarbox.KeyClaim, now uint32) likely {
	if f, ok := x.flight[c.Key]; ok {
		x.meetLocked(c, f)
		return 0
	}
	if e := x.newestLocked(&c.Key); e != nil {
		if x.liveLocked(e, now) {
			answer(c, e)
		} else {
			x.beginLocked(c)
		}
		return 0
	}
	may := x.likelyLocked(&c.Key)
	if may == 0 {
		x.beginLocked(c)
	}
	return may
}

func (x *Index) newestLocked(key *[16]byte) *entry {
	if e := x.active.get(key); e != nil || x.frozen == nil {
		return e
	}
	return x.frozen.get(key)
}

// claimFromRunsLocked asks the runs, without the lock. It returns false where it has to be done
// again, because they were replaced meanwhile.
func (x *Index) claimFromRunsLocked(c *pillarbox.KeyClaim, now uint32, may likely, page []byte) bool {
	runs := x.runs
	x.mu.Unlock()
	e, found := x.search(runs, may, &c.Key, page)
	x.mu.Lock()
	if f, ok := x.flight[c.Key]; ok {
		x.meetLocked(c, f)
		return true
	}
	if newer := x.newestLocked(&c.Key); newer != nil {
		e, found = *newer, true
	} else if len(runs) != len(x.runs) || len(runs) > 0 && runs[len(runs)-1] != x.runs[len(runs)-1] {
		return false
	}
	if found && x.liveLocked(&e, now) {
		answer(c, &e)
	} else {
		x.beginLocked(c)
	}
	return true
}

// search asks the newest run first.
func (x *Index) search(runs []*run, may likely, key *[16]byte, page []byte) (entry, bool) {
	x.reading.RLock()
	defer x.reading.RUnlock()
	for i := len(runs) - 1; i >= 0; i-- {
		if !may.has(i, runs[i], key) {
			continue
		}
		e, found, err := runs[i].find(key, page)
		if err != nil && !errors.Is(err, fs.ErrClosed) {
			x.noteDamage(err)
		}
		if found {
			return e, true
		}
	}
	return entry{}, false
}

// noteDamage counts each lookup that a damaged page has left without an answer, and each page that
// a merge has left out.
func (x *Index) noteDamage(err error) {
	x.mu.Lock()
	x.damaged++
	first := x.damaged == 1
	x.mu.Unlock()
	if first { // the others are counted
		x.log.Error("idempotency keys can't be read; requests with them are new when they come again",
			telemetry.KeyErr, err)
	}
}

// answer tells what is known of a key whose event is durable.
func answer(c *pillarbox.KeyClaim, e *entry) {
	if e.fingerprint != c.Fingerprint {
		c.State = pillarbox.KeyMismatch
		return
	}
	c.State, c.Timestamp, c.RequestID = pillarbox.KeyDone, e.timestamp, formatID(e.id)
}

// meetLocked answers a claim for a key that was claimed before.
func (x *Index) meetLocked(c *pillarbox.KeyClaim, f flight) {
	switch {
	case f.fingerprint != c.Fingerprint:
		c.State = pillarbox.KeyMismatch
	case f.unknown:
		f.unknown, f.again = false, true
		x.flight[c.Key] = f
		c.State, c.Timestamp, c.RequestID = pillarbox.KeyAgain, f.timestamp, f.id
	default:
		c.State = pillarbox.KeyInFlight
	}
}

// errBehind refuses new keys while those before them can't be written.
var errBehind = fmt.Errorf("more idempotency keys wait to be written than may: %w", pillarbox.ErrFull)

// beginLocked claims a key that is new.
func (x *Index) beginLocked(c *pillarbox.KeyClaim) {
	if x.frozen != nil && x.active.len()+len(x.flight) >= 2*x.limits.table {
		c.State = pillarbox.KeyRefused
		c.Err = &pillarbox.RetryAfterError{After: time.Second, Err: errBehind}
		return
	}
	c.State = pillarbox.KeyNew
	x.flight[c.Key] = flight{fingerprint: c.Fingerprint, timestamp: c.Timestamp, id: c.RequestID}
}

// Settle implements pillarbox.Keys. That a key is stored was told by Committed before.
func (x *Index) Settle(_ context.Context, claims []pillarbox.KeyClaim) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range claims {
		c := &claims[i]
		f, ok := x.flight[c.Key]
		if !c.State.Claimed() || !ok {
			continue
		}
		switch c.Outcome {
		case pillarbox.KeyUnknown:
			x.noteUnknownLocked(c.Key, f)
		case pillarbox.KeyFree:
			if f.again {
				x.noteUnknownLocked(c.Key, f) // this append stored nothing; the one before may have
			} else {
				delete(x.flight, c.Key)
			}
		case pillarbox.KeyStored: // Committed has taken it, unless the log keeps no keys
			delete(x.flight, c.Key)
		}
	}
	return nil
}

func (x *Index) noteUnknownLocked(key [16]byte, f flight) {
	f.unknown = true
	x.flight[key] = f
	x.unknown = append(x.unknown, key)
	for len(x.unknown) > MaxUnknown {
		if x.flight[x.unknown[0]].unknown {
			delete(x.flight, x.unknown[0])
		}
		x.unknown = x.unknown[1:]
	}
}

// Key is a key with the stamp of its event, which is durable in the log.
type Key struct {
	pillarbox.Idempotency
	Timestamp pillarbox.Timestamp
	ID        [16]byte      // the request id; see ParseID
	Age       time.Duration // for how long it has been there; for events of earlier lives
}

// Committed takes keys whose events are durable now. next is the sequence number behind the last
// event of the log, those without keys included.
func (x *Index) Committed(keys []Key, next uint64) {
	now := x.now()
	x.mu.Lock()
	for i := range keys {
		delete(x.flight, keys[i].Key)
		x.active.add(entry{
			key: keys[i].Key, fingerprint: keys[i].Fingerprint, timestamp: keys[i].Timestamp, id: keys[i].ID,
			ordinal: x.count, at: now - min(now, uint32(keys[i].Age/time.Second)),
		})
		x.count++
	}
	x.next = max(x.next, next)
	due := x.dueLocked()
	x.mu.Unlock()
	if due {
		x.wake()
	}
}

func (x *Index) wake() {
	select {
	case x.kick <- struct{}{}:
	default:
	}
}

// KeyStats implements pillarbox.Keys.
func (x *Index) KeyStats() pillarbox.KeyStats {
	now := x.now()
	x.mu.Lock()
	defer x.mu.Unlock()
	stats := pillarbox.KeyStats{
		MaxKeys: int64(x.limits.maxKeys), Window: int64(x.limits.window),
		Damaged: x.damaged,
	}
	x.addHeldLocked(&stats, now)
	for _, f := range x.flight {
		if f.unknown {
			stats.Unknown++
		} else {
			stats.InFlight++
		}
	}
	if x.problem != nil {
		stats.Problem = x.problem.Error()
	}
	return stats
}

// addHeldLocked counts what is remembered; a run that is partly out of the window counts as a whole.
func (x *Index) addHeldLocked(stats *pillarbox.KeyStats, now uint32) {
	held := uint64(0)
	oldest := now
	for _, r := range x.runs {
		if r.keys > 0 && now-min(now, r.newest) <= x.limits.window {
			held += r.keys
			oldest = min(oldest, r.oldest)
		}
	}
	for _, t := range []*table{x.frozen, x.active} {
		if t != nil && t.len() > 0 {
			held += uint64(t.len())
			oldest = min(oldest, t.at(0).at)
		}
	}
	stats.Held = int64(min(held, x.limits.maxKeys))
	stats.Oldest = int64(min(now-oldest, x.limits.window))
}

// Close writes what is in memory, so that the next start reads nothing of the log, and closes the
// files. The log has ended.
func (x *Index) Close() error {
	return errors.Join(x.Cover(x.nextSeq()), x.closeRuns())
}

func (x *Index) nextSeq() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.next
}

func (x *Index) closeRuns() error {
	x.reading.Lock()
	defer x.reading.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for _, r := range x.runs {
		errs = append(errs, r.file.Close())
	}
	x.runs = nil
	return errors.Join(errs...)
}

// ParseID reads a request id that is a UUID, in either case. Nobody makes an event with a key and another
// one: see the contract of Event.Idempotency. It allocates nothing.
func ParseID(text string) (id [16]byte, ok bool) {
	if len(text) != idBytes || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return id, false
	}
	wrong := byte(0)
	for i, at := range idDigits {
		high, low := hexValues[text[at]], hexValues[text[at+1]]
		wrong |= high | low
		id[i] = high<<4 | low&15
	}
	return id, wrong < 16
}

// idBytes is the length of a UUID in its canonical form.
const idBytes = 36

// idDigits are where the bytes of a UUID stand in it.
var idDigits = [16]uint8{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// hexValues are the values of hex digits; 255 is none.
var hexValues = func() (values [256]byte) {
	for c := range values {
		values[c] = 255
	}
	for i := range byte(10) {
		values['0'+i] = i
	}
	for i := range byte(6) {
		values['a'+i], values['A'+i] = 10+i, 10+i
	}
	return values
}()

func formatID(id [16]byte) string {
	const digits = "0123456789abcdef"
	text := [idBytes]byte{8: '-', 13: '-', 18: '-', 23: '-'}
	for i, at := range idDigits {
		text[at], text[at+1] = digits[id[i]>>4], digits[id[i]&15]
	}
	return string(text[:])
}
