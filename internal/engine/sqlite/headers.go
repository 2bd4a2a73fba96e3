package sqlite

import (
	"slices"
	"strings"

	"pillarbox"
)

// headerText returns the JSON form of the headers, as pillarbox.Header marshals it, and their
// encoding. Headers that need no escapes, which are nearly all, are written here: the general way
// takes a tenth of the time of a Write.
func headerText(header pillarbox.Header) (text, encoding string, err error) {
	for _, field := range header {
		if !isPlain(field.Name) || !isPlain(field.Value) {
			header, encoding = header.Encoded()
			text, err := header.MarshalJSON()
			return string(text), encoding, err
		}
	}
	return plainHeaderText(header), "", nil
}

func plainHeaderText(header pillarbox.Header) string {
	size := 2
	for _, field := range header {
		size += len(field.Name) + len(field.Value) + len(`"":[""],`)
	}
	sorted := header
	byName := func(a, b pillarbox.HeaderField) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(header, byName) {
		sorted = slices.Clone(header)
		slices.SortStableFunc(sorted, byName)
	}
	text := append(make([]byte, 0, size), '{')
	for i, field := range sorted {
		switch {
		case i > 0 && sorted[i-1].Name == field.Name:
			text = append(text, ',')
		case i > 0:
			text = append(text, "],"...)
			fallthrough
		default:
			text = append(text, '"')
			text = append(text, field.Name...)
			text = append(text, `":[`...)
		}
		text = append(text, '"')
		text = append(text, field.Value...)
		text = append(text, '"')
	}
	if len(sorted) > 0 {
		text = append(text, ']')
	}
	return string(append(text, '}'))
}

// isPlain reports whether text is the same between the quotes of a JSON string.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
