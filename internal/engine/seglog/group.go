package seglog

import (
	"encoding/binary"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/keyindex"
)

// group gathers the events that one commit makes durable together.
type group struct {
	frame   []byte // room for the frame header, then records
	lengths []byte // the table behind the records
	count   uint32
	keys    []keyindex.Key // of the events that have one
	done    chan struct{}  // closed after err is set
	err     error          // set by the one that settle has chosen
	settled bool           // guarded by core.mu
	plain   []byte         // the fields of an event, before they are sealed
}

func newGroup(buffer []byte) *group {
	return &group{
		frame: append(buffer[:0], make([]byte, frameHeaderBytes)...),
		done:  make(chan struct{}),
	}
}

func (g *group) size() int64 { return int64(len(g.frame) + len(g.lengths)) }

// add encodes an event. The record's checksum needs the salt of the segment, so it is filled in by
// seal. After an error the group is as it was.
func (g *group) add(event *pillarbox.Event, keys *atrest.Keys) error {
	start := len(g.frame)
	g.frame = append(g.frame, 0, 0, 0, 0, 0, 0, 0, 0)
	if keys.Seals() {
		var err error
		g.plain = appendRecord(g.plain[:0], event)
		if g.frame, err = appendBox(g.frame, g.plain, keys); err != nil {
			g.frame = g.frame[:start]
			return err
		}
	} else {
		g.frame = appendRecord(g.frame, event)
	}
	length := uint32(len(g.frame) - start - recordHeaderBytes)
	binary.LittleEndian.PutUint32(g.frame[start:], length)
	g.lengths = binary.LittleEndian.AppendUint32(g.lengths, length)
	g.count++
	if key, ok := keyOf(event); ok {
		g.keys = append(g.keys, key)
	}
	return nil
}

// undo takes the events behind the first ones out of the group again.
func (g *group) undo(frame, lengths, keys int) {
	g.count -= uint32((len(g.lengths) - lengths) / lengthBytes)
	g.frame, g.lengths, g.keys = g.frame[:frame], g.lengths[:lengths], g.keys[:keys]
}

// groupOf makes a group of records that were read.
func groupOf(records []record) *group {
	g := newGroup(nil)
	for _, rec := range records {
		if rec.missing {
			rec.text = lostRecord
		}
		g.frame = binary.LittleEndian.AppendUint32(g.frame, uint32(len(rec.text)))
		g.frame = append(g.frame, 0, 0, 0, 0)
		g.frame = append(g.frame, rec.text...)
		g.lengths = binary.LittleEndian.AppendUint32(g.lengths, uint32(len(rec.text)))
		g.count++
	}
	return g
}

// seal fills in the record checksums, the table and the frame header for a place in a segment.
func (g *group) seal(salt uint64, offset, synced int64, firstSeq uint64) []byte {
	records := g.frame[frameHeaderBytes:]
	for i := 0; i < len(g.lengths); i += lengthBytes {
		length := binary.LittleEndian.Uint32(g.lengths[i:])
		binary.LittleEndian.PutUint32(records[4:],
			recordChecksum(salt, records[recordHeaderBytes:recordHeaderBytes+length]))
		records = records[recordHeaderBytes+length:]
	}
	frame := append(g.frame, g.lengths...)
	payload := frame[frameHeaderBytes:]
	frameHeader{
		kind: frameEvents, salt: salt, offset: offset, firstSeq: firstSeq, count: g.count,
		payload: uint32(len(payload)), durableUpTo: synced, payloadCRC: checksum(payload),
	}.encode(frame)
	return frame
}

// settleLocked reports whether the caller is the one that tells those who wait for the group what
// became of it.
func (g *group) settleLocked() bool {
	first := !g.settled
	g.settled = true
	return first
}
