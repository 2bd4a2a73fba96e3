package atrest

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"pillarbox"
)

// Overhead is how much longer a box is than what is in it, in bytes: the id of the data key, the
// nonce, and the tag.
const Overhead = idBytes + nonceBytes + tagBytes

const idBytes = 8

// ID names a data key.
type ID [idBytes]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Purpose is what a box is for. A box opens for its own purpose alone.
type Purpose string

// The purposes. They are part of the format.
const (
	Record     Purpose = "record"     // of a segment
	State      Purpose = "state"      // of a destination's delivery
	KeyPage    Purpose = "key page"   // of the index of idempotency keys
	KeyFoot    Purpose = "key foot"   // of the same
	Letter     Purpose = "letter"     // a dead letter
	LetterRow  Purpose = "letter row" // of the index of letters
	Quarantine Purpose = "quarantine" // a request whose signature fails
	Export     Purpose = "export"     // what a repair has saved
	TrailKey   Purpose = "trail key"  // of an entry of the trail
	Job        Purpose = "job"        // what a job is to do, and how far it is
)

// NoKeyError is why a box does not open whose data key is not at hand. It may open another time:
// nothing says that the box is damaged.
type NoKeyError struct{ ID ID }

func (e *NoKeyError) Error() string {
	return fmt.Sprintf("sealed with the data key %s, which is not at hand; put it back into %s, with the key that wraps it", e.ID, Directory)
}

// Is makes it an ErrUnavailable.
func (e *NoKeyError) Is(target error) bool { return target == pillarbox.ErrUnavailable }

// sealer draws nonces for one data key: 20 bytes once, and a counter. So the key that a nonce leads to
// is this sealer's alone, and the counter keeps nonces apart under it.
type sealer struct {
	id    ID
	aead  cipher.AEAD
	drawn [nonceBytes - 4]byte
	used  atomic.Uint64
}

// sealerBoxes bounds the boxes of a sealer; the counter has 32 bits.
const sealerBoxes = math.MaxUint32

func newSealer(id ID, key *[keyBytes]byte) (*sealer, error) {
	s := &sealer{id: id}
	_, _ = rand.Read(s.drawn[:]) // never fails, by its documentation
	var err error
	s.aead, err = derive(key, [drawnBytes]byte(s.drawn[:drawnBytes]))
	return s, err
}

// seal appends a box; false where the sealer has no nonce left.
func (s *sealer) seal(dst, plain []byte, purpose Purpose) ([]byte, bool) {
	n := s.used.Add(1)
	if n > sealerBoxes {
		return dst, false
	}
	dst = append(dst, s.id[:]...)
	dst = append(dst, s.drawn[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	nonce := [nonceBytes - drawnBytes]byte(dst[len(dst)-(nonceBytes-drawnBytes):])
	return s.aead.Seal(dst, nonce[:], plain, []byte(purpose)), true
}

// openers are the derived keys of boxes that were opened lately: boxes that are written together have
// the same one.
type openers struct {
	mu    sync.Mutex // guards the rest
	aeads map[opener]cipher.AEAD
}

type opener struct {
	id    ID
	drawn [drawnBytes]byte
}

// maxOpeners bounds the derived keys that are held, of some 1 KiB each.
const maxOpeners = 256

// of returns the derived key of a box, or nil where its data key is not among keys.
func (o *openers) of(box []byte, key func(ID) *[keyBytes]byte) (cipher.AEAD, error) {
	wanted := opener{ID(box[:idBytes]), [drawnBytes]byte(box[idBytes:])}
	o.mu.Lock()
	aead := o.aeads[wanted]
	o.mu.Unlock()
	if aead != nil {
		return aead, nil
	}
	data := key(wanted.id)
	if data == nil {
		return nil, &NoKeyError{wanted.id}
	}
	aead, err := derive(data, wanted.drawn)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.aeads == nil || len(o.aeads) >= maxOpeners {
		o.aeads = map[opener]cipher.AEAD{}
	}
	o.aeads[wanted] = aead
	return aead, nil
}

// open appends what is in a box.
func (o *openers) open(dst, box []byte, purpose Purpose, key func(ID) *[keyBytes]byte) ([]byte, error) {
	if len(box) < Overhead {
		return dst, fmt.Errorf("a sealed %s of %d bytes is cut short: %w", purpose, len(box), pillarbox.ErrCorrupt)
	}
	aead, err := o.of(box, key)
	if err != nil {
		return dst, err
	}
	plain, err := aead.Open(dst, box[idBytes+drawnBytes:idBytes+nonceBytes], box[idBytes+nonceBytes:],
		[]byte(purpose))
	if err != nil {
		return dst, fmt.Errorf("a sealed %s does not open with its key: it was changed: %w", purpose, pillarbox.ErrCorrupt)
	}
	return plain, nil
}
