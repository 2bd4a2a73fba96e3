package quarantine

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"pillarbox"
)

// Decide calls accept with a request, and removes it once that has returned nil. Nobody else decides
// about it meanwhile. Should a crash come between, the request is there again, and accept has to know
// that it was called before. Errors: those of Get and of accept; ErrConflict where somebody else
// decides; ErrCorrupt where the request can't be unsealed; ErrUnavailable.
func (s *Store) Decide(id string, as Outcome, accept func(entry *Entry, raw *Raw) error) error {
	release, err := s.claim(id)
	if err != nil {
		return err
	}
	defer release()
	entry, err := s.read(id)
	if err != nil {
		return err
	}
	raw, err := s.unseal(entry)
	if err != nil {
		return err
	}
	if err := accept(entry, raw); err != nil {
		return err
	}
	return s.remove(id, as)
}

// Discard deletes a request for good, also one that can't be read. Errors: ErrNotFound, ErrConflict,
// ErrUnavailable, after which it may be there or not.
func (s *Store) Discard(id string) error {
	release, err := s.claim(id)
	if err != nil {
		return err
	}
	defer release()
	return s.remove(id, Discarded)
}

// claim keeps others from deciding about the same request.
func (s *Store) claim(id string) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch _, found := s.find(id); {
	case s.closed:
		return nil, fmt.Errorf("the quarantine is closed: %w", pillarbox.ErrClosed)
	case s.deciding[id]:
		return nil, fmt.Errorf("somebody else decides about the request %s at this moment: %w", id, pillarbox.ErrConflict)
	case !found:
		return nil, errAbsent(id)
	}
	s.deciding[id] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.deciding, id)
	}, nil
}

// remove makes it durable that a request is not there any more, and counts why.
func (s *Store) remove(id string, as Outcome) error {
	err := s.fsys.Remove(nameOf(id))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = s.fsys.SyncDir(Directory)
	}
	if err != nil {
		return unavailable(fmt.Errorf("remove from the quarantine: %w", err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, found := s.find(id); found {
		s.stats.Bytes -= s.entries[at].bytes
		s.entries = slices.Delete(s.entries, at, at+1)
	}
	switch as {
	case Released:
		s.stats.Released++
	case Forced:
		s.stats.Forced++
	case Discarded:
		s.stats.Discarded++
	case expired:
		s.stats.Expired++
	}
	return nil
}
