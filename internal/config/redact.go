package config

import (
	"fmt"
	"slices"
	"strings"

	"pillarbox/internal/evidence"
	"pillarbox/internal/jsontext"
)

const (
	// MaxMasks is how many values each list of redact and hash may name: each body is searched for each
	// of them.
	MaxMasks = 64

	// MinHashKey is the shortest key of a hash, in bytes: whoever finds it out can try all possible
	// values.
	MinHashKey = 16
)

// masks checks which values are not kept as they came.
func (c *checker) masks(key string, source Source) {
	redact, hash := source.Redact, source.Hash
	c.maskedHeaders(key, "redact.headers", redact.Headers, source)
	c.maskedHeaders(key, "hash.headers", hash.Headers, source)
	c.list(key+".redact.query", redact.Query, checkParameter)
	c.list(key+".hash.query", hash.Query, checkParameter)
	c.list(key+".redact.json", redact.JSON, jsontext.CheckPointer)
	c.list(key+".hash.json", hash.JSON, jsontext.CheckPointer)
	c.apart(key+".hash.headers", hash.Headers, redact.Headers, strings.EqualFold)
	c.apart(key+".hash.query", hash.Query, redact.Query, same)
	c.apart(key+".hash.json", hash.JSON, redact.JSON, same)
	hashes := len(hash.Headers)+len(hash.Query)+len(hash.JSON) > 0
	switch at := key + ".hash.key"; {
	case hash.Key == redacted:
		c.fail(at, "%w", errRedacted)
	case hashes && hash.Key == "":
		c.fail(at, "is not set: without it, whoever has a list of the possible values finds out which one it was; take it from the environment, as in ${HASH_KEY}")
	case hashes && len(hash.Key) < MinHashKey:
		c.fail(at, "is too short, with %d of at least %d bytes; \"openssl rand -hex 32\" makes one", len(hash.Key), MinHashKey)
	case !hashes && hash.Key != "":
		c.fail(at, "has no effect: hash names no values")
	}
}

func same(a, b string) bool { return a == b }

// list checks the items of a list by themselves, and that each is there once.
func (c *checker) list(key string, items []string, check func(string) error) {
	if len(items) > MaxMasks {
		c.fail(key, "there are %d; want at most %d", len(items), MaxMasks)
	}
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", key, i)
		if err := check(item); err != nil {
			c.fail(at, "%s: %w", c.said(at, item), err)
		} else if slices.Contains(items[:i], item) {
			c.fail(at, "%s is there twice", c.said(at, item))
		}
	}
}

// apart refuses what is in two lists.
func (c *checker) apart(key string, items, others []string, equal func(a, b string) bool) {
	for i, item := range items {
		if slices.ContainsFunc(others, func(other string) bool { return equal(item, other) }) {
			at := fmt.Sprintf("%s[%d]", key, i)
			c.fail(at, "%s is redacted besides; want one of the two", c.said(at, item))
		}
	}
}

func (c *checker) maskedHeaders(source, list string, names []string, s Source) {
	key := source + "." + list
	c.headers(key, names)
	c.list(key, names, func(name string) error {
		equal := func(other string) bool { return strings.EqualFold(name, other) }
		switch {
		case evidence.IsOfConnection(name):
			return fmt.Errorf("is of the connection and is never kept; remove it")
		case strings.EqualFold(name, "Content-Type"), strings.EqualFold(name, "Traceparent"):
			return fmt.Errorf("is a field of its own besides, which is kept as it came; remove it")
		case slices.ContainsFunc(s.Headers.Deny, equal), len(s.Headers.Allow) > 0 && !slices.ContainsFunc(s.Headers.Allow, equal):
			return fmt.Errorf("is left out by headers, so that this has no effect")
		}
		return nil
	})
}

func checkParameter(name string) error {
	if name == "" {
		return fmt.Errorf("want the name of a parameter")
	}
	return nil
}
