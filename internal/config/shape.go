package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pillarbox/internal/evidence"
	"pillarbox/internal/jsontext"
)

// filter checks what is said about the filter of a destination. The expression itself is compiled
// by who evaluates it.
func (c *checker) filter(key string, destination Destination) {
	if _, _, err := destination.Begins(); err != nil {
		c.fail(key+".from", "%s: %w", c.said(key+".from", destination.From), err)
	}
	c.fromStore(key, destination)
	c.oneOf(key+".where_on_error", destination.WhereOnError, FailedPass, FailedDeadLetter)
	if destination.Where == "" && destination.WhereOnError != FailedPass {
		c.fail(key+".where_on_error", "has no effect: there is no filter (where)")
	}
	if destination.Where != "" && strings.TrimSpace(destination.Where) == "" {
		c.fail(key+".where", "is empty; leave the key out, and every event of the sources is taken")
	}
}

// fromStore checks that a destination begins with what another one has that can be read back.
func (c *checker) fromStore(key string, destination Destination) {
	if destination.FromStore == "" {
		return
	}
	other, configured := c.config.Destinations[destination.FromStore]
	switch {
	case destination.From == FromNow:
		c.fail(key+".from_store", "has no effect: from is %s; say beginning, or a time", FromNow)
	case !configured:
		c.fail(key+".from_store", "there is no destination %q", destination.FromStore)
	case key == "destinations."+destination.FromStore:
		c.fail(key+".from_store", "names the destination itself; name another one")
	case other.IsWebhook() || other.IsBroker():
		c.fail(key+".from_store", "the events of %s can't be read back; name a destination that is a store", destination.FromStore)
	}
}

// shape checks what is changed for a destination: each place once.
func (c *checker) shape(key string, shape Shape) {
	c.shapedHeaders(key, shape)
	c.list(key+".drop.query", shape.Drop.Query, checkParameter)
	c.list(key+".redact.query", shape.Redact.Query, checkParameter)
	c.list(key+".drop.json", shape.Drop.JSON, jsontext.CheckPointer)
	c.list(key+".redact.json", shape.Redact.JSON, jsontext.CheckPointer)
	c.names(key+".rename.query", shape.Rename.Query, checkParameter, checkParameter)
	c.names(key+".rename.json", shape.Rename.JSON, jsontext.CheckPointer, checkMember)
	c.once(key, "headers", shape.Drop.Headers, shape.Redact.Headers, shape.Rename.Headers, strings.EqualFold)
	c.once(key, "query", shape.Drop.Query, shape.Redact.Query, shape.Rename.Query, same)
	c.once(key, "json", shape.Drop.JSON, shape.Redact.JSON, shape.Rename.JSON, same)
}

func (c *checker) shapedHeaders(key string, shape Shape) {
	for _, list := range []struct {
		at    string
		names []string
	}{{"drop", shape.Drop.Headers}, {"redact", shape.Redact.Headers}, {"rename", keysOf(shape.Rename.Headers)}} {
		at := key + "." + list.at + ".headers"
		if list.at == "rename" {
			c.names(at, shape.Rename.Headers, checkShapedHeader, checkShapedHeader)
			continue
		}
		c.headers(at, list.names)
		c.list(at, list.names, checkShapedHeader)
	}
}

// checkShapedHeader refuses what an event does not have among its headers, or has besides.
func checkShapedHeader(name string) error {
	switch {
	case !headerForm.MatchString(name):
		return fmt.Errorf("is no name of a header")
	case evidence.IsOfConnection(name):
		return fmt.Errorf("is of the connection and is never kept; remove it")
	case strings.EqualFold(name, "Content-Type"), strings.EqualFold(name, "Traceparent"):
		return fmt.Errorf("is a field of its own besides, which is delivered as it came; remove it")
	}
	return nil
}

func checkMember(name string) error {
	if name == "" {
		return fmt.Errorf("want the name of a member")
	}
	return nil
}

// names checks old and new names.
func (c *checker) names(key string, names map[string]string, old, fresh func(string) error) {
	if len(names) > MaxMasks {
		c.fail(key, "there are %d; want at most %d", len(names), MaxMasks)
	}
	for _, from := range keysOf(names) {
		if err := old(from); err != nil {
			c.fail(key, "%q: %w", from, err)
		}
		if err := fresh(names[from]); err != nil {
			c.fail(key, "%q: the new name %q: %w", from, names[from], err)
		}
	}
}

// once refuses a place that is in two lists: one of them could have no effect.
func (c *checker) once(key, kind string, drop, redact []string, rename map[string]string, equal func(a, b string) bool) {
	renames := keysOf(rename)
	for _, two := range []struct {
		at            string
		items, others []string
	}{{"redact", redact, drop}, {"rename", renames, drop}, {"rename", renames, redact}} {
		for _, item := range two.items {
			if slices.ContainsFunc(two.others, func(other string) bool { return equal(item, other) }) {
				c.fail(key+"."+two.at+"."+kind, "%q is dropped or redacted besides; want one of them", item)
			}
		}
	}
}

func keysOf(names map[string]string) []string { return slices.Sorted(maps.Keys(names)) }
