package parquet

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"pillarbox"
	"pillarbox/internal/vfs"
)

// view is what counted at one moment. It never changes; its files are there for a while after they
// count no more.
type view struct {
	*manifest
	fsys vfs.FS
	tree func(ctx context.Context) vfs.FS // fsys, whose calls end with ctx
	days *dayCache
	last bool // it is known to be the last one: a file that is gone was taken away
}

// in is the view for a call: what it reads ends with ctx.
func (v *view) in(ctx context.Context) *view {
	bound := *v
	bound.fsys = v.tree(ctx)
	return &bound
}

// asLast is the view for who has the turn to change it, or has found it unchanged.
func (v *view) asLast() *view {
	last := *v
	last.last = true
	return &last
}

// files returns the files of a day, in the order of their first keys.
func (v *view) files(day string) ([]entry, error) {
	var list []entry
	if d := v.of(day); d != nil {
		base, err := v.days.get(v.fsys, d.File)
		if err != nil {
			return nil, err
		}
		gone := map[string]bool{}
		for _, name := range v.Removed {
			gone[name] = true
		}
		list = make([]entry, 0, len(base))
		for _, e := range base {
			if !gone[e.Path] {
				list = append(list, e)
			}
		}
	}
	for _, e := range v.Added {
		if e.day() == day {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, compareEntries)
	return list, nil
}

func compareEntries(a, b entry) int {
	return cmp.Or(compareKeys(a.First.key(), b.First.key()), cmp.Compare(a.Path, b.Path))
}

// named reports whether a file counts.
func (v *view) named(name string) (bool, error) {
	files, err := v.files(dayOfPath(name))
	return slices.ContainsFunc(files, func(e entry) bool { return e.Path == name }), err
}

// inHour are the files of one hour.
func inHour(files []entry, hour pillarbox.Timestamp) []entry {
	first, _ := slices.BinarySearchFunc(files, hour, func(e entry, hour pillarbox.Timestamp) int {
		return cmp.Compare(e.First.Timestamp, hour)
	})
	last, _ := slices.BinarySearchFunc(files, hour+hourMicroseconds, func(e entry, hour pillarbox.Timestamp) int {
		return cmp.Compare(e.First.Timestamp, hour)
	})
	return files[first:last]
}

// maxDays is how many days are in memory at a time.
const maxDays = 16

// dayCache keeps the files of the days that were asked for last. The zero value is empty.
type dayCache struct {
	mu    sync.Mutex
	days  map[string][]entry // by the file of the day; guarded by mu
	order []string           // which was asked for last is last; guarded by mu
}

// get returns the files of a day. Nobody changes the slice.
func (c *dayCache) get(fsys vfs.FS, name string) ([]entry, error) {
	c.mu.Lock()
	files, found := c.days[name]
	c.mu.Unlock()
	if !found {
		var day dayFiles
		if err := readChecked(fsys, name, &day); err != nil {
			return nil, err
		}
		files = day.Files
	}
	c.put(name, files)
	return files, nil
}

func (c *dayCache) put(name string, files []entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.days == nil {
		c.days = map[string][]entry{}
	}
	c.days[name] = files
	c.order = slices.DeleteFunc(c.order, func(other string) bool { return other == name })
	if c.order = append(c.order, name); len(c.order) > maxDays {
		delete(c.days, c.order[0])
		c.order = c.order[1:]
	}
}
