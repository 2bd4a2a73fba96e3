package config

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"pillarbox"

	"pillarbox/internal/preset"
	"pillarbox/internal/proxy"
	"pillarbox/internal/signature"
)

// MaxBody is the hard limit of max_body of any source.
const MaxBody ByteSize = 16 << 20

// MaxFileBytes is the largest file that is read.
const MaxFileBytes = 256 << 10

// Config is the whole configuration. It is not changed after Load has returned it.
type Config struct {
	Listen Listen `yaml:"listen"`
	TLS    TLS    `yaml:"tls"`

	TrustedProxies  []string `yaml:"trusted_proxies"`  // networks, and "unix" for whoever comes over a unix socket
	ForwardedHeader string   `yaml:"forwarded_header"` // that they write; empty for none

	Admin        Admin                  `yaml:"admin"`
	Data         string                 `yaml:"data"` // directory
	Queue        Queue                  `yaml:"queue"`
	Idempotency  Idempotency            `yaml:"idempotency"`
	APIKeys      APIKeys                `yaml:"api_keys"`
	Quarantine   Quarantine             `yaml:"quarantine"`
	Encryption   Encryption             `yaml:"encryption"`
	Sources      map[string]Source      `yaml:"sources"`
	Destinations map[string]Destination `yaml:"destinations"`
	DeadLetters  DeadLetters            `yaml:"dead_letters"`
	Bodies       Bodies                 `yaml:"bodies"`
	HTTP         HTTP                   `yaml:"http"`
	Shutdown     Shutdown               `yaml:"shutdown"`
	Log          Log                    `yaml:"log"`
	Tracing      Tracing                `yaml:"tracing"`
	Metrics      Metrics                `yaml:"metrics"`
	Alerts       Alerts                 `yaml:"alerts"`
	Canary       Canary                 `yaml:"canary"`

	verifiers map[string]*signature.Verifier // by source, of those that have a rule

	marks    map[string]mark // where each value that is not the default was set, by key
	unknowns []string        // environment variables that look like ours and set nothing
}

// Listen is the public listener. A file may give the addresses alone: listen: ":8080".
type Listen struct {
	Address       []string `yaml:"address,short"`  // host:port, unix:/path or systemd:NAME
	Express       bool     `yaml:"express"`        // answer what is simple on an event loop
	ProxyProtocol []string `yaml:"proxy_protocol"` // of Address, those whose connections begin with its header
	SocketMode    FileMode `yaml:"socket_mode"`    // of unix sockets
	ReadyPath     string   `yaml:"ready_path"`     // that says whether the server accepts; empty for none
}

// TLS is that of the public listener; without certificates there is none.
type TLS struct {
	Certificates []KeyPair `yaml:"certificates"`
	ClientCA     string    `yaml:"client_ca"` // file of authorities; empty: no certificate of a client is asked for
	ACME         ACME      `yaml:"acme"`
}

// ACME is certificates that an authority makes, and renews.
type ACME struct {
	Domains   []string `yaml:"domains"`
	Email     string   `yaml:"email"`     // that the authority writes to; empty for none
	Directory string   `yaml:"directory"` // URL of the authority; empty for Let's Encrypt
}

// AdminTLS is that of the admin listener.
type AdminTLS struct {
	Certificates []KeyPair `yaml:"certificates"`
}

// On reports whether there is TLS.
func (t AdminTLS) On() bool { return len(t.Certificates) > 0 }

// KeyPair is the files of a certificate and of its key, in PEM.
type KeyPair struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// On reports whether there is TLS.
func (t TLS) On() bool { return len(t.Certificates)+len(t.ACME.Domains) > 0 }

// Admin is the listener for people and their tools.
type Admin struct {
	Listen       string       `yaml:"listen"`        // host:port, or unix:/path
	Token        Secret       `yaml:"token"`         // empty where none is asked for
	MaxFollowers int          `yaml:"max_followers"` // streams of events at a time
	Tokens       []AdminToken `yaml:"tokens"`        // for some of what Token is for
	TLS          AdminTLS     `yaml:"tls"`
}

// AdminToken lets in whoever sends it.
type AdminToken struct {
	Name  string `yaml:"name"` // for the trail
	Token Secret `yaml:"token"`
	Scope string `yaml:"scope"` // read, replay or admin
}

// MaxAdminTokens is how many there may be: each request is held against all of them.
const MaxAdminTokens = 64

