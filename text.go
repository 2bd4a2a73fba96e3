package pillarbox

import (
	"encoding/base64"
	"fmt"
	"unicode/utf8"
)

// EncodingBase64 is the encoding of a text that stands for bytes which are not valid UTF-8, in the
// alphabet of RFC 4648, section 4, with padding.
const EncodingBase64 = "base64"

// EncodeText returns text for places that take valid UTF-8 only: text itself and no encoding, or
// its bytes in base64 and EncodingBase64. DecodeText gives the same bytes back.
func EncodeText(text string) (encoded, encoding string) {
	if utf8.ValidString(text) {
		return text, ""
	}
	return base64.StdEncoding.EncodeToString([]byte(text)), EncodingBase64
}

// DecodeText undoes EncodeText. Errors: ErrInvalid.
func DecodeText(encoded, encoding string) (string, error) {
	switch encoding {
	case "":
		return encoded, nil
	case EncodingBase64:
		text, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return string(text), nil
	}
	return "", Invalid("encoding %q, want none or %s", encoding, EncodingBase64)
}

// Encoded returns the header for places that take valid UTF-8 only: the header itself and no
// encoding, or a copy with all values in base64 and EncodingBase64. Decoded gives the same values
// back. Names are tokens of RFC 9110 and are left alone.
func (h Header) Encoded() (encoded Header, encoding string) {
	valid := true
	for _, field := range h {
		valid = valid && utf8.ValidString(field.Value)
	}
	if valid {
		return h, ""
	}
	encoded = make(Header, len(h))
	for i, field := range h {
		value := base64.StdEncoding.EncodeToString([]byte(field.Value))
		encoded[i] = HeaderField{Name: field.Name, Value: value}
	}
	return encoded, EncodingBase64
}

// Decoded undoes Encoded. Errors: ErrInvalid.
func (h Header) Decoded(encoding string) (Header, error) {
	if encoding == "" {
		return h, nil
	}
	decoded := make(Header, len(h))
	for i, field := range h {
		value, err := DecodeText(field.Value, encoding)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", field.Name, err)
		}
		decoded[i] = HeaderField{Name: field.Name, Value: value}
	}
	return decoded, nil
}
