package atrest

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/vfs"
)

const (
	// DefaultRotation is for how long a data key is used for new boxes.
	DefaultRotation = 24 * time.Hour

	// rotateEvery is how often Run looks whether another data key is due.
	rotateEvery = time.Minute
	// unwrapAtOnce is how many data keys are unwrapped at a time.
	unwrapAtOnce = 8
	// callTimeout bounds one call to a key service.
	callTimeout = 30 * time.Second
)

// Options of Keys.
type Options struct {
	Key      KeyEncryption   // wraps new data keys; nil: nothing is sealed, and what is sealed can be read
	OldKeys  []KeyEncryption // unwrap, too
	Rotation time.Duration   // for how long a data key is used for new boxes; default DefaultRotation
	ReadOnly bool            // nothing is written: a missing copy is not made anew, and no key is made
	Now      func() time.Time
	Logger   *slog.Logger // default: discard
}

// Keys are the data keys of a data directory. All methods may be called concurrently, and on nil.
type Keys struct {
	fsys vfs.FS
	opts Options

	openers openers
	sealer  atomic.Pointer[sealer] // for new boxes, nil where nothing is sealed

	mu      sync.Mutex // guards the rest; a service is never asked with it held
	keys    map[ID]*[keyBytes]byte
	files   []*dataKeyFile // oldest first; their content does not change
	problem error          // why no new data key can be made
	failed  uint64

	rewrapped int // by Open
}

// Stats is the state of Keys.
type Stats struct {
	DataKeys  int                 // at hand
	Created   pillarbox.Timestamp // of the one that seals; zero where nothing is sealed
	Rewrapped int                 // by Open
	Failed    uint64              // how often a data key that was due could not be made, since the process began
	Problem   string              // of the last time, empty when it succeeded
}

// DataKey describes a data key.
type DataKey struct {
	ID        ID                  `json:"id"`
	Created   pillarbox.Timestamp `json:"created"`
	WrappedBy string              `json:"wrapped_by"`
	Current   bool                `json:"current,omitempty"` // seals what is new
}

// Open unwraps the data keys of a data directory, and makes one where none may be used for new boxes.
// Those that another key than opts.Key wraps are wrapped by it. The caller makes sure that no other
// process opens the directory otherwise than with ReadOnly.
//
// Errors: ErrInvalid where a data key is wrapped by a key that is not configured; ErrCorrupt where one
// can't be read; ErrUnavailable of the disk or of a key service.
func Open(ctx context.Context, fsys vfs.FS, opts Options) (*Keys, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Rotation = cmp.Or(opts.Rotation, DefaultRotation)
	k := &Keys{fsys: fsys, opts: opts, keys: map[ID]*[keyBytes]byte{}}
	all, mend, err := readFiles(fsys)
	if err != nil {
		return nil, err
	}
	if err := k.unwrapAll(ctx, all); err != nil {
		return nil, err
	}
	k.files = all
	if opts.ReadOnly {
		return k, nil
	}
	for _, one := range mend {
		if err := one.write(fsys); err != nil {
			return nil, err
		}
		opts.Logger.Warn("a copy of a data key was missing or damaged, and was made anew", telemetry.KeyFile, fileName(one.ID, 0))
	}
	if opts.Key == nil {
		return k, nil
	}
	if err := k.rewrap(ctx); err != nil {
		return nil, err
	}
	return k, k.seal(ctx)
}

// unwrapAll asks for each data key, some at a time.
func (k *Keys) unwrapAll(ctx context.Context, all []*dataKeyFile) error {
	known := slices.Concat(slices.DeleteFunc([]KeyEncryption{k.opts.Key}, func(key KeyEncryption) bool { return key == nil }), k.opts.OldKeys)
	errs := make([]error, len(all))
	slots := make(chan struct{}, unwrapAtOnce)
	var running sync.WaitGroup
	for i, one := range all {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			key, err := unwrap(ctx, one, known)
			if errs[i] = err; err == nil {
				k.mu.Lock()
				k.keys[one.ID] = key
				k.mu.Unlock()
			}
		})
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return err // one is enough to say what to do
		}
	}
	return nil
}

// seal begins to seal with a data key that is not too old, or with a new one.
func (k *Keys) seal(ctx context.Context) error {
	k.mu.Lock()
	files := k.files
	k.mu.Unlock()
	for _, one := range slices.Backward(files) {
		// One that a clock has dated into the future is none to go by.
		if age := k.opts.Now().Sub(one.Created.Time()); age >= 0 && age < k.opts.Rotation {
			if now := k.sealer.Load(); now != nil && now.id == one.ID {
				return nil
			}
			return k.use(one.ID)
		}
	}
	return k.rotate(ctx)
}

// use makes a data key the one that seals.
func (k *Keys) use(id ID) error {
	next, err := newSealer(id, k.key(id))
	if err == nil {
		k.sealer.Store(next)
	}
	return err
}

// rotate makes a data key, durable before it seals anything.
func (k *Keys) rotate(ctx context.Context) error {
	one := &dataKeyFile{Created: pillarbox.TimestampOf(k.opts.Now())}
	var key [keyBytes]byte
	_, _ = rand.Read(one.ID[:]) // never fails, by its documentation
	_, _ = rand.Read(key[:])
	if err := k.wrap(ctx, one, &key); err != nil {
		return err
	}
	k.mu.Lock()
	k.keys[one.ID], k.files = &key, append(slices.Clone(k.files), one)
	k.mu.Unlock()
	return k.use(one.ID)
}

