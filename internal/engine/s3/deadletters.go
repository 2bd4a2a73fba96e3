package s3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/deadletterfile"
)

// DefaultFresh is how long a listing of the bucket serves.
const DefaultFresh = 5 * time.Second

// putFresh is how old a listing may be by which Put finds older objects of its letter. One that it
// misses does not count, because it is older.
const putFresh = 10 * time.Minute

// Options are what Open may be told. The zero value is fine.
type Options struct {
	KMSKey string        // ARN of the key to encrypt with; empty for the bucket's choice
	Fresh  time.Duration // how long a listing serves; 0 is DefaultFresh
	// CountFresh is how old a listing may be that Count answers from before it asks for another; 0
	// is DefaultCountFresh.
	CountFresh time.Duration
}

// DefaultCountFresh is a minute: a bucket with many letters takes long to list, and metrics are
// asked for often.
const DefaultCountFresh = time.Minute

var _ pillarbox.DeadLetters = (*Letters)(nil)

// Letters keeps dead letters in a bucket. All methods may be called concurrently; calls for one
// letter take turns. The package comment says what is promised.
type Letters struct {
	objects objects
	fresh   time.Duration
	index   index
	// turns are taken by whoever changes a letter. Letters share them by their token.
	turns [64]sync.Mutex

	countFresh time.Duration
	relisting  atomic.Bool // a listing runs in the background
	background sync.WaitGroup
	lifetime   context.Context // of listings in the background; ended by Close
	end        context.CancelFunc

	// life is held for reading by every call; Close waits for them.
	life   sync.RWMutex
	closed bool // guarded by life
}

// Open prepares to keep letters below the prefix. It makes no request: the first call does.
func Open(client API, bucket, prefix string, options Options) (*Letters, error) {
	if bucket == "" {
		return nil, pillarbox.Invalid("dead letters in S3 need a bucket, as in s3://bucket/prefix")
	}
	l := &Letters{
		objects:    newObjects(client, bucket, prefix, options.KMSKey),
		fresh:      cmp.Or(options.Fresh, DefaultFresh),
		countFresh: cmp.Or(options.CountFresh, DefaultCountFresh),
	}
	l.lifetime, l.end = context.WithCancel(context.Background())
	return l, nil
}

// begin lets a call in; the caller ends it with l.life.RUnlock.
func (l *Letters) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.life.RLock()
	if l.closed {
		l.life.RUnlock()
		return fmt.Errorf("dead letters in %s: %w", l.objects.url(""), pillarbox.ErrClosed)
	}
	return nil
}

// take waits for the letter's turn and returns what ends it.
func (l *Letters) take(id deadletterfile.ID) (release func()) {
	turn := &l.turns[int(id.Token.Bytes[15])%len(l.turns)]
	turn.Lock()
	return turn.Unlock
}

// abreast is how many letters of one call are written at once.
const abreast = 32

// PutMany implements pillarbox.DeadLetters: each letter is an object of its own, and some are
// written at once. Besides the errors of the contract, ErrInvalid says that a letter can't be
// written as an object and read again. A letter that has failed with another error may have been
// kept or not; the same call may be made again.
func (l *Letters) PutMany(ctx context.Context, letters []*pillarbox.DeadLetter) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.life.RUnlock()
	if err := l.index.refresh(ctx, &l.objects, putFresh); err != nil {
		return fmt.Errorf("put dead letter: %w", err)
	}
	last := map[deadletterfile.ID]int{} // of two letters of one event, the later one stays
	for i, letter := range letters {
		if letter.Event != nil {
			last[deadletterfile.IDOf(letter.Destination, letter.Event.Key())] = i
		}
	}
	return each(len(letters), func(i int) error {
		if letter := letters[i]; letter.Event != nil &&
			last[deadletterfile.IDOf(letter.Destination, letter.Event.Key())] != i {
			return nil
		}
		return l.put(ctx, letters[i])
	})
}

// each calls do for the items, some at once, and returns a *pillarbox.BatchError that names those
// that failed.
func each(n int, do func(i int) error) error {
	errs := make([]error, n)
	var group sync.WaitGroup
	slots := make(chan struct{}, abreast)
	for i := range n {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			errs[i] = do(i)
		})
	}
	group.Wait()
	var failed pillarbox.BatchError
	for i, err := range errs {
		if err != nil {
			failed.Items = append(failed.Items, pillarbox.ItemError{Index: i, Err: err})
		}
	}
	if len(failed.Items) == 0 {
		return nil
	}
	return &failed
}

func (l *Letters) put(ctx context.Context, letter *pillarbox.DeadLetter) error {
	id, content, err := deadletterfile.Encode(letter, nil)
	if err != nil {
		return err
	}
	defer l.take(id)()
	return l.replace(ctx, id, deadletterfile.PlaceOf(letter.DeadAt, deadletterfile.Open), content)
}

// replace stores the letter at the place, and then deletes it from every other. The caller has its
// turn.
func (l *Letters) replace(ctx context.Context, id deadletterfile.ID, to deadletterfile.Place,
	content []byte) error {
	others := slices.DeleteFunc(l.index.lookup(id),
		func(other object) bool { return other.place == to })
	if err := l.objects.put(ctx, deadletterfile.Name(id, to), letterType, content); err != nil {
		return fmt.Errorf("put dead letter: %w", err)
	}
	written := object{place: to, modified: time.Now()}
	l.index.set(id, append([]object{written}, others...)...)
	for _, other := range others {
		if err := l.objects.remove(ctx, deadletterfile.Name(id, other.place)); err != nil {
			return fmt.Errorf("delete what a dead letter was before: %w", err)
		}
	}
	l.index.set(id, written)
	return nil
}

