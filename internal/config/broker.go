package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// The values of Destination.Format.
const (
	FormatEvent       = "event"
	FormatCloudEvents = "cloudevents"
)

// BrokerAuth says who we are to a broker. Which of it a broker knows is up to its engine.
type BrokerAuth struct {
	User      string `yaml:"user"`
	Password  Secret `yaml:"password"`
	Mechanism string `yaml:"mechanism"` // of SASL, with Kafka
	Token     Secret `yaml:"token"`     // with NATS, as are the rest
	NKey      Secret `yaml:"nkey"`      // a seed
	Creds     string `yaml:"creds"`     // a file
}

// brokers are the schemes of destinations that events are sent to as messages.
var brokers = []string{"nats", "kafka"}

// IsBroker reports whether the destination is a broker that events are sent to as messages.
func (d *Destination) IsBroker() bool {
	scheme, _, _ := strings.Cut(d.URL, ":")
	return slices.Contains(brokers, scheme)
}

// broker checks what only brokers have. What the engine says of the rest comes when the engines are
// looked at.
func (c *checker) broker(key string, d Destination) {
	if !d.IsBroker() {
		return
	}
	if d.Format != "" {
		c.oneOf(key+".format", d.Format, FormatEvent, FormatCloudEvents)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		c.notRedacted(key+".headers."+name, d.Headers[name])
	}
	c.notRedacted(key+".auth.password", d.Auth.Password)
	c.notRedacted(key+".auth.token", d.Auth.Token)
	c.notRedacted(key+".auth.nkey", d.Auth.NKey)
}

// Who has keys that not every destination has.
const (
	onlyWebhooks = "a webhook (url: https://…)"
	onlyBrokers  = "a broker (url: nats://… or kafka://…)"
)

// ownersOf are who has such a key.
func ownersOf(key string) []string {
	switch key {
	case "headers", "tls":
		return []string{onlyWebhooks, onlyBrokers}
	case "format", "key", "auth":
		return []string{onlyBrokers}
	}
	return []string{onlyWebhooks}
}

// noOwner refuses what has no effect on a destination of this kind.
func (c *checker) noOwner(key string, d Destination) {
	kind := ""
	switch {
	case d.IsWebhook():
		kind = onlyWebhooks
	case d.IsBroker():
		kind = onlyBrokers
	}
	v := reflect.ValueOf(d)
	for _, field := range fieldsOf(v.Type()) {
		owners := ownersOf(field.name)
		if field.rare && !isUnset(v.Field(field.index)) && !slices.Contains(owners, kind) {
			c.fail(c.firstSet(key+"."+field.name), "has no effect: only %s has it, and this destination is none; leave it out",
				strings.Join(owners, " or "))
		}
	}
}
