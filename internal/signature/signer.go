package signature

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The headers of Standard Webhooks, in canonical form.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// Signer signs requests by Standard Webhooks 1.0.0, as Verifier's scheme of that name verifies them:
// id, time and body, with HMAC-SHA256 (v1) or ed25519 (v1a). With several secrets there are as many
// signatures, so that a receiver may know the old one or the new one. All methods may be called
// concurrently.
type Signer struct {
	secrets []standardSecret
}

// standardSecret is one of the two.
type standardSecret struct {
	mac     *key // nil for ed25519
	private ed25519.PrivateKey
}

// NewSigner reads secrets: whsec_ and base64 of 24 to 64 bytes, or whsk_ and base64 of a private key
// of ed25519: its seed (32 bytes), or seed and public key (64). There are 1 to MaxSecrets of them.
// Errors are of the type SettingError, with the key secrets or secrets[i], and hold no secret.
func NewSigner(secrets []string) (*Signer, error) {
	if len(secrets) == 0 {
		return nil, wrong("secrets", "none is set")
	}
	if len(secrets) > MaxSecrets {
		return nil, wrong("secrets", fmt.Sprintf("there are more than %d, and receivers look at no more", MaxSecrets))
	}
	s := &Signer{}
	byKey := 0
	for i, secret := range secrets {
		read, err := readSigning(secret)
		if err != nil {
			return nil, wrong(fmt.Sprintf("secrets[%d]", i), err.Error())
		}
		if read.private != nil {
			byKey++
		}
		s.secrets = append(s.secrets, read)
	}
	if byKey > maxKeySignatures {
		return nil, wrong("secrets", fmt.Sprintf("more than %d are keys of ed25519, and receivers look at no more", maxKeySignatures))
	}
	return s, nil
}

func readSigning(secret string) (standardSecret, error) {
	if text, ok := strings.CutPrefix(secret, privatePrefix); ok {
		private, err := readPrivate(text)
		return standardSecret{private: private}, err
	}
	if strings.HasPrefix(secret, publicPrefix) {
		return standardSecret{}, errorText("this is the public key, for the receiver: want the private one, which begins with whsk_")
	}
	bytes, err := readMACSecret(secret, "want whsec_ and base64, or for ed25519 whsk_ and base64")
	return standardSecret{mac: newMAC(sha256.New, bytes)}, err
}

func readPrivate(text string) (ed25519.PrivateKey, error) {
	bytes, err := base64.StdEncoding.DecodeString(text)
	switch {
	case err != nil:
	case len(bytes) == ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(bytes), nil
	case len(bytes) == ed25519.PrivateKeySize:
		private := ed25519.NewKeyFromSeed(bytes[:ed25519.SeedSize])
		if !private.Equal(ed25519.PrivateKey(bytes)) {
			return nil, errorText("its public half does not belong to its private one")
		}
		return private, nil
	}
	return nil, errorText("want 32 or 64 bytes in base64 behind whsk_")
}

// Sign returns the values of HeaderTimestamp and HeaderSignature for a request that is sent at the
// time. The id must not contain a dot: it could be taken for a part of what follows.
func (s *Signer) Sign(id string, at time.Time, body []byte) (timestamp, signatures string) {
	timestamp = strconv.FormatInt(at.Unix(), 10)
	head := make([]byte, 0, len(id)+len(timestamp)+2)
	head = append(append(append(append(head, id...), '.'), timestamp...), '.')
	var text []byte
	for i, secret := range s.secrets {
		if i > 0 {
			text = append(text, ' ')
		}
		if secret.private == nil {
			state := secret.mac.get()
			state.text = append(state.text, head...)
			state.write(body)
			text = base64.StdEncoding.AppendEncode(append(text, versionMAC...), state.hash.Sum(state.sum[:0]))
			secret.mac.put(state)
			continue
		}
		message := append(head[:len(head):len(head)], body...)
		text = base64.StdEncoding.AppendEncode(append(text, versionKey...), ed25519.Sign(secret.private, message))
	}
	return timestamp, string(text)
}
