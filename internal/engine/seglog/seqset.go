package seglog

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"

	"pillarbox"
)

const (
	blockBits  = 1 << 16 // sequence numbers of one block
	blockWords = blockBits / 64
	blockBytes = blockBits / 8
)

// seqSet is a set of sequence numbers: one bit for each number, in blocks that exist where there is
// a member. So it costs little memory for runs and for single numbers alike: 8 KiB for each 65,536
// events at the most. The zero value is empty.
type seqSet struct {
	blocks map[uint64]*block
	count  uint64
}

type block struct {
	words [blockWords]uint64
	count int
}

func (s *seqSet) has(seq uint64) bool {
	b := s.blocks[seq/blockBits]
	return b != nil && b.words[seq%blockBits/64]&(1<<(seq%64)) != 0
}

func (s *seqSet) add(seq uint64) {
	if s.has(seq) {
		return
	}
	b := s.blocks[seq/blockBits]
	if b == nil {
		if s.blocks == nil {
			s.blocks = map[uint64]*block{}
		}
		b = &block{}
		s.blocks[seq/blockBits] = b
	}
	b.words[seq%blockBits/64] |= 1 << (seq % 64)
	b.count++
	s.count++
}

func (s *seqSet) remove(seq uint64) {
	if !s.has(seq) {
		return
	}
	b := s.blocks[seq/blockBits]
	b.words[seq%blockBits/64] &^= 1 << (seq % 64)
	b.count--
	s.count--
	if b.count == 0 {
		delete(s.blocks, seq/blockBits)
	}
}

// next returns the smallest member from seq on.
func (s *seqSet) next(seq uint64) (uint64, bool) {
	first := seq / blockBits
	nearest, found := uint64(0), false
	for key, b := range s.blocks {
		if key < first || found && key >= nearest {
			continue
		}
		if key == first {
			if member, ok := b.next(int(seq % blockBits)); ok {
				return key*blockBits + uint64(member), true
			}
			continue
		}
		nearest, found = key, true
	}
	if !found {
		return 0, false
	}
	member, _ := s.blocks[nearest].next(0)
	return nearest*blockBits + uint64(member), true
}

// next returns the smallest member of the block from a place on.
func (b *block) next(from int) (int, bool) {
	for i := from / 64; i < blockWords; i++ {
		word := b.words[i]
		if i == from/64 {
			word &= ^uint64(0) << (from % 64)
		}
		if word != 0 {
			return i*64 + bits.TrailingZeros64(word), true
		}
	}
	return 0, false
}

// forgetBelow drops the blocks that lie below the sequence number as a whole.
func (s *seqSet) forgetBelow(seq uint64) {
	maps.DeleteFunc(s.blocks, func(key uint64, b *block) bool {
		gone := (key+1)*blockBits <= seq
		if gone {
			s.count -= uint64(b.count)
		}
		return gone
	})
}

func (s *seqSet) clone() seqSet {
	result := seqSet{count: s.count}
	if len(s.blocks) > 0 {
		result.blocks = make(map[uint64]*block, len(s.blocks))
		for key, b := range s.blocks {
			copied := *b
			result.blocks[key] = &copied
		}
	}
	return result
}

// setBlock is a block in a snapshot: its bits, or its members as 16-bit numbers where those are
// shorter.
type setBlock struct {
	Block   uint64 `json:"block"`
	Bits    []byte `json:"bits,omitempty"`
	Members []byte `json:"members,omitempty"`
}

func (s *seqSet) encode() []setBlock {
	var encoded []setBlock
	for _, key := range slices.Sorted(maps.Keys(s.blocks)) {
		b, out := s.blocks[key], setBlock{Block: key}
		if b.count*2 < blockBytes {
			for at, ok := b.next(0); ok; at, ok = b.next(at + 1) {
				out.Members = binary.LittleEndian.AppendUint16(out.Members, uint16(at))
			}
		} else {
			for _, word := range b.words {
				out.Bits = binary.LittleEndian.AppendUint64(out.Bits, word)
			}
		}
		encoded = append(encoded, out)
	}
	return encoded
}

func decodeSet(encoded []setBlock) (set seqSet, err error) {
	for _, in := range encoded {
		switch {
		case len(in.Bits) == blockBytes && len(in.Members) == 0:
			for i := range blockWords {
				word := binary.LittleEndian.Uint64(in.Bits[i*8:])
				for ; word != 0; word &= word - 1 {
					set.add(in.Block*blockBits + uint64(i*64+bits.TrailingZeros64(word)))
				}
			}
		case len(in.Bits) == 0 && len(in.Members)%2 == 0 && len(in.Members) < blockBytes:
			for at := 0; at < len(in.Members); at += 2 {
				set.add(in.Block*blockBits + uint64(binary.LittleEndian.Uint16(in.Members[at:])))
			}
		default:
			return seqSet{}, fmt.Errorf(
				"set of sequence numbers with %d bytes of bits and %d of members: %w", len(in.Bits),
				len(in.Members), pillarbox.ErrCorrupt,
			)
		}
		if in.Block > 1<<48 {
			return seqSet{}, fmt.Errorf("set of sequence numbers with block %d: %w", in.Block,
				pillarbox.ErrCorrupt)
		}
	}
	return set, nil
}

// runs is a list of sequence numbers as half-open ranges, as deltas have them.
type runs [][2]uint64

func (r *runs) add(seq uint64) {
	if n := len(*r); n > 0 && (*r)[n-1][1] == seq {
		(*r)[n-1][1]++
		return
	}
	*r = append(*r, [2]uint64{seq, seq + 1})
}

// each calls visit for every number of the ranges. A range that no writer makes is passed over: see
// plausible.
func (r runs) each(visit func(seq uint64)) {
	for _, run := range r {
		for seq := run[0]; seq < run[1]; seq++ {
			visit(seq)
		}
	}
}

// maxRun bounds a range of a delta, so that a damaged one can't keep a reader busy: one settle is
// about no more.
const maxRun = 1 << 24

func (r runs) plausible() bool {
	return !slices.ContainsFunc(r,
		func(run [2]uint64) bool { return run[0] == 0 || run[1] < run[0] || run[1]-run[0] > maxRun })
}
