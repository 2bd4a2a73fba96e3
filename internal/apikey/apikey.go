// Package apikey makes API keys, keeps them, and says whether one may come in.
//
// A key is "pb_", 22 characters of chance in base62 (131 bits), and a checksum of 6: scanners of
// source code know one when it leaks, without asking anybody. It is shown once, when it is made;
// what is kept is its SHA-256, which is enough for a secret that nobody can guess.
//
// The package knows no front and no configuration. Ring is what is asked for each request; Store
// keeps a ring on the disk.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"sync/atomic"
	"time"

	"pillarbox"
)

// Prefix begins every key.
const Prefix = "pb_"

const (
	chanceLength   = 22 // characters; 62^22 is more than 2^130
	checksumLength = 6  // characters; 62^6 is more than 2^32

	// Length is that of every key, in bytes.
	Length = len(Prefix) + chanceLength + checksumLength
)

// alphabet is that of base62.
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// digest is the SHA-256 of a key.
type digest [sha256.Size]byte

// generate makes a key.
func generate() string {
	text := []byte(Prefix)
	var chance [1]byte
	for len(text) < len(Prefix)+chanceLength {
		_, _ = rand.Read(chance[:]) // never fails, as its document says
		if c := chance[0] & 63; int(c) < len(alphabet) {
			text = append(text, alphabet[c])
		}
	}
	sum := checksum(text)
	return string(append(text, sum[:]...))
}

// checksum is the CRC-32 (IEEE) of a key up to it, in base62.
func checksum(text []byte) (sum [checksumLength]byte) {
	crc := ^uint32(0) // by hand, because crc32.ChecksumIEEE has its text moved to the heap
	for _, c := range text {
		crc = crc32.IEEETable[byte(crc)^c] ^ crc>>8
	}
	crc = ^crc
	for i := len(sum) - 1; i >= 0; i-- {
		sum[i] = alphabet[crc%uint32(len(alphabet))]
		crc /= uint32(len(alphabet))
	}
	return sum
}

// parse returns the digest of a key, if it has the form of one and its checksum is right. It
// allocates nothing.
func parse(text string) (digest, bool) {
	key, ok := formOf(text)
	if !ok || !key.checks() {
		return digest{}, false
	}
	return sha256.Sum256(key[:]), true
}

// form is a text that is as long as a key and begins like one.
type form [Length]byte

func formOf(text string) (key form, ok bool) {
	if len(text) != Length || text[:len(Prefix)] != Prefix {
		return key, false
	}
	copy(key[:], text)
	return key, true
}

// checks reports whether the checksum is that of the text before it.
func (f *form) checks() bool {
	return checksum(f[:Length-checksumLength]) == [checksumLength]byte(f[Length-checksumLength:])
}

// Key is what is known of a key. The times that are zero are none.
type Key struct {
	ID        string
	Name      string // of who has it; may be empty, and that of several
	Source    string // the only one that it opens; empty for all
	CreatedAt pillarbox.Timestamp
	ExpiresAt pillarbox.Timestamp
	RevokedAt pillarbox.Timestamp
	LastUsed  pillarbox.Timestamp // to the second
}

// Caller is the name of who comes with the key.
func (k *Key) Caller() string {
	if k.Name != "" {
		return k.Name
	}
	return k.ID
}

// Reason is why a key does not open a source.
type Reason string

// The reasons.
const (
	Malformed   Reason = "malformed" // it is none, or was mistyped
	Unknown     Reason = "unknown"
	Revoked     Reason = "revoked"
	Expired     Reason = "expired"
	OtherSource Reason = "other_source"
)

// entry is a key of a ring. All but used never changes.
type entry struct {
	Key
	digest digest
	used   *atomic.Int64 // Unix time; of the key, whatever became of its entry
}

// Ring is the keys that are in force. The zero value has none. All methods may be called
// concurrently.
type Ring struct {
	entries atomic.Pointer[map[digest]*entry]
}

// Load puts the keys of a file in force, as a Store has written it: for who reads it and never
// writes. Nothing of FileName is nil, which is no keys. Errors: ErrCorrupt, after which the keys
// before are in force.
func (r *Ring) Load(text []byte) error {
	var entries []*entry
	if text != nil {
		var err error
		if entries, err = decode(text); err != nil {
			return fmt.Errorf("%s: %w: %w", FileName, err, pillarbox.ErrCorrupt)
		}
	}
	r.put(entries)
	return nil
}

// put puts entries in force.
func (r *Ring) put(entries []*entry) {
	table := make(map[digest]*entry, len(entries))
	for _, e := range entries {
		table[e.digest] = e
	}
	r.entries.Store(&table)
}

// Open says who comes with a key to a source, or why it does not open it. The key's name or id is
// returned, which points into nothing of the request. It allocates nothing.
func (r *Ring) Open(text, source string, now time.Time) (caller string, refused Reason) {
	key, ok := formOf(text)
	if !ok {
		return "", Malformed
	}
	e := r.find(sha256.Sum256(key[:]))
	switch {
	case e == nil && !key.checks(): // not before: the digest of a key that is there says as much
		return "", Malformed
	case e == nil:
		return "", Unknown
	case e.RevokedAt != 0:
		return "", Revoked
	case e.ExpiresAt != 0 && now.UnixMicro() >= int64(e.ExpiresAt):
		return "", Expired
	case e.Source != "" && e.Source != source:
		return "", OtherSource
	}
	if seconds := now.Unix(); e.used.Load() < seconds { // a line of memory that all share is written once a second
		e.used.Store(seconds)
	}
	return e.Caller(), ""
}

func (r *Ring) find(sum digest) *entry {
	if entries := r.entries.Load(); entries != nil {
		return (*entries)[sum]
	}
	return nil
}
