package kafka

import (
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"pillarbox/internal/bus"
)

// Limits and defaults.
const (
	// DefaultPort is that of a host without one.
	DefaultPort = 9092
	// MaxTopic is the longest name of a topic, in bytes, as Kafka has it.
	MaxTopic = 249

	requestRetries  = 2                      // of a request that is no record; the next Write tries again
	metadataAge     = 250 * time.Millisecond // between two looks at where leaders are, after one was elsewhere; a client is one of few
	defaultMaxBytes = 1_000_012              // of a batch where the topic does not say: just below the default of brokers
	minMaxBytes     = 512                    // of a batch, as the client wants it
	mostMaxBytes    = 64 << 20               // of a batch; what brokers take in a request is 100 MiB by default
	recordOverhead  = 128                    // bytes of a batch and a record around key, value and headers, at most
	headerOverhead  = 10                     // bytes around a header, at most
	clientName      = "pillarbox"
)

// The mechanisms of SASL.
const (
	Plain       = "plain"
	ScramSHA256 = "scram-sha-256"
	ScramSHA512 = "scram-sha-512" // where none is set
)

// Options of a Sink. Zero means the default.
type Options struct {
	bus.Options
	Auth   Auth
	Logger *slog.Logger // nil: discard
}

// Auth says who we are, by SASL. Without a user there is none.
type Auth struct {
	User, Password string
	Mechanism      string // ScramSHA512 where empty
}

// checkTopic refuses what Kafka does.
func checkTopic(topic string) error {
	for i := range len(topic) {
		if c := topic[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("._-", rune(c)) {
			return bus.Wrong("url", "%q is no topic of letters, digits, dots, - and _", topic)
		}
	}
	if topic == "." || topic == ".." || len(topic) > MaxTopic {
		return bus.Wrong("url", "%q is no topic: it is a dot, two, or longer than %d bytes", topic, MaxTopic)
	}
	return nil
}

func (a Auth) mechanism() (sasl.Mechanism, error) {
	switch {
	case a == Auth{}:
		return nil, nil
	case a.User == "":
		return nil, bus.Wrong("auth.user", "is not set, so that the rest of auth has no effect")
	case a.Password == "":
		return nil, bus.Wrong("auth.password", "is not set, and there is a user")
	}
	switch a.Mechanism {
	case Plain:
		return plain.Auth{User: a.User, Pass: a.Password}.AsMechanism(), nil
	case ScramSHA256:
		return scram.Auth{User: a.User, Pass: a.Password}.AsSha256Mechanism(), nil
	case "", ScramSHA512:
		return scram.Auth{User: a.User, Pass: a.Password}.AsSha512Mechanism(), nil
	}
	return nil, bus.Wrong("auth.mechanism", "want %s, %s or %s", ScramSHA512, ScramSHA256, Plain)
}

// options returns those of the client.
func (o *Options) options(hosts []string, topic string) ([]kgo.Opt, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(hosts...), kgo.ClientID(clientName), kgo.DefaultProduceTopic(topic),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RequestRetries(requestRetries), kgo.MetadataMinAge(metadataAge),
		// Without it, a Write whose time is over would be stuck in the client for as long as a broker is down.
		kgo.AllowIdempotentProduceCancellation(),
	}
	mechanism, err := o.Auth.mechanism()
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		options = append(options, kgo.SASL(mechanism))
	}
	config, err := o.TLS.Config()
	if err != nil {
		return nil, err
	}
	if config != nil {
		options = append(options, kgo.DialTLSConfig(config))
	}
	return options, nil
}
