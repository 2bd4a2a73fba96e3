// Package quarantine keeps requests apart whose signature fails, until a person decides about them:
// each is a file, durable before its sender is answered, and delivered to nobody.
//
// It promises that what Put has returned nil for survives a power cut, that nobody can fill the disk
// with it (Limits), and that what proves who has signed a request (its headers and its raw body, with
// whatever secrets are in them) stands in no file in the clear: it is sealed with AES-256-GCM, by a
// key that is in a file of its own. That keeps secrets out of greps, copies of single files and lists;
// whoever can read the whole directory has the key too, unless whole files are sealed (package atrest). It does not promise that what was expired,
// discarded or released is gone from blocks of the disk that were freed.
//
// The package verifies nothing, and knows neither a source nor a queue.
package quarantine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

// Directory is where the requests are, below the data directory.
const Directory = "quarantine"

// The limits where nothing else is said.
const (
	DefaultMaxBytes   = 256 << 20           // of files
	DefaultMaxEntries = 10_000              // requests; each takes a file, and some 100 bytes of memory
	DefaultMaxAge     = 14 * 24 * time.Hour // as long as an event may wait in the queue
)

const (
	// MaxFileBytes is the largest file that is read, in bytes: a body of 16 MiB, kept twice and in
	// base64, with its header.
	MaxFileBytes = 128 << 20

	// abreast is how many requests are written at a time: it bounds the memory for their files, and what
	// a forger can make the disk do beside the queue.
	abreast = 4

	// sweepEvery is how often it is looked for what is too old.
	sweepEvery = time.Minute

	// leastFree and freeShare are what is left free of the disk: the smaller of so many bytes and that
	// part of it. It is twice what the queue leaves, so that events are accepted when nothing is kept
	// here any more.
	leastFree = 128 << 20
	freeShare = 8
)

// Limits bound a Store. Zero means the default.
type Limits struct {
	MaxBytes   int64         // of files
	MaxEntries int           // requests
	MaxAge     time.Duration // after which a request is deleted
}

func (l Limits) withDefaults() Limits {
	return Limits{cmp.Or(l.MaxBytes, DefaultMaxBytes), cmp.Or(l.MaxEntries, DefaultMaxEntries),
		cmp.Or(l.MaxAge, DefaultMaxAge)}
}

// Options of a Store. The zero value is ready.
type Options struct {
	Limits
	Elapsed func() time.Duration // that ages are measured on, of a clock that no one sets, over all lives; default: of this process
	Timeout time.Duration        // after which a disk that has not answered leaves an outcome unknown; 0 waits for it
	Logger  *slog.Logger         // default: discard
	AtRest  *atrest.Keys         // seals whole files, and opens sealed ones; nil: neither
}

// Stats is the state of a Store, with counts since the process began.
type Stats struct {
	Entries int
	Bytes   int64 // of files

	Kept, Released, Forced, Discarded, Expired, Full uint64
}

// Outcome is what became of a request in quarantine.
type Outcome int

// The outcomes.
const (
	Released  Outcome = iota + 1 // accepted, because its signature proves it now
	Forced                       // accepted, because a person says so
	Discarded                    // deleted by a person
	expired                      // deleted for its age
)

// Store is the requests of a data directory. All methods may be called concurrently.
type Store struct {
	fsys    vfs.FS
	elapsed func() time.Duration
	timeout time.Duration
	logger  *slog.Logger
	atRest  *atrest.Keys
	slots   chan struct{} // of writers
	closing sync.Once

	mu       sync.Mutex // guards the rest
	limits   Limits
	entries  []item // in the order of ids, which is that of time
	reserved int    // entries that are being written
	stats    Stats  // Bytes has those that are being written too
	deciding map[string]bool
	closed   bool

	making sync.Mutex // held while the directory and the key are looked for
	seals  *seals     // nil until something is to be sealed or unsealed. Guarded by making
}

// item is one request of the index.
type item struct {
	id    string
	bytes int64
}

// began is the moment from which the system's clock counts here.
var began = time.Now()

// Open lists what is there, and reads nothing of it. What a life has left half-written, which nobody was
// answered for, is removed. Where there is no directory, none is made. Errors: those of the disk.
func Open(fsys vfs.FS, opts Options) (*Store, error) {
	s := &Store{fsys: fsys, elapsed: opts.Elapsed, timeout: opts.Timeout, logger: opts.Logger, atRest: opts.AtRest,
		limits: opts.Limits.withDefaults(), slots: make(chan struct{}, abreast), deciding: map[string]bool{}}
	if s.elapsed == nil {
		s.elapsed = func() time.Duration { return time.Since(began) }
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	found, err := fsys.ReadDir(Directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the quarantine: %w", err)
	}
	for _, e := range found {
		id, isEntry := strings.CutSuffix(e.Name, suffix)
		switch {
		case isEntry && !e.Dir && validID(id):
			s.insert(item{id, e.Size})
		case vfs.IsTemp(e.Name):
			if err := fsys.Remove(path.Join(Directory, e.Name)); err != nil {
				s.logger.Warn("remove what was not written to its end", telemetry.KeyFile, e.Name, telemetry.KeyErr, err)
			}
		}
	}
	return s, nil
}

const suffix = ".json"

func nameOf(id string) string { return path.Join(Directory, id+suffix) }

// validID reports whether a request id can be the name of a file: those that ingest gives can.
func validID(id string) bool {
	for _, c := range []byte(id) {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
		if !plain {
			return false
		}
	}
	return id != "" && len(id) <= 128
}

// SetLimits changes the limits from now on. What is over them stays, until it is too old.
func (s *Store) SetLimits(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l.withDefaults()
}

// Stats costs no scan.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Entries = len(s.entries)
	return stats
}

