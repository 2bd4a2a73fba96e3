package fakesqs

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
)

// The clients compare these sums with their own.

func sumOfBody(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// sumOfAttributes returns the sum over the attributes in the order of their names: of each the
// name, the type, a byte that says which kind of value follows, and the value, each text behind its
// length. It is empty for none.
func sumOfAttributes(attributes map[string]attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	var text []byte
	add := func(part []byte) {
		text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
		text = append(text, part...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		add([]byte(name))
		add([]byte(a.DataType))
		if strings.HasPrefix(a.DataType, "Binary") {
			text = append(text, 2)
			add(a.BinaryValue)
		} else {
			text = append(text, 1)
			add([]byte(*a.StringValue))
		}
	}
	sum := md5.Sum(text)
	return hex.EncodeToString(sum[:])
}
