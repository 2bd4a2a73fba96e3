package atrest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"pillarbox"
)

// KeyEncryption wraps data keys. It may be called concurrently.
type KeyEncryption interface {
	// Name names the key for people and for data keys, without giving it away: keys with one name are
	// one key.
	Name() string
	// Wrap returns a data key so that only the same key can read it. Errors: ErrUnavailable.
	Wrap(ctx context.Context, key []byte) ([]byte, error)
	// Unwrap undoes Wrap. Errors: ErrCorrupt where it is not what Wrap of this key has made;
	// ErrUnavailable.
	Unwrap(ctx context.Context, wrapped []byte) ([]byte, error)
}

// wrapPurpose is what a box is for that holds a data key.
const wrapPurpose Purpose = "data key"

// secretKey wraps with a key that is at hand.
type secretKey struct {
	name string
	key  [keyBytes]byte
}

// NewSecretKey returns the KeyEncryption with a key of 32 bytes in base64, as "pillarbox encryption
// new-key" writes it. from says where the text is from, for errors and the name. Errors: ErrInvalid.
func NewSecretKey(from, text string) (KeyEncryption, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != keyBytes {
		return nil, pillarbox.Invalid("%s holds no key: want %d bytes in base64, as \"pillarbox encryption new-key\" prints them", from, keyBytes)
	}
	sum := sha256.Sum256(append([]byte("pillarbox key of data keys "), raw...))
	return &secretKey{"key:" + hex.EncodeToString(sum[:8]), [keyBytes]byte(raw)}, nil
}

func (s *secretKey) Name() string { return s.name }

func (s *secretKey) Wrap(_ context.Context, key []byte) ([]byte, error) {
	one, err := newSealer(ID{}, &s.key)
	if err != nil {
		return nil, err
	}
	box, _ := one.seal(nil, key, wrapPurpose)
	return box, nil
}

func (s *secretKey) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	var openers openers
	return openers.open(nil, wrapped, wrapPurpose, func(ID) *[keyBytes]byte { return &s.key })
}

// unwrap asks the key that a data key is wrapped by.
func unwrap(ctx context.Context, of *dataKeyFile, known []KeyEncryption) (*[keyBytes]byte, error) {
	for _, with := range known {
		if with.Name() != of.WrappedBy {
			continue
		}
		key, err := with.Unwrap(ctx, of.Wrapped)
		if err == nil && len(key) != keyBytes {
			err = fmt.Errorf("it has %d bytes: %w", len(key), pillarbox.ErrCorrupt)
		}
		if err != nil {
			return nil, fmt.Errorf("unwrap the data key %s with %s: %w", of.ID, of.WrappedBy, err)
		}
		return (*[keyBytes]byte)(key), nil
	}
	names := make([]string, len(known))
	for i, with := range known {
		names[i] = with.Name()
	}
	if len(names) == 0 {
		names = []string{"none"}
	}
	return nil, pillarbox.Invalid(
		"the data key %s of %s is wrapped by %s, and the configured keys are: %s; name that key in encryption.old_keys, or move %s and its copy away to give up what is sealed with it",
		of.ID, of.Created, of.WrappedBy, strings.Join(names, ", "), fileName(of.ID, 0))
}

// errNoKeyEncryption is why nothing can be sealed.
var errNoKeyEncryption = errors.New("no encryption.key is configured")
