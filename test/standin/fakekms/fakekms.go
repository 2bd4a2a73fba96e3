// Package fakekms is an in-memory stand-in for AWS KMS, for tests: the real SDK talks to it.
//
// It has symmetric keys, aliases and data keys, and really encrypts: AES-256-GCM, with the
// encryption context as additional data, so that a wrong key, a wrong context and a flipped bit are
// refused as KMS refuses them. Key policies, grants, rotation and asymmetric keys it does not know,
// and refuses.
package fakekms

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"pillarbox/test/standin/awsjson"
)

const (
	arnPrefix   = "arn:aws:kms:us-east-1:000000000000:key/"
	aliasPrefix = "arn:aws:kms:us-east-1:000000000000:"
	algorithm   = "SYMMETRIC_DEFAULT"

	// maxPlaintextBytes and maxDataKeyBytes are KMS's own.
	maxPlaintextBytes = 4096
	maxDataKeyBytes   = 1024
)

// ErrThrottled is what KMS answers to too many calls.
var ErrThrottled = &awsjson.Error{Code: "ThrottlingException",
	Message: "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."}

var (
	errNotFound   = &awsjson.Error{Code: "NotFoundException"}
	errDisabled   = &awsjson.Error{Code: "DisabledException"}
	errExists     = &awsjson.Error{Code: "AlreadyExistsException"}
	errCiphertext = &awsjson.Error{Code: "InvalidCiphertextException"}
	errWrongKey   = &awsjson.Error{Code: "IncorrectKeyException",
		Message: "The key ID in the request does not identify a CMK that can perform this operation."}
	errValidation = &awsjson.Error{Code: "ValidationException"}
)

// Server is the stand-in. It is an http.Handler. The faults are those of awsjson.Server.
type Server struct {
	*awsjson.Server
	now func() time.Time

	mu      sync.Mutex
	keys    map[string]*key   // by id; guarded by mu
	aliases map[string]string // name to id; guarded by mu
}

type key struct {
	id          string
	secret      []byte
	description string
	created     time.Time
	disabled    bool
}

// New returns a stand-in without keys. now is nil for time.Now.
func New(now func() time.Time) *Server {
	if now == nil {
		now = time.Now
	}
	s := &Server{now: now, keys: map[string]*key{}, aliases: map[string]string{}}
	s.Server = awsjson.NewServer(awsjson.Service{
		Target: "TrentService", Version: "1.1", Namespace: "com.amazonaws.kms", Throttled: ErrThrottled,
		Operations: map[string]awsjson.Operation{
			"CreateKey":       awsjson.Operate(s.createKey),
			"CreateAlias":     awsjson.Operate(s.createAlias),
			"DescribeKey":     awsjson.Operate(s.describeKey),
			"DisableKey":      awsjson.Operate(s.setDisabled(true)),
			"EnableKey":       awsjson.Operate(s.setDisabled(false)),
			"Encrypt":         awsjson.Operate(s.encrypt),
			"Decrypt":         awsjson.Operate(s.decrypt),
			"GenerateDataKey": awsjson.Operate(s.generateDataKey),
		},
	})
	return s
}

func (s *Server) createKey(_ context.Context, _ awsjson.Call, in *struct {
	Description                    string
	KeySpec, KeyUsage              string
	Tags                           []struct{ TagKey, TagValue string }
	MultiRegion                    bool
	BypassPolicyLockoutSafetyCheck bool
}) (any, error) {
	if in.MultiRegion || in.KeySpec != "" && in.KeySpec != algorithm || in.KeyUsage != "" &&
		in.KeyUsage != "ENCRYPT_DECRYPT" {
		return nil, errValidation.With("the stand-in has symmetric keys of one region only")
	}
	id := random(16)
	created := &key{
		id:     fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
		secret: random(32), description: in.Description, created: s.now(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[created.id] = created
	return map[string]any{"KeyMetadata": created.metadata()}, nil
}

func (s *Server) createAlias(_ context.Context, _ awsjson.Call,
	in *struct{ AliasName, TargetKeyID string }) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	target, err := s.findLocked(in.TargetKeyID)
	switch {
	case err != nil:
		return nil, err
	case !strings.HasPrefix(in.AliasName, "alias/") || strings.HasPrefix(in.AliasName, "alias/aws/"):
		return nil, errValidation.With("Invalid alias name %s", in.AliasName)
	case s.aliases[in.AliasName] != "":
		return nil, errExists.With("An alias with the name %s already exists", in.AliasName)
	}
	s.aliases[in.AliasName] = target.id
	return struct{}{}, nil
}

// onKey is the input of operations that need nothing but the key.
type onKey struct {
	KeyID       string `json:"KeyId"`
	GrantTokens []string
}

func (s *Server) describeKey(_ context.Context, _ awsjson.Call, in *onKey) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.findLocked(in.KeyID)
	if err != nil {
		return nil, err
	}
	return map[string]any{"KeyMetadata": found.metadata()}, nil
}

func (s *Server) setDisabled(disabled bool) func(context.Context, awsjson.Call,
	*onKey) (any, error) {
	return func(_ context.Context, _ awsjson.Call, in *onKey) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		found, err := s.findLocked(in.KeyID)
		if err != nil {
			return nil, err
		}
		found.disabled = disabled
		return struct{}{}, nil
	}
}

