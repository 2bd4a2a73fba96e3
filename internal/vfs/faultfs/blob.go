package faultfs

import (
	"bytes"
	"slices"
)

// pageSize is the unit in which content is shared between states and in which space is used up,
// like the page of tmpfs.
const pageSize = 4096

type page [pageSize]byte

// zeroPage stands for every page that was written with nothing but zeros, so that a log may fill
// large segments ahead at no cost. It is never owned and so never written to.
var zeroPage = new(page)

// blob is the content of a file, shared copy-on-write. The caller keeps concurrent use apart.
type blob struct {
	size  int64
	pages []*page // nil is a hole, which uses no space
	own   []bool  // pages that no other blob refers to; nil means that even the slice of pages is shared
	used  int     // pages that are not holes
}

// clone costs no copy. From now on neither of the two changes a page that the other one can see.
func (b *blob) clone() blob {
	b.own = nil
	return *b
}

func (b *blob) unshare() {
	if b.own == nil {
		b.pages = slices.Clone(b.pages)
		b.own = make([]bool, len(b.pages))
	}
}

// readAt fills p from off on and returns how many bytes lie before the end.
func (b *blob) readAt(p []byte, off int64) int {
	if off >= b.size {
		return 0
	}
	p = p[:min(int64(len(p)), b.size-off)]
	for done := 0; done < len(p); {
		at := off + int64(done)
		part := p[done:min(len(p), done+int(pageSize-at%pageSize))]
		if content := b.pages[at/pageSize]; content != nil {
			copy(part, content[at%pageSize:])
		} else {
			clear(part)
		}
		done += len(part)
	}
	return len(p)
}

// writeAt stores p from off on. A hole between the old end and off reads as zeros.
func (b *blob) writeAt(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	if end := off + int64(len(p)); end > b.size {
		b.truncate(end)
	}
	b.unshare()
	for done := 0; done < len(p); {
		at := off + int64(done)
		part := p[done:min(len(p), done+int(pageSize-at%pageSize))]
		b.writePage(int(at/pageSize), int(at%pageSize), part)
		done += len(part)
	}
}

func (b *blob) writePage(index, from int, part []byte) {
	old := b.pages[index]
	if old == nil {
		b.used++
	}
	blank := old == nil || old == zeroPage || len(part) == pageSize
	switch {
	case blank && bytes.Equal(part, zeroPage[:len(part)]):
		b.pages[index], b.own[index] = zeroPage, false
		return
	case !b.own[index]:
		fresh := new(page)
		if old != nil && len(part) < pageSize {
			*fresh = *old
		}
		b.pages[index], b.own[index] = fresh, true
	}
	copy(b.pages[index][from:], part)
}

// room returns how many of the n bytes from off on can be written when no more than free pages may
// be added.
func (b *blob) room(n int, off int64, free int) int {
	end := off + int64(n)
	for at := off; at < end; at = at - at%pageSize + pageSize {
		index := at / pageSize
		if index < int64(len(b.pages)) && b.pages[index] != nil {
			continue
		}
		if free <= 0 {
			return int(at - off)
		}
		free--
	}
	return n
}

// truncate sets the size. What it cuts off is gone; what it adds is a hole.
func (b *blob) truncate(size int64) {
	if size == b.size {
		return
	}
	count := int((size + pageSize - 1) / pageSize)
	b.unshare()
	if count > len(b.pages) {
		more := count - len(b.pages)
		b.pages = append(b.pages, make([]*page, more)...)
		b.own = append(b.own, make([]bool, more)...)
	}
	for i, content := range b.pages[count:] {
		if content != nil {
			b.used--
		}
		b.pages[count+i] = nil
	}
	b.pages, b.own = b.pages[:count], b.own[:count]
	shrunk := size < b.size
	b.size = size
	if tail := int(size % pageSize); shrunk && tail > 0 && b.pages[count-1] != nil {
		// A later write behind the end must find zeros here.
		b.writePage(count-1, tail, zeroPage[tail:])
	}
}

// flip inverts one bit.
func (b *blob) flip(off int64, bit uint) {
	if off >= b.size {
		return
	}
	var one [1]byte
	b.readAt(one[:], off)
	one[0] ^= 1 << bit
	b.writeAt(one[:], off)
}
