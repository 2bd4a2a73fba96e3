package quarantine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pillarbox"
)

// Page is a part of what is kept.
type Page struct {
	Entries    []*Entry
	Next       string   // After of the next page; empty where this is the last one
	Unreadable []string // what was met and can't be read, with its id
}

// Filter selects requests.
type Filter struct {
	Source string // empty for all
	After  string // id that the page begins behind; empty for the oldest
	Limit  int    // requests at most
}

// maxPageBytes bounds the files of a page, in bytes: what is left is on the next one.
const maxPageBytes = 16 << 20

// List reads a page, the oldest first. Errors: ErrUnavailable, ctx's own.
func (s *Store) List(ctx context.Context, filter Filter) (*Page, error) {
	s.mu.Lock()
	at, found := s.find(filter.After)
	if found {
		at++
	}
	rest := slices.Clone(s.entries[at:])
	s.mu.Unlock()
	page, size := &Page{Entries: []*Entry{}, Unreadable: []string{}}, int64(0)
	for i, e := range rest {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(page.Entries) == filter.Limit || size >= maxPageBytes {
			page.Next = rest[i-1].id
			return page, nil
		}
		entry, err := s.read(e.id)
		switch {
		case errors.Is(err, pillarbox.ErrNotFound): // decided about meanwhile
		case errors.Is(err, pillarbox.ErrCorrupt):
			if len(page.Unreadable) < pillarbox.MaxUnreadable {
				page.Unreadable = append(page.Unreadable, err.Error())
			}
		case err != nil:
			return nil, err
		case filter.Source == "" || entry.Event.Source == filter.Source:
			page.Entries = append(page.Entries, entry)
			size += e.bytes
		}
	}
	return page, nil
}

// Has reports whether a request is kept, without a look at the disk.
func (s *Store) Has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := s.find(id)
	return found
}

// Get reads one. Errors: ErrNotFound, ErrCorrupt, ErrUnavailable.
func (s *Store) Get(id string) (*Entry, error) {
	if !s.Has(id) {
		return nil, errAbsent(id)
	}
	return s.read(id)
}

func errAbsent(id string) error {
	return fmt.Errorf("there is no request %q in quarantine: %w", id, pillarbox.ErrNotFound)
}
