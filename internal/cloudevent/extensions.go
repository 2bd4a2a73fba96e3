package cloudevent

import (
	"slices"
	"strings"

	"pillarbox"
)

// Extensions returns the attributes of an event in binary mode that are no facts: its extensions, by
// name in small letters and decoded, in the order of the header, the first of each name. Names that
// CloudEvents does not allow, and values that can't be decoded, are left out.
func Extensions(header pillarbox.Header) (extensions []pillarbox.Attribute) {
	for _, field := range header {
		name, is := strings.CutPrefix(field.Name, "Ce-")
		if !is || slices.Contains(headerNames[:], field.Name) {
			continue
		}
		name = strings.ToLower(name)
		known := slices.ContainsFunc(extensions, func(a pillarbox.Attribute) bool { return a.Name == name })
		value, err := decodeHeader(field.Value)
		if err == nil && !known && isAttributeName(name) {
			extensions = append(extensions, pillarbox.Attribute{Name: name, Value: value})
		}
	}
	return extensions
}

// isAttributeName reports whether a name is of small letters and digits (CloudEvents 1.0.2, "Naming
// Conventions").
func isAttributeName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