// Queue is the durable buffer.
type Queue struct {
	URL          string   `yaml:"url"`
	MaxBytes     ByteSize `yaml:"max_bytes"`     // held for the slowest destination
	MaxAge       Duration `yaml:"max_age"`       // after which an event becomes a dead letter
	KeepBytes    ByteSize `yaml:"keep_bytes"`    // history of what is delivered; 0 for none
	MinFree      ByteSize `yaml:"min_free"`      // left free on the disk; 0 is the engine's choice
	SegmentBytes ByteSize `yaml:"segment_bytes"` // of one file of the embedded log

	CommitTimeout Duration `yaml:"commit_timeout"` // after which a disk that does not answer counts as hanging; 0 waits for it
}

// Idempotency says for how long idempotency keys are remembered: until the window has passed, or
// until so many newer ones have come.
type Idempotency struct {
	Window  Duration `yaml:"window"`
	MaxKeys int      `yaml:"max_keys"`
	URL     string   `yaml:"url"` // where keys are kept beside a queue that keeps none; empty for nowhere
}

// APIKeys says where API keys are kept.
type APIKeys struct {
	URL string `yaml:"url"` // for all who share them; empty for the data directory
}

// Encryption says whether what is written in the data directory is sealed, and by which keys.
type Encryption struct {
	Key     string   `yaml:"key"`      // that wraps data keys, as a URL; empty: nothing is sealed
	OldKeys []string `yaml:"old_keys"` // with which data keys may be wrapped that are there
}

// Quarantine bounds what is kept of requests whose signature fails.
type Quarantine struct {
	MaxBytes   ByteSize `yaml:"max_bytes"` // of files
	MaxEntries int      `yaml:"max_entries"`
	MaxAge     Duration `yaml:"max_age"` // after which a request is deleted
}

// MaxQuarantineEntries bounds quarantine.max_entries: each is a file of one directory, and some 100
// bytes of memory.
const MaxQuarantineEntries = 1_000_000

// MaxIdempotencyKeys bounds idempotency.max_keys: a key costs 2.5 bytes of memory and 56 of disk.
const MaxIdempotencyKeys = 1_000_000_000

// Source is a named way in.
type Source struct {
	Path        string            `yaml:"path"`
	Preset      string            `yaml:"preset"`  // what a sender wants; empty for none
	Methods     []string          `yaml:"methods"` // of what is stored
	MaxBody     ByteSize          `yaml:"max_body"`
	Auth        []Auth            `yaml:"auth"`  // who may come in, by any of them; empty for everybody
	Allow       []string          `yaml:"allow"` // networks that requests may come from; empty for all
	Deny        []string          `yaml:"deny"`  // and those that they may not come from
	Signature   Signature         `yaml:"signature"`
	Handshake   string            `yaml:"handshake"` // how a sender asks whether the address is right
	VerifyToken Secret            `yaml:"verify_token"`
	CloudEvents string            `yaml:"cloudevents"` // optional, required or none
	Response    Response          `yaml:"response"`
	Idempotency SourceIdempotency `yaml:"idempotency"`
	Headers     Headers           `yaml:"headers"`
	Redact      Redact            `yaml:"redact"` // what is kept as REDACTED
	Hash        Hash              `yaml:"hash"`   // what is kept as a digest
	CORS        CORS              `yaml:"cors"`
	Rate        []Rate            `yaml:"rate"` // one, or a list of them
}

// CORS says which pages of other sites may send to a source, and read its answers.
type CORS struct {
	Origins     []string `yaml:"origins"`     // as "https://example.org", or "*"
	Credentials bool     `yaml:"credentials"` // of the browser; never with "*"
}

// SourceIdempotency says by what a request of a source is known when it comes again.
type SourceIdempotency struct {
	Key     string `yaml:"key"`     // where the key stands; empty for the header Idempotency-Key
	Content string `yaml:"content"` // compare, or ignore
}

// The values of SourceIdempotency.Content.
const (
	ContentCompare = "compare"
	ContentIgnore  = "ignore"
)

// The values of Source.CloudEvents.
const (
	EventsOptional = "optional"
	EventsRequired = "required"
	EventsNone     = "none"
)

// Headers says which request headers are kept. Bearer secrets never are.
type Headers struct {
	Allow []string `yaml:"allow"` // only these; empty for all
	Deny  []string `yaml:"deny"`  // none of these
}

// Redact names values that are not kept.
type Redact struct {
	Headers []string `yaml:"headers"` // names
	Query   []string `yaml:"query"`   // names of parameters
	JSON    []string `yaml:"json"`    // pointers into bodies; * stands for any member or item
}

