package fakedynamo

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
)

// maxDepth bounds how deep values may be nested.
const maxDepth = 32

// item is an item, or its key.
type item map[string]value

// value is the value of an attribute.
type value struct {
	kind string // S, N, B, BOOL, NULL, M or L
	text string // of S and N
	raw  []byte // of B
	yes  bool   // of BOOL
	fold item   // of M
	list []value
}

// MarshalJSON writes items by hand: tests read many, and reflection is slow under the race
// detector.
func (i item) MarshalJSON() ([]byte, error) { return i.append(nil), nil }

// MarshalJSON writes a value that stands alone.
func (v value) MarshalJSON() ([]byte, error) { return v.append(nil), nil }

func (i item) append(text []byte) []byte {
	text = append(text, '{')
	for name, v := range i {
		if text[len(text)-1] != '{' {
			text = append(text, ',')
		}
		text = append(appendString(text, name), ':')
		text = v.append(text)
	}
	return append(text, '}')
}

func (v value) append(text []byte) []byte {
	text = append(append(append(text, `{"`...), v.kind...), `":`...)
	switch v.kind {
	case "S", "N":
		text = appendString(text, v.text)
	case "B":
		text = append(base64.StdEncoding.AppendEncode(append(text, '"'), v.raw), '"')
	case "BOOL", "NULL":
		text = strconv.AppendBool(text, v.yes)
	case "M":
		text = v.fold.append(text)
	case "L":
		text = append(text, '[')
		for at, element := range v.list {
			if at > 0 {
				text = append(text, ',')
			}
			text = element.append(text)
		}
		text = append(text, ']')
	}
	return append(text, '}')
}

func appendString(text []byte, s string) []byte {
	if isPlain(s) {
		return append(append(append(text, '"'), s...), '"')
	}
	quoted, _ := json.Marshal(s) // a text always has a form
	return append(text, quoted...)
}

// valueForm is a value as it is written: exactly one of these is there.
type valueForm struct {
	S, N       *string
	B          *[]byte
	BOOL, NULL *bool
	M          *item
	L          *[]value
}

// isPlain reports whether the text is the same in JSON. Most are, and tests write and read many.
func isPlain(text string) bool {
	for at := range len(text) {
		if c := text[at]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func (v *value) UnmarshalJSON(text []byte) error {
	if inner, ok := bytes.CutPrefix(text, []byte(`{"S":"`)); ok {
		if inner, ok := strings.CutSuffix(string(inner), `"}`); ok && isPlain(inner) {
			*v = value{kind: "S", text: inner}
			return nil
		}
	}
	var form valueForm
	if err := json.Unmarshal(text, &form); err != nil {
		return err
	}
	n := 0
	take := func(there bool, kind string) bool {
		if there {
			v.kind = kind
			n++
		}
		return there
	}
	*v = value{}
	if take(form.S != nil, "S") {
		v.text = *form.S
	}
	if take(form.N != nil, "N") {
		v.text = *form.N
	}
	if take(form.B != nil, "B") {
		v.raw = *form.B
	}
	if take(form.BOOL != nil, "BOOL") {
		v.yes = *form.BOOL
	}
	if take(form.NULL != nil, "NULL") {
		v.yes = *form.NULL
	}
	if take(form.M != nil, "M") {
		v.fold = *form.M
	}
	if take(form.L != nil, "L") {
		v.list = *form.L
	}
	switch n {
	case 0:
		return unknown("values of the type in %.40s", text)
	case 1:
		return nil
	}
	return invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
}

// size is what the value counts for, without its name. The rules are those of DynamoDB's page on
// item sizes: a list or a map counts three, and one for each element; numbers are about half a byte
// for each digit.
func (v value) size() int {
	switch v.kind {
	case "S":
		return len(v.text)
	case "N":
		return (len(strings.Trim(v.text, "-0."))+1)/2 + 1
	case "B":
		return len(v.raw)
	case "M":
		return 3 + len(v.fold) + v.fold.size()
	case "L":
		n := 3 + len(v.list)
		for _, element := range v.list {
			n += element.size()
		}
		return n
	}
	return 1
}

// size is what the item counts for: its names and values.
func (i item) size() int {
	n := 0
	for name, v := range i {
		n += len(name) + v.size()
	}
	return n
}

// check refuses values that DynamoDB refuses wherever they are.
func (v value) check(depth int) error {
	if depth > maxDepth {
		return invalid("Nesting Levels have exceeded supported limits")
	}
	switch v.kind {
	case "N":
		if _, ok := new(big.Rat).SetString(v.text); !ok {
			return invalid("The parameter cannot be converted to a numeric value: %s", v.text)
		}
	case "NULL":
		if !v.yes {
			return invalid("One or more parameter values were invalid: Null attribute value types must have the value of true")
		}
	case "M":
		return v.fold.check(depth + 1)
	case "L":
		for _, element := range v.list {
			if err := element.check(depth + 1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (i item) check(depth int) error {
	for name, v := range i {
		if name == "" && depth == 0 || len(name) > 65_535 {
			return invalid("One or more parameter values were invalid: Attribute name is too large or empty")
		}
		if err := v.check(depth); err != nil {
			return err
		}
	}
	return nil
}

// compare orders values of one type, and reports whether they have an order.
func (v value) compare(other value) (int, bool) {
	if v.kind != other.kind {
		return 0, false
	}
	switch v.kind {
	case "S":
		return cmp.Compare(v.text, other.text), true
	case "B":
		return bytes.Compare(v.raw, other.raw), true
	case "N":
		a, _ := new(big.Rat).SetString(v.text)
		b, _ := new(big.Rat).SetString(other.text)
		return a.Cmp(b), true
	}
	return 0, false
}

func (v value) equal(other value) bool {
	if order, ok := v.compare(other); ok {
		return order == 0
	}
	a, _ := json.Marshal(v)
	b, _ := json.Marshal(other)
	return bytes.Equal(a, b)
}