// findLocked returns the key that an id, an ARN, an alias or the ARN of an alias names.
func (s *Server) findLocked(name string) (*key, error) {
	short := strings.TrimPrefix(strings.TrimPrefix(name, arnPrefix), aliasPrefix)
	if id, ok := s.aliases[short]; ok {
		short = id
	}
	if found := s.keys[short]; found != nil {
		return found, nil
	}
	return nil, errNotFound.With("Key '%s' does not exist", name)
}

// usableLocked returns the key if it may encrypt and decrypt.
func (s *Server) usableLocked(name string) (*key, error) {
	found, err := s.findLocked(name)
	if err == nil && found.disabled {
		return nil, errDisabled.With("%s is disabled.", found.arn())
	}
	return found, err
}

func (k *key) arn() string { return arnPrefix + k.id }

func (k *key) metadata() map[string]any {
	state := "Enabled"
	if k.disabled {
		state = "Disabled"
	}
	return map[string]any{
		"KeyId": k.id, "Arn": k.arn(), "AWSAccountId": "000000000000", "Enabled": !k.disabled, "KeyState": state,
		"Description": k.description, "KeyUsage": "ENCRYPT_DECRYPT", "KeySpec": algorithm, "KeyManager": "CUSTOMER",
		"Origin": "AWS_KMS", "CreationDate": float64(
			k.created.UnixMilli()) / 1000, "EncryptionAlgorithms": []string{algorithm},
	}
}

type cryptInput struct {
	KeyID               string `json:"KeyId"`
	Plaintext           []byte
	CiphertextBlob      []byte
	EncryptionContext   map[string]string
	EncryptionAlgorithm string
	KeySpec             string
	NumberOfBytes       int
	GrantTokens         []string
}

func (in *cryptInput) check() error {
	if in.EncryptionAlgorithm != "" && in.EncryptionAlgorithm != algorithm {
		return errValidation.With("the stand-in has no %s", in.EncryptionAlgorithm)
	}
	return nil
}

func (s *Server) encrypt(_ context.Context, _ awsjson.Call, in *cryptInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	if len(in.Plaintext) == 0 || len(in.Plaintext) > maxPlaintextBytes {
		return nil, errValidation.With("Value at 'plaintext' failed to satisfy constraint: Member must have length between 1 and %d", maxPlaintextBytes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.usableLocked(in.KeyID)
	if err != nil {
		return nil, err
	}
	return map[string]any{"CiphertextBlob": k.seal(in.Plaintext, in.EncryptionContext),
		"KeyId": k.arn(), "EncryptionAlgorithm": algorithm}, nil
}

func (s *Server) generateDataKey(_ context.Context, _ awsjson.Call, in *cryptInput) (any, error) {
	n := map[string]int{"AES_256": 32, "AES_128": 16, "": in.NumberOfBytes}[in.KeySpec]
	if n < 1 || n > maxDataKeyBytes || in.KeySpec != "" && in.NumberOfBytes != 0 {
		return nil, errValidation.With("Please specify either number of bytes or key spec.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, err := s.usableLocked(in.KeyID)
	if err != nil {
		return nil, err
	}
	plain := random(n)
	return map[string]any{"Plaintext": plain, "CiphertextBlob": k.seal(plain, in.EncryptionContext),
		"KeyId": k.arn()}, nil
}

func (s *Server) decrypt(_ context.Context, _ awsjson.Call, in *cryptInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, sealed, ok := split(in.CiphertextBlob)
	if !ok || s.keys[id] == nil {
		return nil, errCiphertext
	}
	k, err := s.usableLocked(id)
	if err != nil {
		return nil, err
	}
	if in.KeyID != "" {
		if asked, err := s.findLocked(in.KeyID); err != nil || asked != k {
			return nil, errWrongKey
		}
	}
	plain, err := k.aead().Open(nil, sealed[:nonceBytes], sealed[nonceBytes:],
		additional(in.EncryptionContext))
	if err != nil {
		return nil, errCiphertext
	}
	return map[string]any{"Plaintext": plain, "KeyId": k.arn(), "EncryptionAlgorithm": algorithm}, nil
}

const (
	idBytes    = 36
	nonceBytes = 12
	tagBytes   = 16
)

// seal returns the id of the key, a nonce, and the plaintext sealed.
func (k *key) seal(plain []byte, encryptionContext map[string]string) []byte {
	nonce := random(nonceBytes)
	return append([]byte(k.id), k.aead().Seal(nonce, nonce, plain, additional(encryptionContext))...)
}

// split takes apart what seal returned.
func split(sealed []byte) (id string, rest []byte, ok bool) {
	if len(sealed) < idBytes+nonceBytes+tagBytes {
		return "", nil, false
	}
	return string(sealed[:idBytes]), sealed[idBytes:], true
}

func (k *key) aead() cipher.AEAD {
	block, err := aes.NewCipher(k.secret)
	if err != nil {
		panic("fakekms: bug: " + err.Error())
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("fakekms: bug: " + err.Error())
	}
	return aead
}

// additional is the encryption context as bytes, the same whatever the order.
func additional(encryptionContext map[string]string) []byte {
	if len(encryptionContext) == 0 {
		return nil
	}
	text, _ := json.Marshal(encryptionContext) // strings always have a form
	return text
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
