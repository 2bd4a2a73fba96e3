package files

import (
	"slices"
	"strings"
	"sync"

	"pillarbox"
)

// index knows which letters there are and where, so that nothing has to be searched or read to be counted. All
// methods may be called concurrently.
type index struct {
	mu           sync.Mutex
	letters      map[token][]entry
	destinations map[string]*destination
	// leftovers are where a call that runs, or one that failed, may leave a file: the next call removes them.
	leftovers map[id][]place
}

// entry is one letter. Nearly every token has one.
type entry struct {
	timestamp   pillarbox.Timestamp
	destination *destination
	place       place
}

func (e entry) id(token token) id {
	return id{Timestamp: e.timestamp, Destination: e.destination.name, Token: token}
}

// destination is what the letters of one destination share.
type destination struct {
	name  string
	count pillarbox.LetterCount
}

func (d *destination) counter(state state) *uint64 {
	switch state {
	case replayed:
		return &d.count.Replayed
	case discarded:
		return &d.count.Discarded
	default:
		return &d.count.Open
	}
}

func newIndex() *index {
	return &index{
		letters: make(map[token][]entry), destinations: make(map[string]*destination), leftovers: make(map[id][]place),
	}
}

// lookup returns where the letter is.
func (x *index) lookup(letter id) (place, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if at := x.findLocked(letter); at >= 0 {
		return x.letters[letter.Token][at].place, true
	}
	return place{}, false
}

func (x *index) findLocked(letter id) int {
	for i, entry := range x.letters[letter.Token] {
		if entry.timestamp == letter.Timestamp && entry.destination.name == letter.Destination {
			return i
		}
	}
	return -1
}

// find returns the letters with the token; an empty destination is any.
func (x *index) find(token token, destination string) []entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	var found []entry
	for _, entry := range x.letters[token] {
		if destination == "" || entry.destination.name == destination {
			found = append(found, entry)
		}
	}
	return found
}

// set says where the letter is from now on.
func (x *index) set(letter id, place place) {
	x.mu.Lock()
	defer x.mu.Unlock()
	known := x.destinations[letter.Destination]
	if known == nil {
		// A name that was cut out of a longer one would keep all of it in memory.
		known = &destination{name: strings.Clone(letter.Destination)}
		x.destinations[known.name] = known
	}
	if at := x.findLocked(letter); at >= 0 {
		entry := &x.letters[letter.Token][at]
		*known.counter(entry.place.State)--
		entry.place = place
	} else {
		x.letters[letter.Token] = append(x.letters[letter.Token], entry{letter.Timestamp, known, place})
	}
	*known.counter(place.State)++
}

// forget removes a letter whose file is gone.
func (x *index) forget(letter id) {
	x.mu.Lock()
	defer x.mu.Unlock()
	at := x.findLocked(letter)
	if at < 0 {
		return
	}
	entries := x.letters[letter.Token]
	*entries[at].destination.counter(entries[at].place.State)--
	if len(entries) == 1 {
		delete(x.letters, letter.Token)
		return
	}
	entries[at] = entries[len(entries)-1]
	x.letters[letter.Token] = entries[:len(entries)-1]
}

func (x *index) count(destination string) pillarbox.LetterCount {
	x.mu.Lock()
	defer x.mu.Unlock()
	if known := x.destinations[destination]; known != nil {
		return known.count
	}
	return pillarbox.LetterCount{}
}

// suspect notes that there may be a file of the letter at the place.
func (x *index) suspect(letter id, place place) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.Contains(x.leftovers[letter], place) {
		x.leftovers[letter] = append(x.leftovers[letter], place)
	}
}

// suspects returns what was noted.
func (x *index) suspects(letter id) []place {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.leftovers[letter])
}

// clear forgets what was noted.
func (x *index) clear(letter id) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.leftovers, letter)
}