func (k *Keys) key(id ID) *[keyBytes]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys[id]
}

// Seals reports whether Seal seals.
func (k *Keys) Seals() bool { return k != nil && k.sealer.Load() != nil }

// Renew makes nonces begin anew, with a derived key of their own. Whoever begins a file may call it.
func (k *Keys) Renew() error {
	if !k.Seals() {
		return nil
	}
	return k.use(k.sealer.Load().id)
}

// Seal appends a box with plain to dst. It may be called only where Seals is true.
func (k *Keys) Seal(dst, plain []byte, purpose Purpose) ([]byte, error) {
	for {
		if k == nil || k.sealer.Load() == nil {
			return dst, errNoKeyEncryption
		}
		with := k.sealer.Load()
		if box, ok := with.seal(dst, plain, purpose); ok {
			return box, nil
		}
		if err := k.use(with.id); err != nil {
			return dst, err
		}
	}
}

// Open appends to dst what is in a box. Errors: *NoKeyError; ErrCorrupt where the box was changed, or
// sealed for another purpose.
func (k *Keys) Open(dst, box []byte, purpose Purpose) ([]byte, error) {
	if k == nil {
		if len(box) < Overhead {
			return dst, fmt.Errorf("a sealed %s of %d bytes is cut short: %w", purpose, len(box), pillarbox.ErrCorrupt)
		}
		return dst, &NoKeyError{ID(box[:idBytes])}
	}
	return k.openers.open(dst, box, purpose, k.key)
}

// OpenInPlace is Open into the box itself, which is no box any more then.
func (k *Keys) OpenInPlace(box []byte, purpose Purpose) ([]byte, error) {
	if len(box) < Overhead {
		return k.Open(nil, box, purpose) // which says what is wrong
	}
	return k.Open(box[idBytes+nonceBytes:][:0], box, purpose)
}

// rewrap wraps by opts.Key what another key has wrapped. What is sealed stays as it is. After an error
// those that are left are as they were.
func (k *Keys) rewrap(ctx context.Context) error {
	for i, one := range k.files {
		if one.WrappedBy == k.opts.Key.Name() {
			continue
		}
		again := *one
		if err := k.wrap(ctx, &again, k.keys[one.ID]); err != nil {
			return err
		}
		k.files[i] = &again
		k.rewrapped++
	}
	if k.rewrapped > 0 {
		k.opts.Logger.Info("data keys are wrapped by another key", telemetry.KeyDataKeys, k.rewrapped,
			telemetry.KeyWrappedBy, k.opts.Key.Name())
	}
	return nil
}

// wrap has a data key wrapped by opts.Key, and makes it durable.
func (k *Keys) wrap(ctx context.Context, one *dataKeyFile, key *[keyBytes]byte) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	one.WrappedBy = k.opts.Key.Name()
	if one.Wrapped, err = k.opts.Key.Wrap(ctx, key[:]); err != nil {
		return fmt.Errorf("wrap the data key %s with %s: %w", one.ID, one.WrappedBy, err)
	}
	return one.write(k.fsys)
}

// ListFiles describes the data keys of a data directory, oldest first, without a key that opens them.
// Errors: those of Open that are not of a key.
func ListFiles(fsys vfs.FS) ([]DataKey, error) {
	all, _, err := readFiles(fsys)
	list := []DataKey{}
	for _, one := range all {
		list = append(list, DataKey{ID: one.ID, Created: one.Created, WrappedBy: one.WrappedBy})
	}
	return list, err
}

// List describes the data keys, oldest first.
func (k *Keys) List() []DataKey {
	list := []DataKey{}
	if k == nil {
		return list
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.sealer.Load()
	for _, one := range k.files {
		list = append(list, DataKey{one.ID, one.Created, one.WrappedBy, now != nil && now.id == one.ID})
	}
	return list
}

// Stats returns the state.
func (k *Keys) Stats() (stats Stats) {
	for _, one := range k.List() {
		if stats.DataKeys++; one.Current {
			stats.Created = one.Created
		}
	}
	if k != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		stats.Failed, stats.Rewrapped = k.failed, k.rewrapped
		if k.problem != nil {
			stats.Problem = k.problem.Error()
		}
	}
	return stats
}

// Run makes data keys when they are due, until ctx ends.
func (k *Keys) Run(ctx context.Context) error {
	if !k.Seals() {
		return nil
	}
	ticker := time.NewTicker(rotateEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			k.RotateIfDue(ctx)
		}
	}
}

// RotateIfDue makes a data key where another one is due. While that fails, the one at hand is used on.
func (k *Keys) RotateIfDue(ctx context.Context) {
	err := k.seal(ctx)
	if ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil:
		if k.failed++; k.problem == nil {
			k.opts.Logger.Warn("no new data key could be made; the one at hand is used on",
				telemetry.KeyErr, err)
		}
	case k.problem != nil:
		k.opts.Logger.Info("data keys can be made again")
	}
	k.problem = err
}
