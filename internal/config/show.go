package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// Origin says where the value of a key was set: "default", or "file", "env" or "flag" with the
// place.
func (c *Config) Origin(key string) string {
	switch from := c.marks[key]; from.origin {
	case "":
		return OriginDefault
	case OriginFlag:
		return OriginFlag
	case OriginPreset:
		return OriginPreset + " " + from.raw
	default:
		return from.origin + " " + from.where
	}
}

// Show returns the configuration as a file that can be loaded again once its secrets, which are
// redacted, are put in. The origin of each value is a comment.
func Show(config *Config) string {
	var out strings.Builder
	show(&out, config, reflect.ValueOf(*config), "", "")
	return out.String()
}

func show(out *strings.Builder, config *Config, v reflect.Value, key, indent string) {
	one := func(name, full string, child reflect.Value) {
		switch child.Kind() {
		case reflect.Struct, reflect.Map:
			if child.Type() == reflect.TypeFor[Redact]() {
				fmt.Fprintf(out, "%s# besides, never kept: what is named like authorization, cookie, password, secret, token or API key; docs/SECURITY.md has all names\n", indent)
			}
			fmt.Fprintf(out, "%s%s:\n", indent, name)
			show(out, config, child, full, indent+"  ")
		default:
			fmt.Fprintf(out, "%s%s: %s # %s\n", indent, name, valueText(child), config.Origin(full))
		}
	}
	if v.Kind() == reflect.Map {
		for _, name := range sortedNames(v) {
			one(quote(name), join(key, name), v.MapIndex(reflect.ValueOf(name)))
		}
		return
	}
	for _, field := range fieldsOf(v.Type()) {
		if field.rare && isUnset(v.Field(field.index)) {
			continue
		}
		one(field.name, field.key(key), v.Field(field.index))
	}
}

func valueText(v reflect.Value) string {
	if v.Kind() != reflect.Slice {
		return quote(fmt.Sprint(v.Interface()))
	}
	var items []string
	for i := range v.Len() {
		items = append(items, itemText(v.Index(i)))
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// itemText is an item of a list. Of a section it has what is set.
func itemText(v reflect.Value) string {
	if v.Kind() == reflect.Map {
		var pairs []string
		for _, name := range sortedNames(v) {
			pairs = append(pairs, quote(name)+": "+valueText(v.MapIndex(reflect.ValueOf(name))))
		}
		return "{" + strings.Join(pairs, ", ") + "}"
	}
	if v.Kind() != reflect.Struct {
		return valueText(v)
	}
	var pairs []string
	for _, field := range fieldsOf(v.Type()) {
		if value := v.Field(field.index); !value.IsZero() {
			pairs = append(pairs, field.name+": "+itemText(value))
		}
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

// plainForm matches what YAML reads as it stands.
var plainForm = regexp.MustCompile(`^(\./|/)?[A-Za-z0-9][A-Za-z0-9./_-]*$`)

func quote(text string) string {
	if plainForm.MatchString(text) && !strings.EqualFold(text, "null") {
		return text
	}
	return strconv.Quote(strings.ReplaceAll(text, "$", "$$"))
}
