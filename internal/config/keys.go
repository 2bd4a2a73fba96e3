package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// envPrefix starts the name of each environment variable that is read.
const envPrefix = "PILLARBOX_"

// EnvName returns the environment variable that sets a key: queue.max_bytes is
// PILLARBOX_QUEUE_MAX_BYTES. Keys inside of sources and destinations have none.
func EnvName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// Keys returns every key that a flag or an environment variable can set, in the order of the file.
func Keys() []string {
	var keys []string
	walk(reflect.ValueOf(*Default()), "", func(key string, value reflect.Value) {
		if !strings.HasPrefix(key, "sources.") && !strings.HasPrefix(key, "destinations.") &&
			!isSections(value.Type()) {
			keys = append(keys, key)
		}
	})
	return keys
}

// isSections reports whether a type is a list of sections: it has no text form.
func isSections(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

// field is one key of a section. The value of a short one may stand in the place of the whole
// section, whose key is then also its own.
type field struct {
	name  string
	index int
	short bool
	rare  bool // of some engines only; not shown where nothing is set
}

// key is the field's key in a section.
func (f field) key(section string) string {
	if f.short {
		return section
	}
	return join(section, f.name)
}

// fieldsOf returns the keys of a section in their order.
func fieldsOf(section reflect.Type) []field {
	var fields []field
	for i := range section.NumField() {
		name, kind, _ := strings.Cut(section.Field(i).Tag.Get("yaml"), ",")
		if name != "" {
			fields = append(fields, field{name: name, index: i, short: kind == "short", rare: kind == "rare"})
		}
	}
	return fields
}

// walk visits every value below v that has no keys of its own: maps in the order of names, all else
// in the order of the file.
func walk(v reflect.Value, key string, visit func(key string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range fieldsOf(v.Type()) {
			walk(v.Field(field.index), field.key(key), visit)
		}
	case reflect.Map:
		for _, name := range sortedNames(v) {
			walk(v.MapIndex(reflect.ValueOf(name)), join(key, name), visit)
		}
	default:
		visit(key, v)
	}
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func sortedNames(v reflect.Value) []string {
	var names []string
	for _, name := range v.MapKeys() {
		names = append(names, name.String())
	}
	slices.Sort(names)
	return names
}

var secretType = reflect.TypeFor[Secret]()

// setText sets a single value. The error says what is wanted and does not repeat the text.
func setText(v reflect.Value, text string) error {
	if unmarshaler, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return unmarshaler.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		switch text {
		case "true":
			v.SetBool(true)
		case "false":
			v.SetBool(false)
		default:
			return errors.New("want true or false")
		}
	case reflect.Int:
		number, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return errors.New("want a whole number")
		}
		v.SetInt(number)
	case reflect.Slice: // outside of a file, where a list has commas
		items := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
		if len(items) == 0 {
			return errors.New("want one value, or several with commas between them")
		}
		v.Set(reflect.ValueOf(items))
	default:
		panic(fmt.Sprintf("pillarbox: bug: no text form for %v", v.Type()))
	}
	return nil
}
