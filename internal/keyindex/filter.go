package keyindex

import "encoding/binary"

// filter is a split block Bloom filter (the form of Apache Parquet's specification, BloomFilter.md):
// blocks of eight words, one bit of a key in each. A key costs one line of the processor's cache.
// Keys are the start of a SHA-256, so that their own bits serve as the hash.
type filter []byte

const (
	blockBytes = 32
	// filterBits per key let about one key in a thousand pass that is not there.
	filterBits = 16
)

// filterSalts are odd constants of that specification.
var filterSalts = [8]uint32{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947,
	0x5c6bfb31}

func newFilter(keys int) filter {
	return make(filter, max(1, (keys*filterBits+8*blockBytes-1)/(8*blockBytes))*blockBytes)
}

func (f filter) place(key *[16]byte) (block []byte, hash uint32) {
	blocks := uint64(len(f) / blockBytes)
	at := (uint64(binary.LittleEndian.Uint32(key[8:])) * blocks) >> 32
	return f[at*blockBytes:][:blockBytes], binary.LittleEndian.Uint32(key[12:])
}

func (f filter) add(key *[16]byte) {
	block, hash := f.place(key)
	for i, salt := range filterSalts {
		word := block[4*i:]
		binary.LittleEndian.PutUint32(word, binary.LittleEndian.Uint32(word)|1<<(hash*salt>>27))
	}
}

// mayHave is false for a key that was not added.
func (f filter) mayHave(key *[16]byte) bool {
	block, hash := f.place(key)
	for i, salt := range filterSalts {
		if binary.LittleEndian.Uint32(block[4*i:])&(1<<(hash*salt>>27)) == 0 {
			return false
		}
	}
	return true
}
