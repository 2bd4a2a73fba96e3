package signature

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"pillarbox"
)

// The prefixes of Standard Webhooks, version 1.0.0: of secrets, of private and public keys, and of
// signatures by them.
const (
	secretPrefix  = "whsec_"
	privatePrefix = "whsk_"
	publicPrefix  = "whpk_"
	versionMAC    = "v1,"
	versionKey    = "v1a,"
)

// The bounds of a secret of Standard Webhooks, in bytes.
const (
	minStandardSecret = 24
	maxStandardSecret = 64
)

// maxKeySignatures is how many signatures by a key are looked at: each takes some 100 µs with each
// key, and a sender that exchanges its key has two.
const maxKeySignatures = 3

// names are the headers of Standard Webhooks.
type names struct{ id, timestamp, signature string }

// standardNames are those of the specification, and those that Svix sends under its own name. They
// are not mixed.
var standardNames = [2]names{
	{HeaderID, HeaderTimestamp, HeaderSignature},
	{"Svix-Id", "Svix-Timestamp", "Svix-Signature"},
}

// standard verifies Standard Webhooks: HMAC (v1) and ed25519 (v1a) over id.timestamp.body.
type standard struct {
	keys      []*key
	tolerance time.Duration
}

func compileStandard(settings Settings) (checker, []string, []string, error) {
	s, err := newStandard(settings.Secrets, settings.Tolerance)
	if err != nil {
		return nil, nil, nil, err
	}
	return s, standardHeaders(), nil, nil
}

func standardHeaders() (all []string) {
	for _, n := range standardNames {
		all = append(all, n.id, n.timestamp, n.signature)
	}
	return all
}

func newStandard(secrets []string, tolerance time.Duration) (*standard, error) {
	s := &standard{tolerance: tolerance}
	for i, secret := range secrets {
		k, err := readStandard(secret)
		if err != nil {
			return nil, wrong(fmt.Sprintf("secrets[%d]", i), err.Error())
		}
		s.keys = append(s.keys, k)
	}
	return s, nil
}

func readStandard(secret string) (*key, error) {
	if text, ok := strings.CutPrefix(secret, publicPrefix); ok {
		bytes, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(bytes) != ed25519.PublicKeySize {
			return nil, errorText("want 32 bytes in base64 behind whpk_")
		}
		return newPublic(bytes), nil
	}
	if strings.HasPrefix(secret, privatePrefix) {
		return nil, errorText("this is the private key: want the public one, which begins with whpk_")
	}
	bytes, err := readMACSecret(secret, "want whsec_ and base64, or for ed25519 whpk_ and base64")
	if err != nil {
		return nil, err
	}
	return newMAC(sha256.New, bytes), nil
}

// readMACSecret reads whsec_ and base64. otherwise says what is wanted where it is something else.
func readMACSecret(secret, otherwise string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	if !ok {
		return nil, errorText(otherwise)
	}
	bytes, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errorText("want base64 behind whsec_")
	}
	if len(bytes) < minStandardSecret || len(bytes) > maxStandardSecret {
		return nil, errorText("want 24 to 64 bytes in base64 behind whsec_")
	}
	return bytes, nil
}

func (s *standard) verify(r *Request, at time.Time) (Verified, error) {
	n := standardNames[0]
	if !has(r.Header, n.signature) {
		n = standardNames[1]
	}
	text, err := one(r.Header, n.signature)
	if err != nil {
		return Verified{}, err
	}
	var found candidates
	if err := readVersions(text, &found); err != nil {
		return Verified{}, err
	}
	id, timestamp, signed, err := readSigned(r.Header, n)
	if err != nil {
		return Verified{}, err
	}
	if !s.matches(r.Body, id, timestamp, &found) {
		return Verified{}, Mismatch
	}
	if err := near(signed, at, s.tolerance); err != nil {
		return Verified{}, err
	}
	return Verified{ID: id, Time: signed}, nil
}

func readSigned(header pillarbox.Header, n names) (
	id, timestamp string, signed time.Time, err error) {
	if id, err = one(header, n.id); err != nil {
		return
	}
	if timestamp, err = one(header, n.timestamp); err != nil {
		return
	}
	if err = checkID(id, "."); err != nil {
		return
	}
	signed, err = readTime(Unix, timestamp)
	return
}

// readVersions reads signatures that are separated by one space each. Those of other versions are
// counted, and left out.
func readVersions(text string, found *candidates) error {
	byKey := 0
	for count := 0; ; count++ {
		item, rest, more := strings.Cut(text, " ")
		if count == MaxSignatures || item == "" {
			return Malformed
		}
		if mac, ok := strings.CutPrefix(item, versionMAC); ok {
			found.add(sha256.Size, form{Base64, true}, mac)
		} else if signature, ok := strings.CutPrefix(item, versionKey); ok {
			if byKey++; byKey > maxKeySignatures {
				return Malformed
			}
			found.add(ed25519.SignatureSize, form{Base64, true}, signature)
		}
		if text = rest; !more {
			break
		}
	}
	if found.n == 0 {
		return Malformed
	}
	return nil
}

func (s *standard) matches(body []byte, id, timestamp string, found *candidates) bool {
	for _, k := range s.keys {
		state := k.get()
		state.text = append(append(state.text, id...), '.')
		state.text = append(append(state.text, timestamp...), '.')
		state.write(body)
		matches := k.matches(state, found)
		k.put(state)
		if matches {
			return true
		}
	}
	return false
}
