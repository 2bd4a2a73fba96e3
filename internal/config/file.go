package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// readFile sets what the text of the file says.
func (l *loader) readFile(text []byte) {
	text = trimMark(text)
	if !utf8.Valid(text) {
		l.errs = append(l.errs, fmt.Errorf("%s: the file is not UTF-8 text", l.file))
		return
	}
	parsed, err := parse(text)
	if err != nil {
		l.errs = append(l.errs, l.syntax(err))
		return
	}
	var body ast.Node
	for _, document := range parsed.Docs {
		switch {
		case document.Body == nil:
		case body != nil:
			l.fail(document.Body, "", "a second document; the configuration is one")
		default:
			body = document.Body
		}
	}
	if body == nil || isNull(body) {
		return
	}
	l.section(body, reflect.ValueOf(l.config).Elem(), "")
	if !l.named("destinations") {
		sources := slices.Sorted(maps.Keys(l.config.Sources))
		l.config.Destinations = map[string]Destination{"events": defaultEvents(sources)}
	}
}

// parse keeps a mistake in the parser from taking a running server down at a reload.
func parse(text []byte) (parsed *ast.File, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the text can't be read as YAML")
		}
	}()
	return parser.ParseBytes(text, 0)
}

// syntax puts an error of the parser, which comes with an excerpt of the file, on one line without
// it.
func (l *loader) syntax(err error) error {
	var syntaxErr *yaml.SyntaxError
	if !errors.As(err, &syntaxErr) || syntaxErr.Token == nil {
		return fmt.Errorf("%s: %w", l.file, errors.New("the text can't be read as YAML"))
	}
	message := syntaxErr.Message
	if strings.HasPrefix(message, "mapping value is not allowed") ||
		strings.HasPrefix(message, "',' or '}'") {
		message += "; a value with a colon at its end, or with ${...} inside braces, needs quotes"
	}
	return problem(l.mark(syntaxErr.Token, ""), "", "%s", message)
}

func (l *loader) mark(at *token.Token, raw string) mark {
	where := fmt.Sprintf("%s:%d:%d", l.file, at.Position.Line, at.Position.Column)
	return mark{origin: OriginFile, where: where, raw: raw}
}

func (l *loader) fail(at ast.Node, key, format string, args ...any) {
	l.errs = append(l.errs, problem(l.mark(at.GetToken(), ""), key, format, args...))
}

// named reports whether the file names an entry of a map.
func (l *loader) named(section string) bool {
	for key := range l.config.marks {
		if strings.HasPrefix(key, section+".") {
			return true
		}
	}
	return false
}

// node sets v, whatever it is.
func (l *loader) node(node ast.Node, v reflect.Value, key string) {
	if isNull(node) {
		return // a key without a value is a key that is not set
	}
	switch v.Kind() {
	case reflect.Struct:
		l.section(node, v, key)
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.String {
			l.texts(node, v, key)
			return
		}
		l.entries(node, v, key)
	case reflect.Slice:
		l.list(node, v, key)
	default:
		l.scalar(node, v, key)
	}
}

func isNull(node ast.Node) bool {
	_, null := node.(*ast.NullNode)
	return null || node == nil
}

// section reads the keys of a struct.
func (l *loader) section(node ast.Node, v reflect.Value, key string) {
	fields := fieldsOf(v.Type())
	if short := slices.IndexFunc(fields, func(f field) bool { return f.short }); short >= 0 {
		if _, mapping := node.(*ast.MappingNode); !mapping {
			l.node(node, v.Field(fields[short].index), key)
			return
		}
	}
	l.pairs(node, key, func(at ast.Node, name string, value ast.Node) {
		index := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if index < 0 {
			l.fail(at, key, "unknown key %q; known are %s", name, knownNames(fields))
			return
		}
		l.node(value, v.Field(fields[index].index), fields[index].key(key))
	})
}

func knownNames(fields []field) string {
	var names []string
	for _, field := range fields {
		names = append(names, field.name)
	}
	return strings.Join(names, ", ")
}