// Get implements pillarbox.DeadLetters. Of several letters of one destination with one request id
// it returns the one that comes last in List.
func (l *Letters) Get(ctx context.Context, destination,
	requestID string) (*pillarbox.DeadLetter, error) {
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	defer l.life.RUnlock()
	token := deadletterfile.TokenOf(requestID)
	for _, within := range []time.Duration{l.fresh, 0} { // a letter that is not there is looked for again
		if err := l.index.refresh(ctx, &l.objects, within); err != nil {
			return nil, err
		}
		found := l.index.find(&token, destination)
		if len(found) == 0 {
			continue
		}
		slices.SortFunc(found, compare)
		if other := slices.IndexFunc(found,
			func(f located) bool { return f.Destination != found[0].Destination }); other >= 0 {
			return nil, fmt.Errorf("dead letter %q is in %s and %s: %w",
				requestID, found[0].Destination, found[other].Destination, pillarbox.ErrConflict)
		}
		return l.load(ctx, found[len(found)-1].ID)
	}
	return nil, fmt.Errorf("dead letter %q: %w", requestID, pillarbox.ErrNotFound)
}

func compare(a, b located) int { return deadletterfile.Compare(a.ID, a.place, b.ID, b.place) }

// load reads the letter, wherever it is now. If it is not where it was, another process has moved
// it.
func (l *Letters) load(ctx context.Context, id deadletterfile.ID) (*pillarbox.DeadLetter, error) {
	letter, _, err := l.read(ctx, id)
	if !errors.Is(err, pillarbox.ErrNotFound) {
		return letter, err
	}
	if err := l.index.refresh(ctx, &l.objects, 0); err != nil {
		return nil, err
	}
	letter, _, err = l.read(ctx, id)
	return letter, err
}

func (l *Letters) read(ctx context.Context,
	id deadletterfile.ID) (*pillarbox.DeadLetter, deadletterfile.Place, error) {
	at := l.index.lookup(id)
	if len(at) == 0 {
		return nil, deadletterfile.Place{},
			fmt.Errorf("dead letter %s of %s: %w", id.Token, id.Destination, pillarbox.ErrNotFound)
	}
	place := at[0].place
	name := deadletterfile.Name(id, place)
	content, err := l.objects.get(ctx, name)
	if err != nil {
		return nil, place, err
	}
	letter, err := deadletterfile.Decode(content, id, place.State)
	if err != nil {
		return nil, place, deadletterfile.Corrupt(l.objects.url(name), err)
	}
	return letter, place, nil
}

// ResolveMany implements pillarbox.DeadLetters; some letters are resolved at once. Besides the
// errors of the contract, ErrInvalid says that resolution.How is neither of the two ways. A letter
// that has failed may be resolved or not; the same call may be made again.
func (l *Letters) ResolveMany(ctx context.Context, letters []pillarbox.DeadLetterKey,
	resolution pillarbox.Resolution) error {
	if resolution.How != pillarbox.ResolvedReplayed && resolution.How != pillarbox.ResolvedDiscarded {
		return pillarbox.Invalid("resolve dead letters as %q", resolution.How)
	}
	if err := l.begin(ctx); err != nil {
		return err
	}
	defer l.life.RUnlock()
	if err := l.index.refresh(ctx, &l.objects, l.fresh); err != nil {
		return err
	}
	return each(len(letters), func(i int) error {
		return l.resolve(ctx, deadletterfile.IDOf(letters[i].Destination, letters[i].Key), resolution)
	})
}

func (l *Letters) resolve(ctx context.Context, id deadletterfile.ID,
	resolution pillarbox.Resolution) error {
	defer l.take(id)()
	if at := l.index.lookup(id); len(at) == 1 && at[0].place.State != deadletterfile.Open {
		return nil
	}
	letter, err := l.load(ctx, id)
	if err != nil {
		return err
	}
	if letter.Resolved != nil {
		resolution = *letter.Resolved // a call that failed had come so far
	}
	_, content, err := deadletterfile.Encode(letter, &resolution)
	if err != nil {
		return err
	}
	return l.replace(ctx, id, deadletterfile.PlaceOf(letter.DeadAt,
		deadletterfile.StateOf(&resolution)), content)
}

// Count implements pillarbox.DeadLetters. It reads no letter, and after the first call it waits for
// no listing: what others have changed is counted within a minute (Options.CountFresh), what is
// changed here at once.
func (l *Letters) Count(ctx context.Context,
	destination string) (pillarbox.DeadLetterCount, error) {
	if err := l.begin(ctx); err != nil {
		return pillarbox.DeadLetterCount{}, err
	}
	defer l.life.RUnlock()
	switch age, listed := l.index.age(); {
	case !listed:
		if err := l.index.refresh(ctx, &l.objects, l.fresh); err != nil {
			return pillarbox.DeadLetterCount{}, err
		}
	case age >= l.countFresh:
		l.relist()
	}
	return l.index.count(destination), nil
}

// relist lists the bucket behind the caller's back, unless that is being done. A listing that fails
// is tried again by a later Count.
func (l *Letters) relist() {
	if !l.relisting.CompareAndSwap(false, true) {
		return
	}
	l.background.Go(func() {
		defer l.relisting.Store(false)
		_ = l.index.refresh(l.lifetime, &l.objects, l.countFresh)
	})
}

// Close waits for running calls. Every call after it returns ErrClosed.
func (l *Letters) Close() error {
	l.end()
	l.life.Lock()
	defer l.life.Unlock()
	l.closed = true
	l.background.Wait()
	return nil
}
