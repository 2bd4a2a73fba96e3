package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"sync"
	"syscall"

	"pillarbox"
	"pillarbox/internal/letterfile"
	"pillarbox/internal/vfs"
)

// Options are what Open may be told. The zero value is fine.
type Options struct {
	// Logger gets a line for each leftover that Open removes; nil discards it.
	Logger *slog.Logger
}

var _ pillarbox.DeadLetters = (*Letters)(nil)

// Letters keeps dead letters in a directory. All methods may be called concurrently; calls for one letter take
// turns. The package comment says what is promised.
type Letters struct {
	fsys  vfs.FS
	dir   string
	index *index
	// turns are taken by whoever reads or changes a letter, so that its file does not move meanwhile. Letters
	// share them by their token.
	turns [64]sync.Mutex

	// life is held for reading by every call; Close waits for them.
	life   sync.RWMutex
	closed bool // guarded by life

	mu   sync.Mutex
	days map[int32]bool // days whose directory is durable; guarded by mu
}

// Open opens the dead letters in dir, which is a path inside fsys and is made where it is missing. It reads the
// names of all files, syncs the directories and removes what a crash left behind. Errors: ErrNoSpace, ErrUnavailable.
func Open(fsys vfs.FS, dir string, options Options) (*Letters, error) {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	letters := &Letters{fsys: fsys, dir: dir, index: newIndex(), days: make(map[int32]bool)}
	if err := vfs.MkdirAll(fsys, dir); err != nil {
		return nil, fmt.Errorf("open dead letters in %s: %w", dir, kind(err))
	}
	recovery := recovery{Letters: letters, log: options.Logger, found: make(map[id][]place)}
	if err := recovery.run(); err != nil {
		return nil, fmt.Errorf("open dead letters in %s: %w", dir, kind(err))
	}
	return letters, nil
}

// kind says which of our errors an error of the file system is.
func kind(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", pillarbox.ErrNoSpace, err)
	}
	return fmt.Errorf("%w: %w", pillarbox.ErrUnavailable, err)
}

// begin lets a call in; the caller ends it with l.life.RUnlock.
func (l *Letters) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.life.RLock()
	if l.closed {
		l.life.RUnlock()
		return fmt.Errorf("dead letters in %s: %w", l.dir, pillarbox.ErrClosed)
	}
	return nil
}

func (l *Letters) turn(letter id) *sync.Mutex {
	return &l.turns[int(letter.Token.Bytes[15])%len(l.turns)]
}

// Put implements pillarbox.DeadLetters. A letter of the same event for the same destination is replaced,
// whatever its day and state. Besides the errors of the contract, ErrInvalid says that the destination can't
// stand in a file name, or that the letter can't be written as JSON and read again. ctx is looked at before the
// work starts. After another error the letter may have been kept or not; the same call may be made again.
func (l *Letters) Put(ctx context.Context, letter *pillarbox.DeadLetter) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.life.RUnlock()
	named, content, err := letterfile.Encode(letter, nil)
	if err != nil {
		return err
	}
	turn := l.turn(named)
	turn.Lock()
	defer turn.Unlock()
	if err := l.replace(named, letterfile.PlaceOf(letter.DeadAt, open), content); err != nil {
		return fmt.Errorf("put dead letter %s of %s: %w", named.Token, named.Destination, kind(err))
	}
	return nil
}

// replace makes the letter durable at the place, and then removes it from every other where it is, or where a
// call that failed may have left it. The caller has its turn.
func (l *Letters) replace(letter id, to place, content []byte) error {
	if at, known := l.index.lookup(letter); known {
		l.index.suspect(letter, at)
	}
	l.index.suspect(letter, to)
	if err := l.write(letter, to, content); err != nil {
		return err
	}
	l.index.set(letter, to)
	for _, from := range l.index.suspects(letter) {
		if from == to {
			continue
		}
		if err := l.remove(letter, from); err != nil {
			return err
		}
	}
	l.index.clear(letter)
	return nil
}

func (l *Letters) write(letter id, to place, content []byte) error {
	name := path.Join(l.dir, letterfile.Name(letter, to))
	if err := l.makeDay(to); err != nil {
		return err
	}
	err := vfs.WriteFile(l.fsys, name, content)
	if errors.Is(err, fs.ErrNotExist) { // somebody has removed the empty directory
		l.forgetDay(to)
		if err := l.makeDay(to); err != nil {
			return err
		}
		err = vfs.WriteFile(l.fsys, name, content)
	}
	return err
}

// makeDay makes the directory of the day durable, once.
func (l *Letters) makeDay(day place) error {
	l.mu.Lock()
	made := l.days[day.Day]
	l.mu.Unlock()
	if made {
		return nil
	}
	if err := vfs.MkdirAll(l.fsys, path.Join(l.dir, day.DayName())); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.days[day.Day] = true
	return nil
}

func (l *Letters) forgetDay(day place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.days, day.Day)
}

