package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/deadletterfile"
	"pillarbox/internal/vfs"
)

// Options are what Open may be told. The zero value is fine.
type Options struct {
	// Logger gets a line for what was put in order and for what can't be; nil discards it.
	Logger     *slog.Logger
	AtRest     *atrest.Keys // seals letters and what is known of them, and opens sealed ones; nil: neither
	MaxBacklog int64        // of bytes of letters that wait for their files; 0 is DefaultMaxBacklog
	// Unmaintained leaves the maintenance to the caller, who calls Maintain: the letters then do
	// nothing by themselves, and the same calls lead to the same operations.
	Unmaintained bool
}

// DefaultMaxBacklog is how many bytes of letters may wait for their files. Who puts more waits for
// the files.
const DefaultMaxBacklog = 256 << 20

var _ pillarbox.DeadLetters = (*Letters)(nil)

// Letters keeps dead letters in a directory. All methods may be called concurrently. The package
// comment says what is promised.
type Letters struct {
	fsys  vfs.FS
	dir   string
	log   *slog.Logger
	index *index

	atRest *atrest.Keys
	sealed bool // what is in the directory may be

	maxBacklog int64
	untended   bool

	// life is held for reading by every call; Close waits for them.
	life   sync.RWMutex
	closed bool // guarded by life

	// writing is held by who changes letters, from looking at them to the answer. It guards journal
	// and suspects.
	writing sync.Mutex
	journal journal
	// suspects are where a change that the index did not take may have left a file: the next change
	// removes it.
	suspects map[id][]place

	// filing is held by who changes files of letters. It guards days.
	filing sync.Mutex
	days   map[int32]bool // whose directory is durable
	mark   mark

	mu       sync.Mutex // guards what follows; taken last
	journals []found    // that exist, oldest first, and how far each is to be filed
	current  uint64     // the journal that may still grow; 0 where none may
	filed    position   // all letters before it have their files
	moved    chan struct{}
	problem  error // why the last try to file has failed
	told     time.Time
	putAt    time.Time           // when letters were put or resolved last
	checked  map[int32]time.Time // days whose index agreed with the directory, as it was changed then

	wake  chan struct{} // there is something to file
	stop  context.CancelFunc
	tends sync.WaitGroup
}

// Open opens the dead letters in dir, which is a path inside fsys and is made where it is missing.
// It reads the index, and no letter, except once where there is no index. Letters that were durable
// and have no file yet are listed, and their files follow. Errors: ErrNoSpace, ErrUnavailable;
// ErrInvalid where journals or index were written in a newer format, and then nothing is changed.
func Open(fsys vfs.FS, dir string, options Options) (*Letters, error) {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Letters{
		fsys: fsys, dir: dir, log: options.Logger, atRest: options.AtRest,
		maxBacklog: cmp.Or(options.MaxBacklog, DefaultMaxBacklog), untended: options.Unmaintained,
		days: map[int32]bool{}, suspects: map[id][]place{},
		moved: make(chan struct{}), checked: map[int32]time.Time{}, wake: make(chan struct{}, 1),
		stop: func() {},
	}
	if err := l.recover(); err != nil {
		if l.index != nil {
			err = errors.Join(err, l.index.close())
		}
		return nil, fmt.Errorf("open dead letters in %s: %w", dir, kindOf(err))
	}
	if !options.Unmaintained {
		ctx, stop := context.WithCancel(context.Background())
		l.stop = stop
		l.tends.Go(func() { l.file(ctx) })
		l.tends.Go(func() { l.watch(ctx) })
	}
	return l, nil
}

// PutMany implements pillarbox.DeadLetters. A letter of the same event for the same destination is
// replaced, whatever its day and state. ErrInvalid says that the destination can't stand in a file
// name, or that the letter can't be written as JSON and read again. ctx is looked at before the
// work starts.
func (l *Letters) PutMany(ctx context.Context, letters []*pillarbox.DeadLetter) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.life.RUnlock()
	var group group
	for i, done := range l.encodeAll(letters) {
		if done.err != nil {
			group.refuse(i, done.err)
			continue
		}
		entry := entry{letter: done.named, to: deadletterfile.PlaceOf(letters[i].DeadAt, open),
			content: done.content}
		group.add(entry, rowOf(letters[i], done.named, open, int64(len(done.content))))
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	for i := range group.entries {
		before, known, err := l.index.lookup(group.entries[i].letter)
		if err != nil {
			return fmt.Errorf("put dead letters: %w", kindOf(err))
		}
		if known {
			group.entries[i].from = []place{before.place()}
		}
	}
	if err := l.record(ctx, &group); err != nil {
		return fmt.Errorf("put dead letters: %w", err)
	}
	return group.err()
}

// encoded is a letter as the content of its file.
type encoded struct {
	named   id
	content []byte
	err     error
}

// encodeAll encodes the letters on all processors: it is most of the work of a group.
func (l *Letters) encodeAll(letters []*pillarbox.DeadLetter) []encoded {
	all := make([]encoded, len(letters))
	workers := min(len(letters), runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := worker; i < len(letters); i += workers {
				all[i].named, all[i].content, all[i].err = l.encode(letters[i], nil)
			}
		})
	}
	group.Wait()
	return all
}

