package atrest

import (
	"crypto/aes"
	"crypto/cipher"
)

// Sizes of a box, in bytes.
const (
	keyBytes   = 32 // of AES-256
	nonceBytes = 24 // of XAES-256-GCM
	drawnBytes = 12 // of the nonce, by which the key of a message is derived
	tagBytes   = 16 // of GCM
)

// derive returns AES-256-GCM with the key that XAES-256-GCM derives for nonces that begin so: by
// CMAC, as NIST SP 800-108r1 describes it (https://c2sp.org/XAES-256-GCM). The rest of such a nonce is
// the nonce of what it returns.
func derive(key *[keyBytes]byte, drawn [drawnBytes]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	var subkey [aes.BlockSize]byte // K1 of CMAC
	block.Encrypt(subkey[:], subkey[:])
	carry := subkey[0] >> 7
	for i := range subkey {
		subkey[i] <<= 1
		if i+1 < len(subkey) {
			subkey[i] |= subkey[i+1] >> 7
		}
	}
	subkey[len(subkey)-1] ^= carry * 0x87
	derived := make([]byte, 0, keyBytes)
	for counter := range byte(2) {
		m := [aes.BlockSize]byte{0, counter + 1, 'X', 0}
		copy(m[4:], drawn[:])
		for i := range m {
			m[i] ^= subkey[i]
		}
		block.Encrypt(m[:], m[:])
		derived = append(derived, m[:]...)
	}
	if block, err = aes.NewCipher(derived); err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
