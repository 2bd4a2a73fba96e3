package atrest

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// The vectors are those of https://c2sp.org/XAES-256-GCM.
func TestVectorsOfXAES(t *testing.T) {
	for _, v := range []struct {
		key              byte
		plain, aad, want string
	}{
		{0x01, "XAES-256-GCM", "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"},
		{0x03, "XAES-256-GCM", "c2sp.org/XAES-256-GCM",
			"986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"},
	} {
		key := [keyBytes]byte(bytes.Repeat([]byte{v.key}, keyBytes))
		nonce := []byte("ABCDEFGHIJKLMNOPQRSTUVWX")
		aead, err := derive(&key, [drawnBytes]byte(nonce[:drawnBytes]))
		if err != nil {
			t.Fatal(err)
		}
		got := aead.Seal(nil, nonce[drawnBytes:], []byte(v.plain), []byte(v.aad))
		if hex.EncodeToString(got) != v.want {
			t.Errorf("key %x: got %x, want %s", v.key, got, v.want)
		}
	}
}