// Hash names values of which a digest is kept.
type Hash struct {
	Key     Secret   `yaml:"key"`
	Headers []string `yaml:"headers"`
	Query   []string `yaml:"query"`
	JSON    []string `yaml:"json"`
}

// Rate is how many events of a source may come in.
type Rate struct {
	PerSecond int    `yaml:"per_second"` // events
	Burst     int    `yaml:"burst"`      // events at once; 0 is PerSecond
	By        string `yaml:"by"`         // whose are counted together; empty for those of the source
}

// The values of Rate.By.
const (
	BySource  = "source"
	ByKey     = "key"
	ByAddress = "address"
)

// ServerRate is how many events of all sources together may come in.
type ServerRate struct {
	PerSecond int `yaml:"per_second"` // events; 0 for no limit
	Burst     int `yaml:"burst"`      // events at once; 0 is PerSecond
}

// MaxRate is the highest rate and the largest burst that can be set: a hundred times what one
// machine takes, and a number that nobody reaches by a typing error in a unit.
const MaxRate = 100_000_000

// MaxRateClients bounds http.max_rate_clients: a client costs 16 bytes of memory.
const MaxRateClients = 10_000_000

// Destination is a configured sink.
type Destination struct {
	URL          string   `yaml:"url"`
	Sources      []string `yaml:"sources"`
	From         string   `yaml:"from"`           // what it gets, where it is new, of what was accepted before it
	FromStore    string   `yaml:"from_store"`     // and out of which destination's store, where the queue has forgotten it
	Where        string   `yaml:"where"`          // a filter in CEL that an event must pass; empty for none
	WhereOnError string   `yaml:"where_on_error"` // what becomes of an event that the filter can't tell of
	Shape        Shape    `yaml:"shape"`          // what is changed of what is delivered
	MaxAttempts  int      `yaml:"max_attempts"`   // after which an event becomes a dead letter
	Backoff      Backoff  `yaml:"backoff"`        // between the attempts of one event
	Batch        Batch    `yaml:"batch"`
	WriteTimeout Duration `yaml:"write_timeout"`
	Probe        Backoff  `yaml:"probe"`  // between the tries while the destination is down
	Canary       string   `yaml:"canary"` // whether it gets the canary's events

	// Of webhooks alone: see internal/config/webhook.go.
	Send           string            `yaml:"send,rare"`            // what a request holds
	SigningSecrets []Secret          `yaml:"signing_secrets,rare"` // of Standard Webhooks
	AllowPrivate   bool              `yaml:"allow_private,rare"`   // addresses that are not public
	Concurrency    int               `yaml:"concurrency,rare"`     // requests in flight
	Rate           int               `yaml:"rate,rare"`            // requests a second; 0 for no limit
	Headers        map[string]Secret `yaml:"headers,rare"`         // of each request
	OAuth2         OAuth2            `yaml:"oauth2,rare"`
	Proxy          OutboundProxy     `yaml:"proxy,rare"`
	TLS            ClientTLS         `yaml:"tls,rare"`

	// Of brokers alone, which have Headers and TLS as well: see internal/config/broker.go.
	Format string     `yaml:"format,rare"` // what a message holds
	Key    string     `yaml:"key,rare"`    // of a message, with Kafka
	Auth   BrokerAuth `yaml:"auth,rare"`
}

// What a new destination gets of what was accepted before it, beside a time.
const (
	FromNow       = "now"       // nothing
	FromBeginning = "beginning" // all that the queue still has
)

// Begins returns whether a new destination gets what was accepted before it, and since when; 0 is all.
// Errors: ErrInvalid.
func (d *Destination) Begins() (before bool, since pillarbox.Timestamp, err error) {
	switch d.From {
	case FromNow:
		return false, 0, nil
	case FromBeginning:
		return true, 0, nil
	}
	at, err := time.Parse(time.RFC3339, d.From)
	if err != nil {
		return false, 0, pillarbox.Invalid("want now, beginning, or a time as in 2026-11-23T14:12:00Z")
	}
	return true, pillarbox.TimestampOf(at), nil
}

// What becomes of an event that the filter of a destination can't tell of.
const (
	FailedPass       = "pass"        // it is delivered
	FailedDeadLetter = "dead_letter" // it becomes a dead letter
)

// Shape says what is changed of the events that a destination gets.
type Shape struct {
	Drop   Places `yaml:"drop"`
	Redact Places `yaml:"redact"`
	Rename Names  `yaml:"rename"`
}

