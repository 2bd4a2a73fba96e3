package signature

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"sync"
)

// maxSize is the longest signature, in bytes: of ed25519 and of HMAC-SHA512.
const maxSize = 64

// maxKept is how large a buffer is kept for the next request, in bytes. A larger one is of a rare
// large body that ed25519 needs in one piece.
const maxKept = 64 << 10

// key is one secret, ready for use.
type key struct {
	size   int
	public ed25519.PublicKey // or nil for HMAC
	token  [sha256.Size]byte // digest of a token, where hashes has no key
	states sync.Pool         // of *state
}

// state is what one verification needs, and gives back.
type state struct {
	hash hash.Hash // nil for ed25519
	text []byte
	sum  [maxSize]byte
}

func newMAC(algorithm func() hash.Hash, secret []byte) *key {
	k := &key{size: algorithm().Size()}
	k.states.New = func() any { return &state{hash: hmac.New(algorithm, secret)} }
	return k
}

func newPublic(public ed25519.PublicKey) *key {
	k := &key{size: ed25519.SignatureSize, public: public}
	k.states.New = func() any { return &state{} }
	return k
}

// newToken compares digests and not tokens, so that neither content nor length shows in the time it
// takes.
func newToken(secret string) *key {
	k := &key{size: sha256.Size, token: sha256.Sum256([]byte(secret))}
	k.states.New = func() any { return &state{hash: sha256.New()} }
	return k
}

func (k *key) get() *state { return k.states.Get().(*state) }

// put gives a state back. The hash is of no message, then.
func (k *key) put(s *state) {
	if s.hash != nil {
		s.hash.Reset()
	}
	if cap(s.text) > maxKept {
		s.text = nil
	}
	s.text = s.text[:0]
	k.states.Put(s)
}

// flush hands the text to the hash. For ed25519 the message is the text.
func (s *state) flush() {
	if s.hash != nil {
		s.hash.Write(s.text) // never an error: see hash.Hash
		s.text = s.text[:0]
	}
}

// write adds bytes to the message; those of a body are not copied for HMAC.
func (s *state) write(body []byte) {
	if s.hash == nil {
		s.text = append(s.text, body...)
		return
	}
	s.flush()
	s.hash.Write(body)
}

// matches reports whether one of the signatures is of the message that was written.
func (k *key) matches(s *state, signatures *candidates) bool {
	s.flush()
	if k.public != nil {
		return signatures.any(k.size, func(signature []byte) bool {
			return ed25519.Verify(k.public, s.text, signature)
		})
	}
	sum := s.hash.Sum(s.sum[:0])
	return signatures.any(k.size, func(signature []byte) bool { return hmac.Equal(sum, signature) })
}

// algorithm is how a message is signed.
type algorithm struct {
	hash func() hash.Hash // of HMAC; nil for ed25519 and tokens
	size int              // of a signature, in bytes; 0 for tokens
}

// The algorithms.
const (
	HMACSHA1   = "hmac-sha1"
	HMACSHA256 = "hmac-sha256"
	HMACSHA512 = "hmac-sha512"
	Ed25519    = "ed25519"
	Token      = "token"
)

// Algorithms lists those that a description may name.
func Algorithms() []string { return []string{HMACSHA1, HMACSHA256, HMACSHA512, Ed25519, Token} }

var algorithms = map[string]algorithm{
	HMACSHA1:   {sha1.New, sha1.Size},
	HMACSHA256: {sha256.New, sha256.Size},
	HMACSHA512: {sha512.New, sha512.Size},
	Ed25519:    {nil, ed25519.SignatureSize},
	Token:      {nil, 0},
}
