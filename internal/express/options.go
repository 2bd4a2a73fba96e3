package express

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"pillarbox"
	"pillarbox/internal/admission"
	"pillarbox/internal/framing"
	"pillarbox/internal/ingest"
	"pillarbox/internal/opening"
	"pillarbox/internal/proxy"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
)

// The defaults of Options.
const (
	DefaultMaxConnections    = 20_000
	DefaultReadHeaderTimeout = 10 * time.Second
	DefaultReadTimeout       = 60 * time.Second
	DefaultWriteTimeout      = 75 * time.Second
	DefaultIdleTimeout       = 120 * time.Second
	DefaultMaxInFlightBytes  = 256 << 20
	DefaultMaxHeaderBytes    = 32 << 10
)

// Options of a Server. Acceptor, Sources and Problem are required; zero means the default.
type Options struct {
	// Acceptor makes requests durable. What the requests point to is valid during the call only. It
	// is called from every loop.
	Acceptor ingest.Acceptor
	// Sources are the ways in. What is at no path of single events is for net/http.
	Sources *source.Sources
	// Trusted are proxies that say who a request is from. Their connections count for nobody.
	Trusted *proxy.Trusted
	// Memory is for requests that are not complete; default: as much as DefaultMaxInFlightBytes,
	// for this server alone.
	Memory *admission.Memory

	// Problem makes the answer for an error. Besides those of the Acceptor and of sources, there
	// are errors of package framing, and some that match pillarbox.ErrFull (Memory) and
	// os.ErrDeadlineExceeded (the body came too slowly). The header must not name the length, the
	// date or the connection.
	Problem func(err error) (status int, header http.Header, body []byte)

	MaxHeaderBytes    int           // of a head; more is refused. Of those below, the ones over 8 KiB are handed over
	MaxConnections    int           // with those that were handed over; for more, those go that rest, and else they wait to be accepted
	MaxPerAddress     int           // connections of one address; more are closed. 0: no limit
	ReadHeaderTimeout time.Duration // from the first byte of a request, or from the start of the connection, to the end of its head
	ReadTimeout       time.Duration // to the end of its body
	WriteTimeout      time.Duration // for a client that doesn't read its answers
	IdleTimeout       time.Duration // between requests
	MinBodyRate       int64         // bytes a second that a body brings at least, on the average of each BodyGrace; 0: none
	BodyGrace         time.Duration // in which MinBodyRate is looked at
	Loops             int           // event loops; 0 chooses
	AcceptTimeout     time.Duration // how long the Acceptor may take until another goroutine takes the loop over; 0: any time
	Logger            *slog.Logger  // nil: discard

	// Closed is told of connections that were closed to keep to the limits; nil: nobody. It must
	// not block.
	Closed func(reason admission.Reason)

	Traces *telemetry.Traces // of what sources have let in; nil: nothing is recorded
	Access *telemetry.Access // of every answer; nil: nothing is written
}

// Listener is one that a Server answers on: of TCP, or a unix socket.
type Listener struct {
	net.Listener
	Opener *opening.Opener // of what stands before HTTP; nil: nothing does
}

func (o Options) withDefaults() Options {
	setDefault(&o.MaxHeaderBytes, DefaultMaxHeaderBytes)
	setDefault(&o.MaxConnections, DefaultMaxConnections)
	setDefault(&o.ReadHeaderTimeout, DefaultReadHeaderTimeout)
	setDefault(&o.ReadTimeout, DefaultReadTimeout)
	setDefault(&o.WriteTimeout, DefaultWriteTimeout)
	setDefault(&o.IdleTimeout, DefaultIdleTimeout)
	setDefault(&o.BodyGrace, framing.DefaultBodyGrace)
	if o.Memory == nil {
		o.Memory = admission.NewMemory(DefaultMaxInFlightBytes)
	}
	setDefault(&o.Loops, defaultLoops())
	if o.Closed == nil {
		o.Closed = func(admission.Reason) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T int | int64 | time.Duration](value *T, byDefault T) {
	if *value <= 0 {
		*value = byDefault
	}
}

func (o Options) validate(listeners int) error {
	switch {
	case listeners == 0:
		return pillarbox.Invalid("express: there is no listener")
	case o.Acceptor == nil:
		return pillarbox.Invalid("express: Acceptor is missing")
	case o.Sources == nil:
		return pillarbox.Invalid("express: Sources are missing")
	case o.Problem == nil:
		return pillarbox.Invalid("express: Problem is missing")
	}
	return nil
}

// ErrNotPossible says that this system has no event loop that express can use. net/http does all of
// it then.
var ErrNotPossible = errors.New("express needs Linux")

// defaultLoops is how many loops there are where nothing else is set.
func defaultLoops() int { return 1 }
