package config

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Canary is the event that the server sends itself through its own public door.
type Canary struct {
	Enabled bool     `yaml:"enabled"`
	Every   Duration `yaml:"every"`
	Timeout Duration `yaml:"timeout"` // until it is to be there and back everywhere
	URL     string   `yaml:"url"`     // of the public door in front; empty for the server's own listener
	Secret  Secret   `yaml:"secret"`  // that servers behind URL share; empty where there is one
}

var defaultCanary = Canary{Every: seconds(60), Timeout: seconds(30)}

// The values of Destination.Canary.
const (
	CanaryAuto = "auto"  // there and back, where that can be
	CanaryOn   = "true"  // also to where it stays
	CanaryOff  = "false" // not at all
)

// MaxCanaryTimeout bounds canary.timeout: what is late for so long is lost.
const MaxCanaryTimeout = Duration(time.Hour)

// canary checks the canary, and that nothing is said of one that is not sent.
func (c *checker) canary() {
	canary := c.config.Canary
	for _, name := range slices.Sorted(maps.Keys(c.config.Destinations)) {
		c.canaryAt("destinations."+name+".canary", c.config.Destinations[name].Canary)
	}
	if !canary.Enabled {
		const idle = "has no effect: no canary is sent without canary.enabled: true; set that, or leave this out"
		for _, value := range []struct {
			key string
			set bool
		}{{"every", canary.Every != defaultCanary.Every}, {"timeout", canary.Timeout != defaultCanary.Timeout},
			{"url", canary.URL != ""}, {"secret", canary.Secret != ""}} {
			if value.set {
				c.fail("canary."+value.key, idle)
			}
		}
		return
	}
	if canary.Every < seconds(1) {
		c.fail("canary.every", "is %v; want at least 1s", canary.Every)
	}
	if canary.Timeout < seconds(1) || canary.Timeout > MaxCanaryTimeout {
		c.fail("canary.timeout", "is %v; want 1s to %v", canary.Timeout, MaxCanaryTimeout)
	}
	c.notRedacted("canary.secret", canary.Secret)
	if n := len(canary.Secret); n > 0 && n < MinToken {
		c.fail(
			"canary.secret",
			"has %d of at least %d bytes; \"openssl rand -hex 32\" makes one",
			n,
			MinToken,
		)
	}
	if canary.URL == "" {
		if canary.Secret != "" {
			c.fail(
				"canary.secret",
				"has no effect: without canary.url the canary of this server comes to this server; set canary.url, or leave it out",
			)
		}
		if n := len(c.config.Listen.Address); n > 0 && len(c.config.Listen.ProxyProtocol) == n {
			c.fail(
				"canary.enabled",
				"the canary can't post to listeners of the PROXY protocol itself; set canary.url to the address of the proxy",
			)
		}
		return
	}
	to, err := url.Parse(canary.URL)
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" ||
		to.RawQuery != "" ||
		to.Fragment != "" ||
		to.User != nil {
		c.fail(
			"canary.url",
			"%s: want http://HOST or https://HOST, perhaps with a path that what stands in front takes off",
			c.said("canary.url", canary.URL),
		)
	}
}

// canaryAt checks the key of a destination. Where a queue is shared, another server may send one.
func (c *checker) canaryAt(key, value string) {
	c.oneOf(key, value, CanaryAuto, CanaryOn, CanaryOff)
	if value != CanaryAuto && !c.config.Canary.Enabled &&
		strings.HasPrefix(c.config.Queue.URL, "seglog:") {
		c.fail(
			key,
			"has no effect: no canary is sent without canary.enabled: true; set that, or leave this out",
		)
	}
}