// remove removes the file durably: what comes back after a crash could win over a newer file. It may be gone,
// by a call that failed before it had synced the directory.
func (l *Letters) remove(letter id, from place) error {
	name := path.Join(l.dir, letterfile.Name(letter, from))
	if err := l.fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := l.fsys.SyncDir(path.Dir(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Get implements pillarbox.DeadLetters. Of several letters of one destination with one request id it returns
// the one that comes last in List.
func (l *Letters) Get(ctx context.Context, destination, requestID string) (*pillarbox.DeadLetter, error) {
	token := letterfile.TokenOf(requestID)
	entries := l.index.find(token, destination)
	slices.SortFunc(entries, func(a, b entry) int { return letterfile.Compare(a.id(token), a.place, b.id(token), b.place) })
	if len(entries) == 0 {
		return nil, fmt.Errorf("dead letter %q: %w", requestID, pillarbox.ErrNotFound)
	}
	for _, entry := range entries {
		if entry.destination != entries[0].destination {
			return nil, fmt.Errorf("dead letter %q is in %s and %s: %w",
				requestID, entries[0].destination.name, entry.destination.name, pillarbox.ErrConflict)
		}
	}
	return l.load(ctx, entries[len(entries)-1].id(token))
}

// load reads the letter, wherever it is now.
func (l *Letters) load(ctx context.Context, letter id) (*pillarbox.DeadLetter, error) {
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	defer l.life.RUnlock()
	turn := l.turn(letter)
	turn.Lock()
	defer turn.Unlock()
	found, _, err := l.read(letter)
	return found, err
}

// read reads the letter and says where it is. The caller has its turn.
func (l *Letters) read(letter id) (*pillarbox.DeadLetter, place, error) {
	at, known := l.index.lookup(letter)
	if !known {
		return nil, at, fmt.Errorf("dead letter %s of %s: %w", letter.Token, letter.Destination, pillarbox.ErrNotFound)
	}
	found, err := l.readAt(letter, at)
	if errors.Is(err, pillarbox.ErrNotFound) {
		l.index.forget(letter)
	}
	return found, at, err
}

func (l *Letters) readAt(letter id, at place) (*pillarbox.DeadLetter, error) {
	name := path.Join(l.dir, letterfile.Name(letter, at))
	content, err := vfs.ReadFile(l.fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("dead letter %s: %w: %w", name, pillarbox.ErrNotFound, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letter: %w", kind(err))
	}
	found, err := letterfile.Decode(content, letter, at.State)
	if err != nil {
		return nil, letterfile.Corrupt(name, err)
	}
	return found, nil
}

// Resolve implements pillarbox.DeadLetters. Besides the errors of the contract, ErrInvalid says that
// resolution.How is neither of the two ways, and ErrCorrupt that the letter can't be read. After an error the
// letter may be resolved or not; the same call may be made again.
func (l *Letters) Resolve(ctx context.Context, destination string, key pillarbox.Key, resolution pillarbox.Resolution) error {
	if resolution.How != pillarbox.ResolvedReplayed && resolution.How != pillarbox.ResolvedDiscarded {
		return fmt.Errorf("resolve dead letter as %q: %w", resolution.How, pillarbox.ErrInvalid)
	}
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.life.RUnlock()
	letter := letterfile.IDOf(destination, key)
	turn := l.turn(letter)
	turn.Lock()
	defer turn.Unlock()
	if at, known := l.index.lookup(letter); known && at.State != open && len(l.index.suspects(letter)) == 0 {
		return nil
	}
	found, at, err := l.read(letter)
	if err != nil {
		return err
	}
	if found.Resolved != nil {
		resolution = *found.Resolved // a call that failed had come so far
	}
	_, content, err := letterfile.Encode(found, &resolution)
	if err != nil {
		return err
	}
	if err := l.replace(letter, place{Day: at.Day, State: letterfile.StateOf(&resolution)}, content); err != nil {
		return fmt.Errorf("resolve dead letter %s of %s: %w", letter.Token, destination, kind(err))
	}
	return nil
}

// Count implements pillarbox.DeadLetters. It reads nothing.
func (l *Letters) Count(ctx context.Context, destination string) (pillarbox.LetterCount, error) {
	if err := l.begin(ctx); err != nil {
		return pillarbox.LetterCount{}, err
	}
	defer l.life.RUnlock()
	return l.index.count(destination), nil
}

// Close waits for running calls. Every call after it returns ErrClosed. It does not close the file system.
func (l *Letters) Close() error {
	l.life.Lock()
	defer l.life.Unlock()
	l.closed = true
	return nil
}

// Short names for what the whole package speaks of.
type (
	id    = letterfile.ID
	token = letterfile.Token
	place = letterfile.Place
	state = letterfile.State
)

const (
	open      = letterfile.Open
	replayed  = letterfile.Replayed
	discarded = letterfile.Discarded
)
