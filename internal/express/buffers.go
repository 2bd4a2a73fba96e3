package express

import "math/bits"

// arena is the memory that a turn reads into. A request that came whole is never copied: it stays
// in the arena until the turn ends, and then the next turn writes over it. So a connection has no
// buffer of its own but for what is incomplete.
type arena struct {
	blocks [][]byte
	block  int // that is being filled
	used   int // bytes of it
	peak   int // most blocks that a turn has used since the last trim
}

const (
	blockBytes = 64 << 10
	minRoom    = 8 << 10 // with less left in a block, the next one is begun
	maxBlocks  = 64
)

// room is where to read to. It is nil when the turn has read its share.
func (a *arena) room() []byte {
	if a.block < len(a.blocks) && blockBytes-a.used < minRoom {
		a.block, a.used = a.block+1, 0
	}
	if a.block == maxBlocks {
		return nil
	}
	if a.block == len(a.blocks) {
		a.blocks = append(a.blocks, make([]byte, blockBytes))
	}
	return a.blocks[a.block][a.used:]
}

// keep keeps the first n bytes of the room until the turn ends.
func (a *arena) keep(n int) { a.used += n }

func (a *arena) reset() {
	a.peak = max(a.peak, a.block+1)
	a.block, a.used = 0, 0
}

// trim gives back blocks that were not needed since the last trim.
func (a *arena) trim() {
	if a.peak < len(a.blocks) {
		clear(a.blocks[a.peak:])
		a.blocks = a.blocks[:a.peak]
	}
	a.peak = 0
}

// buffers lends the memory for requests that are incomplete, and keeps some of what comes back.
type buffers struct {
	free [bufferClasses][][]byte
	kept int // bytes in free
}

// Buffers have sizes that double from the smallest to the largest, into which the largest request
// fits.
const (
	smallestBuffer = 256
	bufferClasses  = 12
	largestBuffer  = smallestBuffer << (bufferClasses - 1)
	maxKeptBuffers = 4 << 20 // bytes
)

func bufferClass(size int) int {
	return bits.Len(uint(max(size, smallestBuffer)-1)) - bits.Len(uint(smallestBuffer-1))
}

// bufferSize is the size of the buffer that size bytes fit into.
func bufferSize(size int) int { return smallestBuffer << bufferClass(size) }

// get returns an empty buffer with room for size bytes.
func (p *buffers) get(size int) []byte {
	free := &p.free[bufferClass(size)]
	if last := len(*free) - 1; last >= 0 {
		buffer := (*free)[last]
		*free = (*free)[:last]
		p.kept -= cap(buffer)
		return buffer
	}
	return make([]byte, 0, bufferSize(size))
}

func (p *buffers) put(buffer []byte) {
	if p.kept+cap(buffer) > maxKeptBuffers {
		return
	}
	p.kept += cap(buffer)
	class := bufferClass(cap(buffer))
	p.free[class] = append(p.free[class], buffer[:0])
}
