package catalog

import (
	"context"
	"strings"

	"pillarbox"
	"pillarbox/internal/bus"
	"pillarbox/internal/engine/kafka"
	"pillarbox/internal/engine/nats"
)

// Broker is what a configuration says of a destination that is a broker.
type Broker struct {
	bus.Options
	Auth BrokerAuth
}

// BrokerAuth says who we are to a broker.
type BrokerAuth struct {
	User, Password     string
	Mechanism          string // of SASL, with Kafka
	Token, NKey, Creds string // with NATS
}

// brokers open each kind of them. Without options they make no connection.
var brokers = map[string]func(place Place, url string, d Broker) (pillarbox.Sink, error){
	"nats":  openNATS,
	"kafka": openKafka,
}

// isBroker reports whether the URL is one of a broker.
func isBroker(url string) bool {
	scheme, _, _ := strings.Cut(url, ":")
	return brokers[scheme] != nil
}

func openBroker(place Place, name string, d Destination) (pillarbox.Sink, error) {
	broker := d.Broker
	if err := readBrokerSecrets(&broker); err != nil {
		return nil, ofDestination(name, err)
	}
	scheme, _, _ := strings.Cut(d.URL, ":")
	sink, err := brokers[scheme](place, d.URL, broker)
	return sink, ofDestination(name, err)
}

func readBrokerSecrets(b *Broker) (err error) {
	if b.Headers, err = readHeaders(b.Headers); err != nil {
		return err
	}
	for key, value := range map[string]*string{"password": &b.Auth.Password, "token": &b.Auth.Token, "nkey": &b.Auth.NKey} {
		if err := ReadSecret("auth."+key, value); err != nil {
			return err
		}
	}
	return nil
}

func openNATS(place Place, url string, b Broker) (pillarbox.Sink, error) {
	if b.Auth.Mechanism != "" {
		return nil, bus.Wrong("auth.mechanism", "has no effect: it is one of SASL, which NATS does not have; leave it out")
	}
	return opened[pillarbox.Sink](nats.Open(url, nats.Options{Options: b.Options, Logger: place.Logger,
		Auth: nats.Auth{User: b.Auth.User, Password: b.Auth.Password, Token: b.Auth.Token, NKey: b.Auth.NKey, Creds: b.Auth.Creds}}))
}

func openKafka(place Place, url string, b Broker) (pillarbox.Sink, error) {
	for _, other := range []struct{ key, value string }{{"token", b.Auth.Token}, {"nkey", b.Auth.NKey}, {"creds", b.Auth.Creds}} {
		if other.value != "" {
			return nil, bus.Wrong("auth."+other.key, "has no effect: it is for NATS; Kafka has user and password")
		}
	}
	return opened[pillarbox.Sink](kafka.Open(url, kafka.Options{Options: b.Options, Logger: place.Logger,
		Auth: kafka.Auth{User: b.Auth.User, Password: b.Auth.Password, Mechanism: b.Auth.Mechanism}}))
}

// openPlainBroker opens one of which nothing is set but its URL.
func openPlainBroker(scheme string) func(context.Context, Place, string, string) (pillarbox.Sink, error) {
	return func(_ context.Context, place Place, name, rest string) (pillarbox.Sink, error) {
		return openBroker(place, name, Destination{URL: scheme + ":" + rest})
	}
}

// checkBroker looks at the URL alone.
func checkBroker(scheme string) func(key, rest string) error {
	return func(key, rest string) error {
		sink, err := openBroker(Place{}, strings.TrimSuffix(strings.TrimPrefix(key, "destinations."), ".url"),
			Destination{URL: scheme + ":" + rest})
		if err != nil {
			return err
		}
		return sink.Close()
	}
}
