package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// The values of Destination.Send.
const (
	SendEvent = "event"
	SendLines = "ndjson"
	SendArray = "array"
	SendBody  = "body"
)

// OAuth2 is how a webhook gets its token: by client credentials.
type OAuth2 struct {
	TokenURL     string   `yaml:"token_url"` // empty for none
	ClientID     string   `yaml:"client_id"`
	ClientSecret Secret   `yaml:"client_secret"`
	Scopes       []string `yaml:"scopes"`
}

// OutboundProxy stands between us and a receiver. A file may give the URL alone.
type OutboundProxy struct {
	URL      string `yaml:"url,short"` // empty for none
	User     string `yaml:"user"`
	Password Secret `yaml:"password"`
}

// ClientTLS is how a receiver and we prove who we are, as files in PEM.
type ClientTLS struct {
	Enabled bool `yaml:"enabled,rare"` // of brokers: also where nothing else is set

	CA   string `yaml:"ca"`   // of authorities; empty for those of the system
	Cert string `yaml:"cert"` // of ours; empty for none
	Key  string `yaml:"key"`
}

// The defaults of webhooks, and their bounds.
const (
	defaultConcurrency = 16
	maxConcurrency     = 1024
	maxRequestRate     = 1_000_000
)

// IsWebhook reports whether the destination is a URL that events are posted to.
func (d *Destination) IsWebhook() bool {
	scheme, _, _ := strings.Cut(d.URL, ":")
	return scheme == "https" || scheme == "http"
}

// resolveWebhooks puts the defaults where nothing is set. Other destinations have none.
func (c *Config) resolveWebhooks() {
	for name, d := range c.Destinations {
		if !d.IsWebhook() {
			continue
		}
		if d.Send == "" {
			d.Send = SendEvent
		}
		if d.Concurrency == 0 && d.eachAlone() {
			d.Concurrency = defaultConcurrency
		}
		c.Destinations[name] = d
	}
}

// eachAlone reports whether each event has a request of its own.
func (d *Destination) eachAlone() bool { return d.Send == SendEvent || d.Send == SendBody }

// webhook checks what only webhooks have. What the engine says of the rest comes when the engines are
// looked at.
func (c *checker) webhook(key string, d Destination) {
	if !d.IsWebhook() {
		return
	}
	if d.TLS.Enabled {
		c.fail(key+".tls.enabled", "has no effect: the url of a webhook says whether there is TLS, by https:; leave it out")
	}
	c.oneOf(key+".send", d.Send, SendEvent, SendLines, SendArray, SendBody)
	if d.eachAlone() {
		c.between(key+".concurrency", d.Concurrency, 1, maxConcurrency)
	} else if d.Concurrency != 0 {
		c.fail(key+".concurrency", "has no effect with send: %s, where a batch is one request and the next one follows its answer; leave it out", d.Send)
	}
	c.between(key+".rate", d.Rate, 0, maxRequestRate)
	for i, secret := range d.SigningSecrets {
		c.notRedacted(fmt.Sprintf("%s.signing_secrets[%d]", key, i), secret)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		c.notRedacted(key+".headers."+name, d.Headers[name])
	}
	c.notRedacted(key+".oauth2.client_secret", d.OAuth2.ClientSecret)
	c.notRedacted(key+".proxy.password", d.Proxy.Password)
}

func (c *checker) notRedacted(key string, secret Secret) {
	if secret == redacted {
		c.fail(key, "%w", errRedacted)
	}
}

// firstSet is the first key of a section that is set, or the section where it has a place itself.
func (c *checker) firstSet(section string) string {
	if _, set := c.config.marks[section]; set {
		return section
	}
	for _, key := range slices.Sorted(maps.Keys(c.config.marks)) {
		if strings.HasPrefix(key, section+".") {
			return key
		}
	}
	return section
}

// isUnset reports whether nothing is set in a value, whose lists may be empty.
func isUnset(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		for i := range v.NumField() {
			if !isUnset(v.Field(i)) {
				return false
			}
		}
		return true
	}
	return v.IsZero()
}
