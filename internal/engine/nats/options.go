package nats

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"strings"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"pillarbox/internal/bus"
)

// Limits and defaults.
const (
	// Window is how many messages of a Write are on their way at most: as many as the client allows by
	// default, so that a batch of usual size is sent without a pause.
	Window = 4000
	// DefaultPort is that of a host without one.
	DefaultPort = 4222
	// MaxSubject is the longest subject, in bytes: with "pillarbox-" before it, it is the name of a
	// file on the server.
	MaxSubject = 200

	maxPending  = 1 << 30          // of the client, so that only Window bounds a Write
	connectTime = 10 * time.Second // for a connection to one host, its handshake included
	pingTime    = 15 * time.Second // between pings
	maxPings    = 2                // without an answer, after which a connection is lost
	maxID       = 128              // bytes of a request id that stands in Nats-Msg-Id as it is
	streamName  = "pillarbox-"     // and the subject
	clientName  = "pillarbox"
)

// Options of a Sink. Zero means the default. A key of messages has no meaning here.
type Options struct {
	bus.Options
	Auth   Auth
	Logger *slog.Logger // nil: discard
}

// Auth says who we are: by one of a name and a password, a token, a seed, or a file.
type Auth struct {
	User, Password string
	Token          string
	NKey           string // a seed, SU…
	Creds          string // a file with a JWT and a seed, read with each connection
}

// checkSubject refuses what is no plain subject: what is published to names one.
func checkSubject(subject string) error {
	for _, token := range strings.Split(subject, ".") {
		for i := range len(token) {
			if c := token[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return bus.Wrong("url", "%q is no subject of letters, digits, - and _ between dots", subject)
			}
		}
		if token == "" {
			return bus.Wrong("url", "%q is no subject: there is nothing before, after or between dots", subject)
		}
	}
	if len(subject) > MaxSubject {
		return bus.Wrong("url", "the subject has %d bytes; want at most %d", len(subject), MaxSubject)
	}
	return nil
}

// options returns those of the client.
func (a Auth) options() ([]client.Option, error) {
	ways := 0
	for _, set := range []bool{a.User != "" || a.Password != "", a.Token != "", a.NKey != "", a.Creds != ""} {
		if set {
			ways++
		}
	}
	switch {
	case ways > 1:
		return nil, bus.Wrong("auth", "has several of user and password, token, nkey and creds; leave one")
	case a.Creds != "":
		return credentialsFile(a.Creds)
	case a.NKey != "":
		return seed(a.NKey)
	case a.Token != "":
		return []client.Option{client.Token(a.Token)}, nil
	case a.Password != "" && a.User == "":
		return nil, bus.Wrong("auth.user", "is not set, and there is a password")
	case a.User != "" && a.Password == "":
		return nil, bus.Wrong("auth.password", "is not set, and there is a user")
	case a.User != "":
		return []client.Option{client.UserInfo(a.User, a.Password)}, nil
	}
	return nil, nil
}

// credentialsFile looks at the file once, so that a wrong one is told of at once.
func credentialsFile(path string) ([]client.Option, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, bus.Wrong("auth.creds", "%v", err)
	}
	if _, err := nkeys.ParseDecoratedJWT(text); err != nil {
		return nil, bus.Wrong("auth.creds", "there is no JWT in %s", path)
	}
	if _, err := nkeys.ParseDecoratedUserNKey(text); err != nil {
		return nil, bus.Wrong("auth.creds", "there is no seed of a user in %s", path)
	}
	return []client.Option{client.UserCredentials(path)}, nil
}

func seed(text string) ([]client.Option, error) {
	pair, err := nkeys.FromSeed([]byte(text))
	if err != nil {
		return nil, bus.Wrong("auth.nkey", "is no seed of a user (SU…)")
	}
	public, err := pair.PublicKey()
	if err != nil || !nkeys.IsValidPublicUserKey(public) {
		return nil, bus.Wrong("auth.nkey", "is no seed of a user (SU…)")
	}
	return []client.Option{client.Nkey(public, pair.Sign)}, nil
}

// messageID is the Nats-Msg-Id of an event at a subject.
func messageID(requestID, timestamp, subject string) string {
	plain := requestID != "" && len(requestID) <= maxID
	for i := range len(requestID) {
		plain = plain && requestID[i] > ' ' && requestID[i] <= '~'
	}
	if !plain {
		digest := sha256.Sum256([]byte(requestID))
		requestID = "id_" + hex.EncodeToString(digest[:16])
	}
	return requestID + "/" + timestamp + "/" + subject
}
