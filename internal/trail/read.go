package trail

import (
	"errors"
	"fmt"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/vfs"
)

// Problem is where a trail does not prove itself.
type Problem struct {
	Seq    uint64 `json:"seq"` // of the entry, or of the one that should be there
	Reason string `json:"reason"`
}

// Page is a part of a trail.
type Page struct {
	Entries  []Entry   `json:"entries"`
	Head     Head      `json:"head"`     // of the whole trail
	Problems []Problem `json:"problems"` // of the whole trail, up to MaxProblems
}

// MaxProblems is how many problems are told of.
const MaxProblems = 20

// Read verifies all of the trail, and returns the entries behind a number, up to a limit. Its time
// grows with the trail. Errors: those of the disk.
func (t *Trail) Read(after uint64, limit int) (*Page, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fsys == nil {
		return nil, fmt.Errorf("the trail of administration can't be read: %w", t.closed)
	}
	r := &reader{page: &Page{Entries: []Entry{}, Problems: []Problem{}}, after: after, limit: limit, keys: t.atRest, hash: noHash}
	if t.failed {
		r.most = t.last.Entries // the next append takes away what stands behind
	}
	for _, first := range t.files {
		if err := r.file(t.fsys, first); err != nil {
			return nil, err
		}
	}
	r.page.Head = Head{Entries: r.seq, Hash: r.hash}
	if r.seq < t.last.Entries || r.hash != t.last.Hash && r.seq == t.last.Entries {
		r.problem(r.seq+1, "the end is not the one that this process has written")
	}
	return r.page, nil
}

// reader walks over all files in order.
type reader struct {
	page  *Page
	after uint64
	limit int
	keys  *atrest.Keys
	most  uint64 // entries that are read; 0 for all

	seq  uint64 // of the last entry
	hash string
}

func (r *reader) problem(seq uint64, format string, arguments ...any) {
	if len(r.page.Problems) < MaxProblems {
		r.page.Problems = append(r.page.Problems, Problem{seq, fmt.Sprintf(format, arguments...)})
	}
}

func (r *reader) file(fsys vfs.FS, first uint64) error {
	text, err := vfs.ReadFile(fsys, logName(first), maxRead)
	if err != nil {
		return fmt.Errorf("read the trail: %w", err)
	}
	keys, err := keysOf(fsys, first)
	if err != nil {
		return err
	}
	for rest := text[:endOfLines(text)]; len(rest) > 0 && (r.most == 0 || r.seq < r.most); {
		var one []byte
		one, rest = firstLine(rest)
		r.line(one, keys)
	}
	return nil
}

// line takes the next entry.
func (r *reader) line(text []byte, keys map[uint64][]byte) {
	expected := r.seq + 1
	l, err := parse(text)
	if err != nil {
		r.problem(expected, "the line can't be read: %v", err)
		r.seq, r.hash = expected, hashOf(text)
		return
	}
	if l.Seq != expected {
		r.problem(expected, "the entry that follows is %d", l.Seq)
	}
	if l.Prev != r.hash {
		r.problem(l.Seq, "it does not follow from the entry before it: one of the two was changed, or there was another one between them")
	}
	r.seq, r.hash = l.Seq, hashOf(text)
	entry := Entry{Seq: l.Seq, At: l.At, Hash: r.hash}
	key, known := keys[l.Seq]
	switch {
	case known && key == nil:
		entry.Erased = true
	case !known:
		r.problem(l.Seq, "its key is missing, and it was not erased")
	default:
		act, err := r.open(&l, key)
		var absent *atrest.NoKeyError
		if errors.As(err, &absent) {
			entry.Sealed = true
		} else if err != nil {
			r.problem(l.Seq, "it can't be opened with its key: it or its key was changed")
		} else {
			entry.Act = act
		}
	}
	if l.Seq > r.after && len(r.page.Entries) < r.limit {
		r.page.Entries = append(r.page.Entries, entry)
	}
}

// open opens an entry with its key, which may be sealed.
func (r *reader) open(l *line, key []byte) (*Act, error) {
	if len(key) != keyBytes {
		var err error
		if key, err = r.keys.Open(nil, key, atrest.TrailKey); err != nil {
			return nil, err
		}
	}
	return l.open(key)
}

// Whole returns ErrCorrupt where the trail does not prove itself.
func (p *Page) Whole() error {
	if len(p.Problems) == 0 {
		return nil
	}
	return fmt.Errorf("the trail does not prove itself: entry %d: %s: %w", p.Problems[0].Seq, p.Problems[0].Reason, pillarbox.ErrCorrupt)
}