// Places are where values stand in an event.
type Places struct {
	Headers []string `yaml:"headers"`
	Query   []string `yaml:"query"`
	JSON    []string `yaml:"json"` // pointers into the body
}

// Names are new names, by place.
type Names struct {
	Headers map[string]string `yaml:"headers"`
	Query   map[string]string `yaml:"query"`
	JSON    map[string]string `yaml:"json"` // of members, by pointer
}

// Backoff grows from the first wait to the longest.
type Backoff struct {
	Initial Duration `yaml:"initial"`
	Max     Duration `yaml:"max"`
}

// Batch bounds the events of one write; whichever bound is reached first counts.
type Batch struct {
	MaxEvents int      `yaml:"max_events"`
	MaxBytes  ByteSize `yaml:"max_bytes"`
	MaxAge    Duration `yaml:"max_age"` // how long the first event waits for company
}

// DeadLetters says where events are kept that a destination refused for good.
type DeadLetters struct {
	URL string `yaml:"url"`
}

// Bodies says where bodies are kept that are too large for the queue or for a destination.
type Bodies struct {
	URL string `yaml:"url"` // empty for nowhere: they are refused
}

// HTTP bounds what clients can ask of the public listener.
type HTTP struct {
	ReadHeaderTimeout Duration `yaml:"read_header_timeout"`
	ReadTimeout       Duration `yaml:"read_timeout"`
	WriteTimeout      Duration `yaml:"write_timeout"`
	IdleTimeout       Duration `yaml:"idle_timeout"`
	MaxHeaderBytes    ByteSize `yaml:"max_header_bytes"`
	MaxConnections    int      `yaml:"max_connections"`
	MaxBatchBytes     ByteSize `yaml:"max_batch_bytes"`     // one batch request
	MaxBatchItems     int      `yaml:"max_batch_items"`     // events in one batch request
	MaxWait           Duration `yaml:"max_wait"`            // for Prefer: wait; 0 turns it off
	MaxInFlightBytes  ByteSize `yaml:"max_in_flight_bytes"` // bodies in memory at the same time, of the event loop and net/http together
	MinBodyRate       ByteSize `yaml:"min_body_rate"`       // that a body brings each second, on the average of body_grace; 0 asks for none
	BodyGrace         Duration `yaml:"body_grace"`
	MaxPerAddress     int      `yaml:"max_connections_per_address"` // 0 for no limit

	Rate           ServerRate `yaml:"rate"`             // of events that may come in
	MaxRateClients int        `yaml:"max_rate_clients"` // keys and addresses that one rate of a source remembers
}

// Shutdown bounds how long the process takes to stop.
type Shutdown struct {
	DrainDelay   Duration `yaml:"drain_delay"`   // between not being ready and not accepting
	DrainTimeout Duration `yaml:"drain_timeout"` // of each part
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // auto, text or json
	Access string `yaml:"access"` // off, json or combined
}

// AccessOff is the value of Log.Access for no access log.
const AccessOff = "off"

// SlogLevel returns the level as log/slog has it.
func (l Log) SlogLevel() slog.Level {
	var level slog.Level
	// Load has checked it; the zero value is the default.
	_ = level.UnmarshalText([]byte(l.Level))
	return level
}

// Secret is a value that is written as "[redacted]" however it is formatted. string(s) is the
// value.
type Secret string

const redacted = "[redacted]"

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// IsSet reports whether the file, the environment or a flag has set the key, such as "log.level".
func (c *Config) IsSet(key string) bool {
	at, set := c.marks[key]
	return set && at.origin != OriginPreset
}

