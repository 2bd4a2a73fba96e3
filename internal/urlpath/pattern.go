// Package urlpath says which paths a source takes: the one that is written, or all of a pattern.
package urlpath

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"pillarbox"
)

// BatchSuffix is appended to the path of a source for batches.
const BatchSuffix = "/batch"

// anyRest is the last segment of a path that takes whatever is below it.
const anyRest = "*"

// Pattern is a path of which parts stand for others: a segment {NAME} for any one segment, whose
// value is kept as the attribute NAME, and a last segment * for one or more.
type Pattern struct {
	segments []string // a literal, "{NAME}", or "*"
	names    []string // of the segments; empty for none
	rest     bool     // the last segment is "*"
	named    int      // how many of them have a name
}

// Compile returns nil for a path that is taken as it is written. Errors: ErrInvalid.
func Compile(path string) (*Pattern, error) {
	if !strings.ContainsAny(path, "*{}") {
		return nil, nil
	}
	p := &Pattern{segments: strings.Split(strings.TrimPrefix(path, "/"), "/")}
	p.names = make([]string, len(p.segments))
	for i, segment := range p.segments {
		name, isNamed := strings.CutPrefix(segment, "{")
		switch {
		case segment == anyRest && i == len(p.segments)-1:
			p.rest = true
		case isNamed && strings.HasSuffix(name, "}"):
			name = strings.TrimSuffix(name, "}")
			if err := pillarbox.CheckAttributeName(name); err != nil {
				return nil, err
			}
			if slices.Contains(p.names, name) {
				return nil, pillarbox.Invalid("the segment {%s} is there twice", name)
			}
			p.names[i] = name
			p.named++
		case strings.ContainsAny(segment, "*{}"):
			return nil, pillarbox.Invalid("%q: want {NAME} for one segment, or * as the last one for all that is below", segment)
		}
	}
	return p, nil
}

// Names are the attributes that it gives; none of nil.
func (p *Pattern) Names() []string {
	if p == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.names), func(name string) bool { return name == "" })
}

// Shape is the same for two paths that take the same requests, whatever names they give.
func Shape(path string) string {
	p, err := Compile(path)
	if p == nil || err != nil {
		return path
	}
	shape := ""
	for i, segment := range p.segments {
		if p.names[i] != "" {
			segment = "{}"
		}
		shape += "/" + segment
	}
	return shape
}

// Takes reports whether a path is one of the pattern, and whether it is of batches: their last
// segment is that of BatchSuffix. The path is escaped, as it came.
func (p *Pattern) Takes(path string) (batch, ok bool) {
	if p.match(path) {
		return p.rest && isBatch(path), true
	}
	if single, cut := strings.CutSuffix(strings.TrimSuffix(path, "/"), BatchSuffix); cut && !p.rest {
		return true, p.match(single)
	}
	return false, false
}

func isBatch(path string) bool { return strings.HasSuffix(strings.TrimSuffix(path, "/"), BatchSuffix) }

func (p *Pattern) match(path string) bool {
	rest := strings.TrimPrefix(path, "/")
	for i, segment := range p.segments {
		if p.rest && i == len(p.segments)-1 {
			return strings.Trim(rest, "/") != ""
		}
		var part string
		part, rest, _ = strings.Cut(rest, "/")
		if part == "" || isDots(part) && p.names[i] != "" || p.names[i] == "" && part != segment && unescape(part) != segment {
			return false
		}
	}
	return rest == "" // a slash at the end is not looked at
}

// isDots reports whether a segment stands for a directory, which is nobody's name (RFC 3986, section
// 5.2.4).
func isDots(segment string) bool {
	plain := unescape(segment)
	return plain == "." || plain == ".."
}

// Attributes adds those of a path, which is one of the pattern, to others that are left alone.
func (p *Pattern) Attributes(others pillarbox.Attributes, path string) pillarbox.Attributes {
	if p == nil || p.named == 0 {
		return others
	}
	all := append(make(pillarbox.Attributes, 0, len(others)+p.named), others...)
	rest := strings.TrimPrefix(path, "/")
	for _, name := range p.names {
		var part string
		if part, rest, _ = strings.Cut(rest, "/"); name != "" {
			all.Set(name, strings.Clone(unescape(part)))
		}
	}
	return all
}

// unescape is a segment without its percent-encoding, where that is text; else as it came.
func unescape(segment string) string {
	if strings.IndexByte(segment, '%') < 0 {
		return segment
	}
	plain, err := url.PathUnescape(segment)
	if err != nil || !utf8.ValidString(plain) {
		return segment
	}
	return plain
}

// Compare orders patterns by which of them goes first for a path that both take: at the first
// segment that tells them apart, a literal before a name, and a name before *.
func (p *Pattern) Compare(other *Pattern) int {
	for i := range min(len(p.segments), len(other.segments)) {
		if order := cmp.Compare(p.kind(i), other.kind(i)); order != 0 {
			return order
		}
	}
	return cmp.Compare(len(other.segments), len(p.segments))
}

// kind is the rank of a segment.
func (p *Pattern) kind(i int) int {
	switch {
	case p.rest && i == len(p.segments)-1:
		return 2
	case p.names[i] != "":
		return 1
	}
	return 0
}
