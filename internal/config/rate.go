package config

import (
	"fmt"
	"slices"
)

// rates checks how much may come in by a source.
func (c *checker) rates(key string, source Source) {
	seen := map[string]bool{}
	for i, rate := range source.Rate {
		item := key
		if _, list := c.config.marks[fmt.Sprintf("%s[%d]", key, i)]; list {
			item = fmt.Sprintf("%s[%d]", key, i)
		}
		by := rate.By
		if by == "" {
			by = BySource
		}
		switch {
		case by != BySource && by != ByKey && by != ByAddress:
			c.fail(item+".by", "%s: want %s, %s or %s", c.said(item+".by", rate.By), BySource, ByKey, ByAddress)
		case seen[by]:
			c.fail(item, "there are two rates by %s; want one of each", by)
		case by == ByKey && len(source.Auth) == 0:
			c.fail(item+".by", "the source asks for no key, so that all requests are of nobody; set auth beside it, or count by %s or %s", ByAddress, BySource)
		}
		seen[by] = true
		c.rate(item, rate.PerSecond, rate.Burst)
		if rate.By != "" && rate.PerSecond == 0 && rate.Burst == 0 {
			c.fail(item, "limits nothing; set per_second, or leave the rate out")
		}
	}
}

// rate checks one of them.
func (c *checker) rate(key string, perSecond, burst int) {
	if perSecond < 0 || burst < 0 {
		c.fail(key, "want no negative numbers; 0 is no limit")
	}
	if perSecond > MaxRate || burst > MaxRate {
		c.fail(key, "want at most %d; 0 is no limit", MaxRate)
	}
	if burst > 0 && perSecond == 0 {
		c.fail(key, "burst needs per_second")
	}
}

// serverRate checks how much may come in by all sources together, and what is remembered of clients.
func (c *checker) serverRate() {
	http := c.config.HTTP
	c.rate("http.rate", http.Rate.PerSecond, http.Rate.Burst)
	const key = "http.max_rate_clients"
	c.between(key, http.MaxRateClients, 1, MaxRateClients)
	if http.MaxRateClients != Default().HTTP.MaxRateClients && !c.config.ratesClients() {
		c.fail(key, "no source has a rate by %s or %s, so that there is nothing to remember", ByKey, ByAddress)
	}
}

// ratesClients reports whether some source has a rate for each client.
func (c *Config) ratesClients() bool {
	for _, source := range c.Sources {
		if slices.ContainsFunc(source.Rate, func(r Rate) bool { return r.By == ByKey || r.By == ByAddress }) {
			return true
		}
	}
	return false
}
