package parquet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// Bucket is a part of a bucket of objects, as a store uses it. Several may write to it; an object is
// there as a whole or not at all, and durable once a call has returned nil.
type Bucket interface {
	// Files are the objects, and unfinished files on this machine, whose names end in vfs.TempSuffix: to
	// rename one of those is to upload it. Calls end with ctx.
	Files(ctx context.Context) vfs.FS
	// Read returns an object and its version, or no content where known is still the version; an empty
	// known is none. Errors: ErrNotFound, ErrUnavailable.
	Read(ctx context.Context, name, known string) (content []byte, version string, err error)
	// Replace puts an object in the place of that version, or where nothing is if known is empty. Errors:
	// ErrConflict where somebody else has written meanwhile, or an earlier try of the same call has,
	// ErrUnavailable.
	Replace(ctx context.Context, name string, content []byte, known string) (version string, err error)
	// URL names it, without parameters.
	URL() string
	Close() error
}

// errTaken says that somebody else has opened the place for writing later.
var errTaken = errors.New("another pillarbox has opened it since, and this one writes nothing more there: end one of them, " +
	"or give each a prefix of its own; this one goes on once the other was stopped in order, or when it is started again")

// OpenBucket makes a store in a part of a bucket. open is called when it is used first, and again after
// it has failed; url names the place for errors. Who opens it last writes: others are told that it is
// taken, with ErrUnavailable, and try to take it back only once it is free.
func OpenBucket(url string, open func() (Bucket, error), options Options) *Store {
	return openStore(url, options, func() (attached, error) {
		bucket, err := open()
		if err != nil {
			return attached{}, err
		}
		return attached{open: true, in: bucket.Files, path: bucket.URL(), current: &objectManifest{bucket: bucket}, shared: true,
			check: func() error { return nil }, close: bucket.Close}, nil
	})
}

// objectManifest is a manifest that others may replace.
type objectManifest struct {
	bucket  Bucket
	version string // that was read or put last; empty for none
}

func (m *objectManifest) read(ctx context.Context) ([]byte, error) {
	content, version, err := m.bucket.Read(ctx, manifestFile, "")
	if errors.Is(err, pillarbox.ErrNotFound) {
		m.version = ""
		return nil, fmt.Errorf("%s: %w", manifestFile, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	m.version = version
	return content, nil
}

func (m *objectManifest) replace(ctx context.Context, text []byte) error {
	version, err := m.bucket.Replace(ctx, manifestFile, text, m.version)
	if errors.Is(err, pillarbox.ErrConflict) {
		// It may be our own: the answer to a try before this one was lost.
		there, found, readErr := m.bucket.Read(ctx, manifestFile, "")
		if readErr == nil && bytes.Equal(there, text) {
			version, err = found, nil
		}
	}
	if err != nil {
		return err
	}
	m.version = version
	return nil
}

func (m *objectManifest) same(ctx context.Context) error {
	_, version, err := m.bucket.Read(ctx, manifestFile, m.version)
	if err == nil && version != m.version {
		err = fmt.Errorf("%s: somebody else has replaced it: %w", manifestFile, pillarbox.ErrConflict)
	}
	return err
}

// leaveTo removes what was uploaded in vain, once: somebody else has the place.
func (s *Store) leaveTo(v *view) error {
	if s.intents == (intents{}) {
		return nil
	}
	err := errors.Join(s.removeUnnamed(v, s.intents.write), s.removeUnnamed(v, s.intents.rewrite))
	if err == nil {
		s.intents = intents{} // until the place is ours again
	}
	return err
}

// giveBack tells others that the place is free. One that they have taken already is theirs.
func (s *Store) giveBack(ctx context.Context) error {
	err := s.publish(ctx, nil, func(next *manifest) { next.Writer, next.Retired = "", []retired{} })
	if errors.Is(err, pillarbox.ErrConflict) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.removeFiles(s.disk.in(ctx), []string{s.intents.write, s.intents.rewrite})
}
