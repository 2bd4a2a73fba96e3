package fakedynamo

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
	"sort"
)

const (
	// maxItemBytes bounds an item: its names and values.
	maxItemBytes = 400 << 10
	// maxHashBytes and maxRangeBytes bound the values of keys.
	maxHashBytes  = 2048
	maxRangeBytes = 1024
)

// schema names the attributes of a key. The range may be missing.
type schema struct{ hash, sort string }

func (s schema) names() []string {
	if s.sort == "" {
		return []string{s.hash}
	}
	return []string{s.hash, s.sort}
}

// limit is how many bytes the value of a key may have.
func (s schema) limit(name string) int {
	if name == s.hash {
		return maxHashBytes
	}
	return maxRangeBytes
}

// table is one table. Everything in it is guarded by Server.mu.
type table struct {
	name        string
	base        *view
	indexes     map[string]*view
	description map[string]any
}

// view is a table or an index, ordered: by a hash of the hash key, as the order of scans is, then
// by the range key.
type view struct {
	key     schema
	table   schema   // of the table, which orders what is the same in an index
	project []string // the attributes that an index has, nil for all
	entries []*entry
}

// entry is an item in a view.
type entry struct {
	order      uint64
	hash, sort string
	primary    string // the key in the table
	item       item
	created    uint64 // the write that made the item
}

func compareEntries(a, b *entry) int {
	return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.hash, b.hash),
		cmp.Compare(a.sort, b.sort), cmp.Compare(a.primary, b.primary))
}

func orderOf(hash string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(hash))
	return h.Sum64() * 0x9E3779B97F4A7C15 // so that similar keys are far apart
}

// primaryOf is the key in the table as one string, in the order of its parts.
func primaryOf(key schema, i item) string {
	primary := i[key.hash].text
	if key.sort != "" {
		primary += "\x00" + i[key.sort].text
	}
	return primary
}

// entryOf returns the item as it stands in the view, or nil where an index does not have it.
func (v *view) entryOf(i item) *entry {
	for _, name := range v.key.names() {
		if i[name].kind != "S" {
			return nil
		}
	}
	return &entry{
		order: orderOf(i[v.key.hash].text), hash: i[v.key.hash].text, sort: i[v.key.sort].text,
		primary: primaryOf(v.table, i), item: v.projected(i),
	}
}

func (v *view) projected(i item) item {
	if v.project == nil {
		return i
	}
	kept := item{}
	for _, name := range v.project {
		if attribute, ok := i[name]; ok {
			kept[name] = attribute
		}
	}
	return kept
}

// find returns where the entry is or belongs.
func (v *view) find(e *entry) (int, bool) {
	return slices.BinarySearchFunc(v.entries, e, compareEntries)
}

func (v *view) insert(e *entry) {
	at, found := v.find(e)
	if found {
		v.entries[at] = e
		return
	}
	v.entries = slices.Insert(v.entries, at, e)
}

func (v *view) remove(e *entry) {
	if at, found := v.find(e); found {
		v.entries = slices.Delete(v.entries, at, at+1)
	}
}

// of returns the entries of one hash key, in order.
func (v *view) of(hash string) []*entry {
	order := orderOf(hash)
	begin := sort.Search(len(v.entries), func(i int) bool {
		e := v.entries[i]
		return e.order > order || e.order == order && e.hash >= hash
	})
	end := begin
	for end < len(v.entries) && v.entries[end].hash == hash && v.entries[end].order == order {
		end++
	}
	return v.entries[begin:end]
}

// get returns the entry of a key in the table, or nil.
func (t *table) get(key item) *entry {
	if at, found := t.base.find(t.base.entryOf(key)); found {
		return t.base.entries[at]
	}
	return nil
}

// put stores an item that was checked.
func (t *table) put(i item, sequence uint64) {
	created := sequence
	if old := t.get(i); old != nil {
		created = old.created
		t.drop(old.item)
	}
	for _, v := range t.views() {
		if e := v.entryOf(i); e != nil {
			e.created = created
			v.insert(e)
		}
	}
}

// drop removes an item that is there.
func (t *table) drop(i item) {
	for _, v := range t.views() {
		if e := v.entryOf(i); e != nil {
			v.remove(e)
		}
	}
}

func (t *table) views() []*view {
	return append([]*view{t.base}, slices.Collect(maps.Values(t.indexes))...)
}

// checkItem refuses an item that DynamoDB refuses.
func (t *table) checkItem(i item) error {
	if err := i.check(0); err != nil {
		return err
	}
	for _, name := range t.base.key.names() {
		if _, ok := i[name]; !ok {
			return invalid("One or more parameter values were invalid: Missing the key %s in the item", name)
		}
	}
	for _, v := range t.views() {
		if err := v.checkKey(i); err != nil {
			return err
		}
	}
	if i.size() > maxItemBytes {
		return invalid("Item size has exceeded the maximum allowed size")
	}
	return nil
}

// checkKey checks the attributes of the key that the item has.
func (v *view) checkKey(i item) error {
	for _, name := range v.key.names() {
		attribute, ok := i[name]
		limit := v.key.limit(name)
		switch {
		case !ok:
		case attribute.kind != "S":
			return invalid("One or more parameter values were invalid: Type mismatch for key %s expected: S actual: %s", name, attribute.kind)
		case attribute.text == "":
			return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", name)
		case len(attribute.text) > limit:
			return invalid("One or more parameter values were invalid: Size of key %s has exceeded the maximum size limit of %d bytes", name, limit)
		}
	}
	return nil
}

// checkExactKey refuses what is not a key of the table and nothing else.
func (t *table) checkExactKey(key item) error {
	names := t.base.key.names()
	for _, name := range names {
		if _, ok := key[name]; !ok || len(key) != len(names) {
			return invalid("The provided key element does not match the schema")
		}
	}
	return t.base.checkKey(key)
}