// Get implements pillarbox.DeadLetters. Of several letters of one destination with one request id
// it returns the one that comes last in List.
func (l *Letters) Get(ctx context.Context, destination,
	requestID string) (*pillarbox.DeadLetter, error) {
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	defer l.life.RUnlock()
	letters, err := l.index.find(deadletterfile.TokenOf(requestID), destination)
	if err != nil {
		return nil, fmt.Errorf("dead letter %q: %w", requestID, kindOf(err))
	}
	letters = slices.DeleteFunc(letters, func(letter located) bool { return letter.kind != rowLive })
	if len(letters) == 0 {
		return nil, fmt.Errorf("dead letter %q: %w", requestID, pillarbox.ErrNotFound)
	}
	slices.SortFunc(letters, func(a, b located) int {
		return deadletterfile.Compare(a.letter, a.place(), b.letter, b.place())
	})
	for _, other := range letters {
		if other.letter.Destination != letters[0].letter.Destination {
			return nil, fmt.Errorf("dead letter %q is in %s and %s: %w",
				requestID, letters[0].letter.Destination, other.letter.Destination, pillarbox.ErrConflict)
		}
	}
	found, _, err := l.load(letters[len(letters)-1].letter)
	return found, err
}

// ResolveMany implements pillarbox.DeadLetters. Besides the errors of the contract, ErrInvalid says
// that resolution.How is neither of the two ways.
func (l *Letters) ResolveMany(ctx context.Context, letters []pillarbox.DeadLetterKey,
	resolution pillarbox.Resolution) error {
	if resolution.How != pillarbox.ResolvedReplayed && resolution.How != pillarbox.ResolvedDiscarded {
		return pillarbox.Invalid("resolve dead letters as %q", resolution.How)
	}
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.life.RUnlock()
	l.writing.Lock()
	defer l.writing.Unlock()
	var group group
	for i, letter := range letters {
		if err := l.resolve(&group, deadletterfile.IDOf(letter.Destination, letter.Key),
			resolution); err != nil {
			group.refuse(i, err)
		}
	}
	if err := l.record(ctx, &group); err != nil {
		return fmt.Errorf("resolve dead letters: %w", err)
	}
	return group.err()
}

// resolve adds the resolution of one letter to the group. One that is resolved stays as it is.
func (l *Letters) resolve(g *group, letter id, resolution pillarbox.Resolution) error {
	at, known, err := l.index.lookup(letter)
	if err != nil {
		return fmt.Errorf("resolve dead letter: %w", kindOf(err))
	}
	if known && at.kind == rowLive && at.state != open && len(l.suspects[letter]) == 0 {
		return nil
	}
	found, at, err := l.load(letter)
	if err != nil {
		return err
	}
	if found.Resolved != nil {
		resolution = *found.Resolved // a call that failed had come so far
	}
	_, content, err := l.encode(found, &resolution)
	if err != nil {
		return err
	}
	to := place{Day: at.day, State: deadletterfile.StateOf(&resolution)}
	g.add(entry{letter: letter, to: to, from: []place{at.place()}, content: content},
		rowOf(found, letter, to.State, int64(len(content))))
	return nil
}

// record makes the changes durable with one group in the journal, and then lists them. The caller
// holds writing.
func (l *Letters) record(ctx context.Context, g *group) error {
	if len(g.entries) == 0 {
		return nil
	}
	if err := l.room(ctx); err != nil {
		return err
	}
	for i := range g.entries {
		one := &g.entries[i]
		one.from = append(one.from, l.suspects[one.letter]...)
		one.from = slices.DeleteFunc(one.from, func(from place) bool { return from == one.to })
	}
	at, lengths, err := l.journal.append(g.entries)
	if err != nil {
		l.publish() // the file that failed is to be removed in its turn
		return kindOf(err)
	}
	changes := make([]change, len(g.rows))
	for i := range g.rows {
		g.rows[i].at, g.rows[i].length = at[i], lengths[i]
		changes[i] = change{day: g.entries[i].to.Day, row: g.rows[i]}
	}
	err = l.index.apply(changes)
	for _, one := range g.entries {
		if err != nil {
			l.suspects[one.letter] = append(l.suspects[one.letter], one.to)
		} else {
			delete(l.suspects, one.letter)
		}
	}
	l.publish()
	if err != nil {
		return kindOf(err)
	}
	return nil
}

// Count implements pillarbox.DeadLetters. It reads nothing. The numbers are those of one moment:
// all letters of a PutMany or a ResolveMany change them at once, before it returns.
func (l *Letters) Count(ctx context.Context,
	destination string) (pillarbox.DeadLetterCount, error) {
	if err := l.begin(ctx); err != nil {
		return pillarbox.DeadLetterCount{}, err
	}
	defer l.life.RUnlock()
	return l.index.count(destination), nil
}

// Close waits for running calls, and then for the files of all letters. An error says that some
// have no file yet: they are durable, and the next Open makes them. Every call after it returns
// ErrClosed. It does not close the file system.
func (l *Letters) Close() error {
	l.life.Lock()
	defer l.life.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.stop()
	l.tends.Wait()
	l.mu.Lock()
	l.current = 0
	l.mu.Unlock()
	err := errors.Join(l.journal.give(), l.fileAll(), l.index.sync(), l.mark.close(), l.index.close())
	if err != nil {
		return fmt.Errorf("close dead letters in %s: %w", l.dir, kindOf(err))
	}
	return nil
}
