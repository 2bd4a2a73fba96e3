package s3

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"pillarbox"
	"pillarbox/internal/deadletterfile"
)

// index knows which letters there are and where, as of the last listing and of what was written
// here since. All methods may be called concurrently.
type index struct {
	listing sync.Mutex // held while the bucket is listed; one listing serves all who wait

	mu      sync.Mutex
	letters map[deadletterfile.Token][]*entry
	listed  time.Time                             // when the last listing began
	changes uint64                                // counts set and forget
	counts  map[string]*pillarbox.DeadLetterCount // of letters
}

// entry is one letter.
type entry struct {
	id      deadletterfile.ID
	objects []object // the one that counts first; more than one after a crash, or by another writer
	change  uint64   // the change that wrote it here; 0 where a listing did
}

// object is one object of a letter.
type object struct {
	place    deadletterfile.Place
	modified time.Time // to the second
}

// newest orders the objects of one letter: the one that counts comes first.
func newest(a, b object) int {
	resolved := func(o object) int { return int(min(o.place.State, deadletterfile.Replayed)) }
	return cmp.Or(b.modified.Compare(a.modified), cmp.Compare(resolved(b), resolved(a)),
		cmp.Compare(b.place.Day, a.place.Day))
}

// refresh lists the bucket, unless that was done within the time given.
func (x *index) refresh(ctx context.Context, objects *objects, within time.Duration) error {
	if age, listed := x.age(); listed && age < within {
		return nil // without waiting for a listing that somebody else needs
	}
	x.listing.Lock()
	defer x.listing.Unlock()
	x.mu.Lock()
	fresh := !x.listed.IsZero() && time.Since(x.listed) < within
	before := x.changes
	x.mu.Unlock()
	if fresh {
		return nil
	}
	began := time.Now()
	found := map[deadletterfile.Token][]*entry{}
	err := objects.list(ctx, func(name string, at *types.Object) {
		if id, place, ok := deadletterfile.ParseName(name); ok {
			entryOf(found, id).objects = append(entryOf(found, id).objects,
				object{place, aws.ToTime(at.LastModified)})
		}
	})
	if err != nil {
		return err
	}
	for _, entries := range found {
		for _, entry := range entries {
			slices.SortFunc(entry.objects, newest)
		}
	}
	x.merge(found, before, began)
	return nil
}

// entryOf finds the letter, or makes it.
func entryOf(letters map[deadletterfile.Token][]*entry, id deadletterfile.ID) *entry {
	for _, entry := range letters[id.Token] {
		if entry.id == id {
			return entry
		}
	}
	made := &entry{id: id}
	letters[id.Token] = append(letters[id.Token], made)
	return made
}

// merge takes a listing, and keeps what was changed here after it began: the listing may not have
// seen that.
func (x *index) merge(found map[deadletterfile.Token][]*entry, before uint64, began time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, entries := range x.letters {
		for _, kept := range entries {
			if kept.change > before {
				*entryOf(found, kept.id) = *kept
			}
		}
	}
	x.letters, x.listed = found, began
	x.counts = map[string]*pillarbox.DeadLetterCount{}
	for _, entries := range found {
		for _, entry := range entries {
			if len(entry.objects) > 0 {
				*x.counterLocked(entry)++
			}
		}
	}
}

// age returns how old the listing is; false where there is none.
func (x *index) age() (time.Duration, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return time.Since(x.listed), !x.listed.IsZero()
}

// counterLocked returns the count that a letter with objects is in.
func (x *index) counterLocked(letter *entry) *uint64 {
	if x.counts == nil {
		x.counts = map[string]*pillarbox.DeadLetterCount{}
	}
	count := x.counts[letter.id.Destination]
	if count == nil {
		count = new(pillarbox.DeadLetterCount)
		x.counts[letter.id.Destination] = count
	}
	switch letter.objects[0].place.State {
	case deadletterfile.Replayed:
		return &count.Replayed
	case deadletterfile.Discarded:
		return &count.Discarded
	default:
		return &count.Open
	}
}

// lookup returns the objects of the letter, the one that counts first.
func (x *index) lookup(id deadletterfile.ID) []object {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, entry := range x.letters[id.Token] {
		if entry.id == id {
			return slices.Clone(entry.objects)
		}
	}
	return nil
}

// set says what objects the letter has from now on.
func (x *index) set(id deadletterfile.ID, objects ...object) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.letters == nil {
		x.letters = map[deadletterfile.Token][]*entry{}
	}
	x.changes++
	entry := entryOf(x.letters, id)
	if len(entry.objects) > 0 {
		*x.counterLocked(entry)--
	}
	entry.objects, entry.change = objects, x.changes
	if len(entry.objects) > 0 {
		*x.counterLocked(entry)++
	}
}

// located is a letter and where it is.
type located struct {
	deadletterfile.ID
	place deadletterfile.Place
}

// find returns the letters that match; a nil token is any, an empty destination too.
func (x *index) find(token *deadletterfile.Token, destination string) []located {
	x.mu.Lock()
	defer x.mu.Unlock()
	var found []located
	add := func(entries []*entry) {
		for _, entry := range entries {
			if len(entry.objects) > 0 && (destination == "" || entry.id.Destination == destination) {
				found = append(found, located{entry.id, entry.objects[0].place})
			}
		}
	}
	if token != nil {
		add(x.letters[*token])
		return found
	}
	for _, entries := range x.letters {
		add(entries)
	}
	return found
}

// count returns the counts of a destination. It looks at no letter.
func (x *index) count(destination string) pillarbox.DeadLetterCount {
	x.mu.Lock()
	defer x.mu.Unlock()
	if count := x.counts[destination]; count != nil {
		return *count
	}
	return pillarbox.DeadLetterCount{}
}