// FileKeys lists the keys that the file has set, sorted. Of lists and sections, the single values
// are there too.
func (c *Config) FileKeys() (keys []string) {
	for key, at := range c.marks {
		if at.origin == OriginFile {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Where returns the place where the key was set, as file:line:column, the name of an environment
// variable or "command line"; "" where it was not, or is no key.
func (c *Config) Where(key string) string { return c.marks[key].where }

// Default returns the configuration that holds where nothing is set.
func Default() *Config {
	const mib = 1 << 20
	return &Config{
		Listen: Listen{Address: []string{":8080"}, Express: true, SocketMode: 0o600},
		Admin:  Admin{Listen: "127.0.0.1:8081", MaxFollowers: 100},
		Data:   "./pillarbox-data",

		ForwardedHeader: proxy.XForwardedFor,

		Queue: Queue{URL: "seglog:", MaxBytes: 10 << 30, MaxAge: Duration(14 * day),
			KeepBytes: 256 * mib, SegmentBytes: 64 * mib, CommitTimeout: seconds(5)},
		Idempotency:  Idempotency{Window: Duration(day), MaxKeys: 10_000_000},
		Quarantine:   Quarantine{MaxBytes: 256 * mib, MaxEntries: 10_000, MaxAge: Duration(14 * day)},
		Sources:      map[string]Source{"app": defaultSource("app")},
		Destinations: map[string]Destination{"events": defaultEvents([]string{"app"})},
		DeadLetters:  DeadLetters{URL: "files:dead-letters"},
		HTTP: HTTP{
			ReadHeaderTimeout: seconds(10), ReadTimeout: seconds(60), WriteTimeout: seconds(
				75), IdleTimeout: seconds(120),
			MaxHeaderBytes: 32 << 10, MaxConnections: 20_000,
			MaxBatchBytes: 16 * mib, MaxBatchItems: 10_000, MaxWait: seconds(
				30), MaxInFlightBytes: 256 * mib,
			MinBodyRate: 240, BodyGrace: seconds(5), MaxRateClients: 65_536,
		},
		Shutdown: Shutdown{DrainTimeout: seconds(30)},
		Log:      Log{Level: "info", Format: "auto", Access: AccessOff},
		Tracing:  Tracing{Ratio: 0.01, OTLP: Receiver{Protocol: ReceiverHTTP}},
		Metrics:  Metrics{Every: seconds(60), OTLP: Receiver{Protocol: ReceiverHTTP}},
		Alerts:   defaultAlerts(),
		Canary:   defaultCanary,
	}
}

func seconds(n int) Duration { return Duration(time.Duration(n) * time.Second) }

// defaultSource is what a source has that the file names but says nothing about.
func defaultSource(name string) Source {
	return Source{Path: "/" + name, Methods: []string{http.MethodPost}, MaxBody: 1 << 20,
		Signature: Signature{Scheme: noScheme, Tolerance: Duration(signature.DefaultTolerance),
			OnFailure: refuse},
		Handshake:   string(preset.NoHandshake),
		CloudEvents: EventsOptional,
		Response:    Response{Status: http.StatusAccepted, Body: preset.Receipt},
		Idempotency: SourceIdempotency{Key: "header:Idempotency-Key", Content: ContentCompare}}
}

// defaultDestination is what a destination has that the file names but says nothing about. It has
// no URL.
func defaultDestination() Destination {
	return Destination{
		From:         FromNow,
		WhereOnError: FailedPass,
		MaxAttempts:  20,
		Backoff:      Backoff{Initial: seconds(1), Max: seconds(300)},
		Batch:        Batch{MaxEvents: 1000, MaxBytes: 4 << 20, MaxAge: Duration(10 * time.Millisecond)},
		WriteTimeout: seconds(30),
		Probe:        Backoff{Initial: seconds(1), Max: seconds(30)},
		Canary:       CanaryAuto,
	}
}

// batchDefaults are the batches of engines for which the general ones are no good, by scheme. A batch of
// parquet: is a file: with the general ones there would be a hundred a second.
var batchDefaults = map[string]Batch{
	"parquet":    {MaxEvents: 50_000, MaxBytes: 64 << 20, MaxAge: seconds(10)},
	"parquet+s3": {MaxEvents: 50_000, MaxBytes: 64 << 20, MaxAge: seconds(10)},
}

// resolveBatches fills in the batches of such engines, where nothing is set.
func (c *Config) resolveBatches() {
	for name, destination := range c.Destinations {
		scheme, _, _ := strings.Cut(destination.URL, ":")
		defaults, found := batchDefaults[scheme]
		if !found {
			continue
		}
		key, batch := "destinations."+name+".batch", &destination.Batch
		if !c.IsSet(key + ".max_events") {
			batch.MaxEvents = defaults.MaxEvents
		}
		if !c.IsSet(key + ".max_bytes") {
			batch.MaxBytes = defaults.MaxBytes
		}
		if !c.IsSet(key + ".max_age") {
			batch.MaxAge = defaults.MaxAge
		}
		c.Destinations[name] = destination
	}
}

// defaultEvents is the destination that exists where the file names none.
func defaultEvents(sources []string) Destination {
	destination := defaultDestination()
	destination.URL, destination.Sources = "sqlite:", sources
	return destination
}