// HasRoom reports whether one more may fit, for whoever wants to know before it has a request whole.
func (s *Store) HasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roomFor(1)
}

func (s *Store) roomFor(bytes int64) bool {
	return !s.closed && len(s.entries)+s.reserved < s.limits.MaxEntries && s.stats.Bytes+bytes <= s.limits.MaxBytes
}

// CountFull counts a request that was refused because there is no room.
func (s *Store) CountFull() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Full++
}

// errFull is of a limit here, or of the disk.
var errFull = fmt.Errorf("the quarantine has no room: %w", pillarbox.ErrFull)

// errSlow is of a request that was not begun to be written.
var errSlow = fmt.Errorf("the quarantine is written to, and the disk does not answer: %w", pillarbox.ErrUnavailable)

// Put keeps a request, and returns when it is durable. It keeps nothing of what it was given. Errors:
// ErrFull, where a limit is reached or the disk has little left; ErrUnavailable, and with it
// ErrUnknown where the request may be kept: it may surface after any error that is not ErrFull.
func (s *Store) Put(ctx context.Context, event *pillarbox.Event, reason string, raw *Raw) error {
	if !validID(event.RequestID) {
		return pillarbox.Invalid("the request id %q can't be the name of a file", event.RequestID)
	}
	if !s.HasRoom() {
		return errFull
	}
	if err := s.takeSlot(ctx); err != nil {
		return err
	}
	done := make(chan error, 1)
	text, err := s.encode(event, reason, raw)
	if err == nil && len(text) > MaxFileBytes {
		err = errFull
	}
	if err == nil {
		err = s.reserve(int64(len(text)))
	}
	if err != nil {
		<-s.slots
		return err
	}
	go func() { // ends with the disk's answer; Close waits for it
		defer func() { <-s.slots }()
		done <- s.write(event.RequestID, text)
	}()
	wait, stop := s.timer()
	defer stop()
	select {
	case err := <-done:
		return err
	case <-wait:
		return fmt.Errorf("the disk has not answered: %w: %w", pillarbox.ErrUnknown, pillarbox.ErrUnavailable)
	}
}

// timer fires when the disk has had its time; never where it has all.
func (s *Store) timer() (fires <-chan time.Time, stop func()) {
	if s.timeout <= 0 {
		return nil, func() {}
	}
	timer := time.NewTimer(s.timeout)
	return timer.C, func() { timer.Stop() }
}

func (s *Store) takeSlot(ctx context.Context) error {
	wait, stop := s.timer()
	defer stop()
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-wait:
		return errSlow
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reserve takes room for a file, so that no two writers take the same.
func (s *Store) reserve(bytes int64) error {
	usage, err := s.fsys.Usage()
	if err != nil {
		return unavailable(err)
	}
	if usage.Total > 0 && usage.Free-bytes < min(leastFree, usage.Total/freeShare) {
		return errFull
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.roomFor(bytes) {
		return errFull
	}
	s.reserved++
	s.stats.Bytes += bytes
	return nil
}

// write makes a file durable, and lists it.
func (s *Store) write(id string, text []byte) error {
	err := s.writeFile(id, text)
	if err != nil {
		_ = s.fsys.Remove(nameOf(id)) // it may have its name already; where it can't be removed, a later life lists it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserved--
	if err != nil {
		s.stats.Bytes -= int64(len(text))
		return unavailable(err)
	}
	s.stats.Bytes -= int64(len(text)) // insert adds it
	s.insert(item{id, int64(len(text))})
	s.stats.Kept++
	return nil
}

func (s *Store) writeFile(id string, text []byte) error {
	if err := vfs.WriteFile(s.fsys, nameOf(id), text); err != nil {
		return fmt.Errorf("write into the quarantine: %w", err)
	}
	return nil
}

// insert lists a request. The caller holds mu, or is alone.
func (s *Store) insert(new item) {
	at, _ := s.find(new.id)
	s.entries = slices.Insert(s.entries, at, new)
	s.stats.Bytes += new.bytes
}

// find is where a request is, or would be. The caller holds mu.
func (s *Store) find(id string) (at int, found bool) {
	return slices.BinarySearchFunc(s.entries, id, func(e item, id string) int { return strings.Compare(e.id, id) })
}

// unavailable gives an error of the disk its kind. One that is full is as a limit that is reached.
func unavailable(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", errFull, err)
	}
	return fmt.Errorf("%w: %w", err, pillarbox.ErrUnavailable)
}

// Run deletes what is too old, once a minute, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		s.Expire(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Expire deletes what is too old now, and tells how much that was. It reads the oldest that is not,
// and nothing behind it. What can't be read stays, for a person.
func (s *Store) Expire(ctx context.Context) (deleted int) {
	s.mu.Lock()
	all, maxAge := slices.Clone(s.entries), s.limits.MaxAge
	s.mu.Unlock()
	now := s.elapsed()
	for _, e := range all {
		if ctx.Err() != nil {
			break
		}
		entry, err := s.read(e.id)
		if err != nil {
			continue
		}
		if entry.age(now) < maxAge {
			break
		}
		release, err := s.claim(e.id)
		if err != nil {
			continue
		}
		err = s.remove(e.id, expired)
		release()
		if err != nil {
			s.logger.Warn("delete what is too old from the quarantine", telemetry.KeyErr, err)
			break
		}
		deleted++
	}
	if deleted > 0 {
		s.logger.Warn("requests in quarantine were deleted, because nobody has decided about them in time",
			telemetry.KeyRequests, deleted, telemetry.KeyAfter, maxAge)
	}
	return deleted
}

// Close waits for what is being written. Nothing is kept or decided from then on. It is safe to call
// twice.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.closing.Do(func() {
		for range abreast {
			s.slots <- struct{}{}
		}
	})
	return nil
}