// entries reads a map of names. What the file names replaces the default as a whole.
func (l *loader) entries(node ast.Node, v reflect.Value, key string) {
	entries := reflect.MakeMap(v.Type())
	l.pairs(node, key, func(at ast.Node, name string, value ast.Node) {
		full := join(key, name)
		if !nameForm.MatchString(name) {
			l.fail(at, key, "the name %q is not allowed: %s", name, nameRule)
			return
		}
		entry := reflect.New(v.Type().Elem()).Elem()
		if entry.Type() == reflect.TypeFor[Source]() {
			entry.Set(reflect.ValueOf(defaultSource(name)))
		} else {
			entry.Set(reflect.ValueOf(defaultDestination()))
		}
		l.config.marks[full] = l.mark(at.GetToken(), "")
		l.node(value, entry, full)
		entries.SetMapIndex(reflect.ValueOf(name), entry)
	})
	if entries.Len() > 0 {
		v.Set(entries)
	}
}

// texts reads a map of names to single values. Any name will do here.
func (l *loader) texts(node ast.Node, v reflect.Value, key string) {
	texts := reflect.MakeMap(v.Type())
	l.pairs(node, key, func(_ ast.Node, name string, value ast.Node) {
		text := reflect.New(v.Type().Elem()).Elem()
		l.scalar(value, text, join(key, name))
		texts.SetMapIndex(reflect.ValueOf(name), text)
	})
	if texts.Len() > 0 {
		v.Set(texts)
	}
}

// pairs calls visit for each key of a mapping.
func (l *loader) pairs(node ast.Node, key string,
	visit func(at ast.Node, name string, value ast.Node)) {
	mapping, ok := node.(*ast.MappingNode)
	if !ok {
		l.wrongShape(node, key, "keys with values")
		return
	}
	seen := make(map[string]bool)
	for _, pair := range mapping.Values {
		at := pair.Key
		name, plain := scalarText(at)
		switch {
		case !plain:
			l.fail(at, key, "only plain keys are allowed here")
		case seen[name]:
			l.fail(at, key, "the key %q is there twice", name)
		default:
			seen[name] = true
			visit(at, name, pair.Value)
		}
	}
}

// oneOrMore is the key of the list whose only value may stand alone.
const oneOrMore = "listen"

// list reads a sequence of texts, or of sections. One rate may stand there without its list.
func (l *loader) list(node ast.Node, v reflect.Value, key string) {
	if _, one := node.(*ast.MappingNode); one && v.Type() == reflect.TypeFor[[]Rate]() {
		l.config.marks[key] = l.mark(node.GetToken(), "")
		rates := make([]Rate, 1)
		l.section(node, reflect.ValueOf(&rates[0]).Elem(), key)
		v.Set(reflect.ValueOf(rates))
		return
	}
	sequence, ok := node.(*ast.SequenceNode)
	if _, single := scalarText(node); single && key == oneOrMore {
		item := reflect.New(v.Type().Elem()).Elem()
		l.scalar(node, item, key)
		v.Set(reflect.Append(reflect.MakeSlice(v.Type(), 0, 1), item))
		return
	}
	if !ok {
		l.wrongShape(node, key, "a list in brackets")
		return
	}
	l.config.marks[key] = l.mark(node.GetToken(), "")
	items := reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values))
	for i, item := range sequence.Values {
		full := fmt.Sprintf("%s[%d]", key, i)
		if items.Type().Elem().Kind() == reflect.Struct {
			l.config.marks[full] = l.mark(item.GetToken(), "")
			l.section(item, items.Index(i), full)
			continue
		}
		l.scalar(item, items.Index(i), full)
	}
	v.Set(items)
}

// scalar reads a single value.
func (l *loader) scalar(node ast.Node, v reflect.Value, key string) {
	raw, ok := scalarText(node)
	if !ok {
		l.wrongShape(node, key, "a single value")
		return
	}
	from := l.mark(node.GetToken(), raw)
	text, err := expand(raw, l.env)
	if err != nil {
		l.errs = append(l.errs, problem(from, key, "%w", err))
		return
	}
	l.set(key, v, text, from)
}

func (l *loader) wrongShape(node ast.Node, key, want string) {
	switch node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		l.fail(node, key, "anchors, aliases and tags are not supported")
	default:
		l.fail(node, key, "want %s", want)
	}
}

// scalarText returns the text of a single value as it stands in the file, without its quotes.
func scalarText(node ast.Node) (string, bool) {
	switch node := node.(type) {
	case *ast.StringNode:
		return node.Value, true
	case *ast.LiteralNode:
		return node.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, true
	}
	return "", false
}
