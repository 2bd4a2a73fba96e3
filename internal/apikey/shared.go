package apikey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

const (
	// SharedEvery is how often a running server reads keys that others may change.
	SharedEvery = 10 * time.Second

	// sharedTimeout bounds one call for them, and sharedTries how often a change is made anew because
	// somebody else made one meanwhile.
	sharedTimeout = 10 * time.Second
	sharedTries   = 5
)

// File is a file of keys that several processes share. Read returns the content and its version, or
// known and no content where that is still the version, and ErrNotFound where there is no file.
// Write puts content in the place of a version, or where nothing was where that is empty, and returns
// the new one, or ErrConflict where somebody else has written meanwhile.
type File interface {
	Read(ctx context.Context, known string) (content []byte, version string, err error)
	Write(ctx context.Context, content []byte, known string) (version string, err error)
}

// OpenShared is OpenStore for keys that several processes share: every change is made to what is
// there, and counts for the others when they read it. When keys were used is not kept. It makes no
// call, and has no keys before Refresh.
func OpenShared(file File, opts Options) *Store {
	s := &Store{shared: file, now: opts.Now, saved: map[string]int64{},
		logger: cmp.Or(opts.Logger, slog.New(slog.DiscardHandler))}
	if s.now == nil {
		s.now = time.Now
	}
	s.ring.put(nil)
	return s
}

// Refresh reads keys that others may have changed. Errors: those of the file, and ErrCorrupt; what was
// read before stays in force.
func (s *Store) Refresh(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refreshLocked(ctx)
}

func (s *Store) refreshLocked(ctx context.Context) error {
	if s.shared == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sharedTimeout)
	defer cancel()
	text, version, err := s.shared.Read(ctx, s.version)
	switch {
	case errors.Is(err, pillarbox.ErrNotFound):
		text, version = nil, ""
	case err != nil:
		return fmt.Errorf("read the API keys: %w", err)
	case version == s.version && version != "":
		return nil
	}
	if err := s.ring.Load(text); err != nil {
		return err
	}
	s.version = version
	return nil
}

// writeShared writes what is to be in force.
func (s *Store) writeShared(text []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), sharedTimeout)
	defer cancel()
	version, err := s.shared.Write(ctx, text, s.version)
	if err == nil {
		s.version = version
	}
	return err
}

// runShared reads keys until ctx ends.
func (s *Store) runShared(ctx context.Context) error {
	ticker := time.NewTicker(SharedEvery)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := s.Refresh(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			s.logger.Warn("API keys can't be read anew; those that are at hand stay in force",
				telemetry.KeyErr, err, telemetry.KeyRetryIn, SharedEvery)
		}
		failing = err != nil
	}
}
