package dynamodb

import (
	"encoding/base64"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// MaxItemBytes bounds the names and values of an item, in bytes (Limits.html of the developer
// guide). An event whose body is in the item too is refused beyond it.
const MaxItemBytes = 400 << 10

// Limits of DynamoDB (API_BatchWriteItem.html, API_BatchGetItem.html).
const (
	maxBatchWrites = 25
	maxBatchKeys   = 100
	// maxBatchBytes is below the 16 MB of a request over the wire, whichever megabytes these are.
	maxBatchBytes = 15 << 20
)

// sizeOf is what an item counts for: the UTF-8 of all names and values. A list or a map counts
// three bytes more, and one for each element (CapacityUnitCalculations.html of the developer
// guide). A number counts about half a byte for each digit; it is rounded up here.
func sizeOf(i item) int {
	n := 0
	for name, value := range i {
		n += len(name) + valueSize(value)
	}
	return n
}

func valueSize(value types.AttributeValue) int {
	switch value := value.(type) {
	case *types.AttributeValueMemberS:
		return len(value.Value)
	case *types.AttributeValueMemberB:
		return len(value.Value)
	case *types.AttributeValueMemberN:
		return (len(value.Value)+1)/2 + 1
	case *types.AttributeValueMemberM:
		return 3 + len(value.Value) + sizeOf(value.Value)
	case *types.AttributeValueMemberL:
		n := 3 + len(value.Value)
		for _, element := range value.Value {
			n += valueSize(element)
		}
		return n
	}
	panic("pillarbox: bug: an attribute of a type that items do not have")
}

// wireBytes is at least what the item has in a request: JSON, with bytes in base64 and some letters
// escaped.
func wireBytes(i item) int {
	n := 2
	for name, value := range i {
		n += jsonBytes(name) + len(`"":{"S":},`) + valueWireBytes(value)
	}
	return n
}

func valueWireBytes(value types.AttributeValue) int {
	switch value := value.(type) {
	case *types.AttributeValueMemberS:
		return 2 + jsonBytes(value.Value)
	case *types.AttributeValueMemberB:
		return 2 + base64.StdEncoding.EncodedLen(len(value.Value))
	case *types.AttributeValueMemberN:
		return 2 + len(value.Value)
	case *types.AttributeValueMemberM:
		return wireBytes(value.Value)
	case *types.AttributeValueMemberL:
		n := 2
		for _, element := range value.Value {
			n += len(`{"S":},`) + valueWireBytes(element)
		}
		return n
	}
	panic("pillarbox: bug: an attribute of a type that items do not have")
}

// jsonBytes is at least the length of the text in JSON, whichever of the allowed escapes are used.
func jsonBytes(text string) int {
	n := len(text)
	for at := range len(text) {
		switch c := text[at]; {
		case c < 0x20, c == '<', c == '>', c == '&', c == 0x7f:
			n += 5 // \u001f
		case c == '"', c == '\\', c == '/':
			n++
		case c == 0xE2: // perhaps of U+2028 or U+2029
			n += 3
		}
	}
	return n
}
