package atrest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"pillarbox"
)

// document is the content of a file that is sealed as a whole: JSON like what is in it, so that a
// person who opens it sees what it is.
type document struct {
	Sealed  int     `json:"sealed"` // version of the form
	Purpose Purpose `json:"purpose"`
	DataKey ID      `json:"data_key"`
	Box     []byte  `json:"box"`
}

const (
	documentVersion = 1
	documentStart   = `{"sealed":`
)

// DocumentBytes is at most how long the document is with so many bytes in it.
func DocumentBytes(plain int64) int64 { return (plain+Overhead+2)/3*4 + 128 }

// SealDocument returns the content of a file with plain in it: plain itself where nothing is sealed.
func (k *Keys) SealDocument(plain []byte, purpose Purpose) ([]byte, error) {
	if !k.Seals() {
		return plain, nil
	}
	box, err := k.Seal(nil, plain, purpose)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(document{documentVersion, purpose, ID(box[:idBytes]), box})
	return append(text, '\n'), err
}

// IsDocument reports whether the content of a file is sealed.
func IsDocument(content []byte) bool { return bytes.HasPrefix(content, []byte(documentStart)) }

// OpenDocument undoes SealDocument: content that is not sealed comes back as it is. Errors:
// *NoKeyError; ErrInvalid where a newer version has sealed it; ErrCorrupt.
func (k *Keys) OpenDocument(content []byte, purpose Purpose) ([]byte, error) {
	if !IsDocument(content) {
		return content, nil
	}
	d, err := readDocument(content)
	if err != nil {
		return nil, err
	}
	return k.Open(nil, d.Box, purpose)
}

// OpenAny is OpenDocument for whatever the content says that it is.
func (k *Keys) OpenAny(content []byte) ([]byte, error) {
	if !IsDocument(content) {
		return nil, pillarbox.Invalid("it is not sealed as a whole")
	}
	d, err := readDocument(content)
	if err != nil {
		return nil, err
	}
	return k.Open(nil, d.Box, d.Purpose)
}

func readDocument(content []byte) (d document, err error) {
	if err := json.Unmarshal(content, &d); err != nil {
		return d, fmt.Errorf("a sealed file: %w: %w", err, pillarbox.ErrCorrupt)
	}
	if d.Sealed != documentVersion {
		return d, pillarbox.Invalid("a sealed file has the version %d, and this pillarbox reads %d; use the version of pillarbox that wrote it",
			d.Sealed, documentVersion)
	}
	return d, nil
}
