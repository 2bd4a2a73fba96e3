package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Change is a key with different values in two configurations.
type Change struct {
	Key    string // of one value, or of a whole source or destination that is new or gone
	Reload bool   // a running server can take the new value; otherwise it needs a restart
}

// reloadable lists the keys that a running server can take anew. A star stands for any name.
// Sources and destinations may be added besides, and a destination may take more sources.
var reloadable = []string{
	"log.level",
	"queue.max_bytes", "queue.max_age", "queue.keep_bytes",
	"idempotency.window", "idempotency.max_keys", "quarantine.max_bytes", "quarantine.max_entries", "quarantine.max_age",
	"sources.*.idempotency.key", "sources.*.idempotency.content",
	"sources.*.preset", "sources.*.methods", "sources.*.signature.*", "sources.*.handshake",
	"sources.*.verify_token", "sources.*.cloudevents", "sources.*.cors.*", "sources.*.response.*",
	"sources.*.auth", "sources.*.allow", "sources.*.deny", "sources.*.max_body", "sources.*.headers.allow", "sources.*.headers.deny",
	"sources.*.redact.*", "sources.*.hash.*", "sources.*.rate", "http.rate.per_second", "http.rate.burst", "http.max_rate_clients",
	"destinations.*.max_attempts", "destinations.*.backoff.initial", "destinations.*.backoff.max",
	"destinations.*.batch.max_events", "destinations.*.batch.max_bytes", "destinations.*.batch.max_age",
	"destinations.*.where_on_error", "destinations.*.shape.*",
	"destinations.*.canary", "destinations.*.probe.initial", "destinations.*.probe.max", "destinations.*.write_timeout",
}

// Changed returns what differs, in the order of the keys.
func Changed(before, after *Config) []Change {
	old, fresh := before.values(), after.values()
	keys := make(map[string]bool) // and whether a reload takes it
	for key := range maps.Keys(old) {
		if _, both := fresh[key]; !both {
			keys[after.changedEntry(key)] = false
		} else if old[key] != fresh[key] {
			keys[key] = canReload(key) || after.takesMore(before, key)
		}
	}
	for key := range maps.Keys(fresh) {
		if _, both := old[key]; !both {
			entry := before.changedEntry(key)
			keys[entry] = entry != key
		}
	}
	var changes []Change
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		changes = append(changes, Change{Key: key, Reload: keys[key]})
	}
	return changes
}

// takesMore reports whether the key is that of the sources of a destination, which takes all that
// it took before.
func (c *Config) takesMore(before *Config, key string) bool {
	parts := strings.Split(key, ".")
	if len(parts) != 3 || parts[0] != "destinations" || parts[2] != "sources" {
		return false
	}
	now := c.Destinations[parts[1]].Sources
	return !slices.ContainsFunc(before.Destinations[parts[1]].Sources,
		func(source string) bool { return !slices.Contains(now, source) })
}

// values returns a comparable form of every value.
func (c *Config) values() map[string]string {
	values := make(map[string]string)
	walk(reflect.ValueOf(*c), "", func(key string, v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			values[key] = v.String() // of a secret, what is behind it
		case reflect.Slice:
			values[key] = comparableText(v)
		default:
			values[key] = fmt.Sprint(v.Interface())
		}
	})
	return values
}

// comparableText is a form of an item of a list: of a secret, what is behind it.
func comparableText(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Struct:
		var texts []string
		for i := range v.NumField() {
			texts = append(texts, comparableText(v.Field(i)))
		}
		return fmt.Sprintf("%q", texts)
	case reflect.Slice:
		var texts []string
		for i := range v.Len() {
			texts = append(texts, comparableText(v.Index(i)))
		}
		return fmt.Sprintf("%q", texts)
	case reflect.String:
		return v.String()
	}
	return fmt.Sprint(v.Interface())
}

// changedEntry returns the source or destination of a key that this configuration does not have, or the
// key itself where it has that and only the key is missing, as one of the headers of a webhook.
func (c *Config) changedEntry(key string) string {
	entry := entryOf(key)
	_, name, _ := strings.Cut(entry, ".")
	_, source := c.Sources[name]
	_, destination := c.Destinations[name]
	if strings.HasPrefix(entry, "sources.") && source || strings.HasPrefix(entry, "destinations.") && destination {
		return key
	}
	return entry
}

// entryOf returns the name of the source or destination that the key belongs to.
func entryOf(key string) string {
	parts := strings.SplitN(key, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

func canReload(key string) bool {
	parts := strings.Split(key, ".")
	return slices.ContainsFunc(reloadable, func(pattern string) bool {
		return slices.EqualFunc(strings.Split(pattern, "."), parts, func(want, got string) bool {
			return want == "*" || want == got
		})
	})
}
