// Package source compiles a way in: where it is, who may come in, how much, and what is kept of a
// request.
//
// A Source never changes; a configuration makes a Table of all of them, which is built and
// validated as a whole, and replaces the one before atomically (see Sources). Every front looks a
// request up in it and takes the same three steps:
//
//	admission, err := route.Source.Admit(&head)   // before the body is read: who comes, and with what
//	checked, err := admission.Check(&head, body)  // when all of the body is there, as it came
//	grant, err := checked.Charge(events)          // once it is known how much it is
//
// No front can forget one of them: accepting takes a Grant, only Charge makes one, only Check makes
// what can be charged, and only Admit what can be checked. What is to be asked of every request,
// whatever way it comes, belongs here. The package knows no front, no queue and no engine.
package source

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/preset"
	"pillarbox/internal/ratelimit"
	"pillarbox/internal/signature"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/urlpath"
)

// DefaultMaxBody is the largest body of a source that sets no limit of its own, in bytes.
const DefaultMaxBody = 1 << 20

// BatchSuffix is appended to the path of a source for batches.
const BatchSuffix = urlpath.BatchSuffix

// Settings are what a configuration says of a source. Zero means the default.
type Settings struct {
	Name     string
	Path     string       // of single events; that of batches ends with BatchSuffix. Empty for a source that no path leads to
	MaxBody  int64        // bytes
	Headers  HeaderPolicy // which headers are kept
	Redact   Places       // of values in whose place Redacted is kept
	Hash     Hash         // of values in whose place a digest is kept
	Limits   []Limit      // how many events may come in
	Key      string       // where the idempotency key stands, as header:NAME, body:/JSON/POINTER, cloudevents or none; empty is DefaultKey
	KeyAlone bool         // a key that comes with another content is the same all the same

	Allow []netip.Prefix // networks that requests may come from; empty for all
	Deny  []netip.Prefix // and those that they may not come from

	Keys  *apikey.Ring // API keys that open it; nil where none does
	Users []User       // who opens it with a password

	Tokens []Tokens // whose bearer tokens open it

	// Certificates of clients that open it. Without Keys, Users, Tokens and Certificates it is open to
	// everybody.
	Certificates *CertificateRule

	Methods     []string            // of requests that are stored; POST alone where empty
	Signature   *signature.Verifier // of every request that is stored; nil asks for none
	Quarantine  bool                // keeps single requests apart whose signature fails, where Options.Quarantine has room; else they are refused
	Handshake   preset.Handshake    // how senders ask whether this is the right address
	VerifyToken string              // that the handshake of Meta asks for
	CloudEvents CloudEvents         // what is made of them
	CORS        CORS                // which pages of other sites may send
	Answer      preset.Answer       // to an accepted event; 202 and the receipt where zero
}

// Source is a compiled source. All methods may be called concurrently.
type Source struct {
	Settings

	keeper  *keeper
	key     keyRule
	limits  *limits // nil for none
	metrics *telemetry.Ingest
	logger  *slog.Logger
	methods methods
	greeter *preset.Greeter // nil for no handshake
	answer  *Answer
	address *addresses       // nil for a source that is open to every address
	auth    *auth            // nil for a source that is open to everybody
	cors    *cors            // nil where no page of another site may send
	pattern *urlpath.Pattern // nil for a path that is taken as it is written
	now     func() time.Time
	elapsed func() time.Duration

	hasRoom func() bool // of the quarantine; nil where requests are refused

	refused   refusals // for what nobody has signed
	apart     refusals // for what is in quarantine
	crowded   refusals // for what would be, had it room
	strangers refusals // for whom nobody knows
}

// Options are what sources count and tell with. The zero value does neither.
type Options struct {
	Metrics *telemetry.Metrics
	Logger  *slog.Logger     // gets a line for each secret that is not kept, by name, and for signatures
	Now     func() time.Time // that signed times are held against; time.Now by default
	Rate    ratelimit.Rate   // of all sources together

	Canary *CanaryKey // that opens the way in of the canary; nil: there is none

	Quarantine func() bool // whether there is room for another request in quarantine; nil where there is none

	Elapsed func() time.Duration // that limits are held against, of a clock that no one sets; the system's by default
}

// New compiles a source that stands alone. Settings that can't be compiled are a bug of the caller,
// who has checked them; Compile returns the error.
func New(settings Settings, options Options) *Source {
	s, err := compile(settings, newServerLimit(options.Rate), options)
	if err != nil {
		panic("pillarbox: bug: " + err.Error())
	}
	return s
}

func compile(settings Settings, server *limit, options Options) (*Source, error) {
	key, err := compileKey(settings.Key)
	if err != nil {
		return nil, fmt.Errorf("sources.%s.idempotency.key: %w", settings.Name, err)
	}
	pattern, err := urlpath.Compile(settings.Path)
	if err != nil {
		return nil, fmt.Errorf("sources.%s.path: %w", settings.Name, err)
	}
	if settings.MaxBody <= 0 {
		settings.MaxBody = DefaultMaxBody
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Elapsed == nil {
		options.Elapsed = func() time.Duration { return time.Since(began) }
	}
	s := &Source{
		Settings: settings, pattern: pattern, cors: newCORS(settings.CORS), keeper: newKeeper(settings, options), key: key,
		limits: newLimits(&settings, server), elapsed: options.Elapsed, metrics: options.Metrics.Ingest(settings.Name),
		logger: options.Logger, methods: newMethods(&settings), answer: newAnswer(settings.Answer),
		address: newAddresses(&settings), auth: newAuth(&settings), now: options.Now, greeter: preset.NewGreeter(settings.Handshake, preset.Options{
			VerifyToken: settings.VerifyToken, PerMinute: 60 * settings.perSecond()}),
	}
	if settings.Quarantine {
		s.hasRoom = options.Quarantine
	}
	return s, nil
}

// began is the moment from which the system's clock counts here.
var began = time.Now()

// perSecond is the rate of the source as a whole; 0 for no limit.
func (s *Settings) perSecond() int {
	for _, l := range s.Limits {
		if l.By == BySource || l.By == "" {
			return l.PerSecond
		}
	}
	return 0
}

// Accepted is the answer to a single event that was accepted.
func (s *Source) Accepted() *Answer { return s.answer }

// Metrics counts what was accepted and refused.
func (s *Source) Metrics() *telemetry.Ingest { return s.metrics }

// MaxBodyKey is the key of the configuration that sets MaxBody.
func (s *Source) MaxBodyKey() string { return "sources." + s.Name + ".max_body" }

// CheckBody refuses a body that is over MaxBody, as ErrTooLarge.
func (s *Source) CheckBody(size int) error {
	if int64(size) <= s.MaxBody {
		return nil
	}
	return fmt.Errorf("body of %d bytes is over the limit of %d bytes (%s): %w", size, s.MaxBody,
		s.MaxBodyKey(), pillarbox.ErrTooLarge)
}

// Keep appends the fields of a header that are kept with an event. The one that is handed in is not
// changed. What is left out for other reasons than that it is of the connection is counted.
func (s *Source) Keep(kept, header pillarbox.Header, removed *Removed) pillarbox.Header {
	return s.keeper.appendHeader(kept, header, removed)
}

// KeepQuery returns what is kept of a query: all of it, with Redacted in place of bearer secrets and
// what rules put in place of other values, which is counted.
func (s *Source) KeepQuery(query string, removed *Removed) string {
	return s.keeper.keepQuery(query, removed)
}

// Removed is how much was not kept of requests since the source was compiled.
func (s *Source) Removed(what telemetry.Removal) uint64 { return s.keeper.removed[what].Load() }

// RemovedInAll is the sum of everything that was not kept.
func (s *Source) RemovedInAll() (sum uint64) {
	for what := range s.keeper.removed {
		sum += s.keeper.removed[what].Load()
	}
	return sum
}

// Route is one path.
type Route struct {
	Path    string
	Source  *Source
	Batch   bool             // many events in one request
	Metrics *telemetry.Route // nil measures nothing
}

// Table is all the sources of a configuration. It never changes.
type Table struct {
	sources []*Source // sorted by name
	routes  map[string]*Route

	patterns []patternRoutes // in the order in which they are tried

	canary    *Route // nil where there is none
	canaryKey *CanaryKey
}

// patternRoutes are the two routes of a source whose path is a pattern.
type patternRoutes struct {
	*urlpath.Pattern
	single, batch *Route
}

// Compile makes a table. Errors: ErrInvalid, for two sources of one name, for one with the name or the
// path of the canary, for a path that leads to two of them, and for settings that can't be.
func Compile(settings []Settings, options Options) (*Table, error) {
	t := &Table{routes: make(map[string]*Route, 2*len(settings))}
	server := newServerLimit(options.Rate)
	for _, s := range settings {
		if t.Get(s.Name) != nil || s.Name == "" {
			return nil, pillarbox.Invalid("sources need names of their own, and one has the name %q", s.Name)
		}
		if err := CheckReserved(s.Name, s.Path); err != nil {
			return nil, err
		}
		compiled, err := compile(s, server, options)
		if err != nil {
			return nil, err
		}
		t.sources = append(t.sources, compiled)
		if s.Path == "" {
			continue
		}
		for _, route := range []*Route{
			{Path: s.Path, Source: compiled},
			{Path: strings.TrimSuffix(s.Path, "/") + BatchSuffix, Source: compiled, Batch: true},
		} {
			if other := t.routes[route.Path]; other != nil {
				return nil, pillarbox.Invalid("the path %s leads to the sources %s and %s", route.Path,
					other.Source.Name, s.Name)
			}
			route.Metrics = options.Metrics.Route(route.Path)
			t.routes[route.Path] = route
		}
		if compiled.pattern != nil {
			if err := t.addPattern(compiled); err != nil {
				return nil, err
			}
		}
	}
	if options.Canary != nil {
		var err error
		if t.canary, err = canaryRoute(); err != nil {
			return nil, err
		}
		t.canaryKey = options.Canary
	}
	slices.SortStableFunc(t.patterns, func(a, b patternRoutes) int { return a.Compare(b.Pattern) })
	slices.SortFunc(t.sources, func(a, b *Source) int { return cmp.Compare(a.Name, b.Name) })
	return t, nil
}

// All lists the sources, sorted by name. The slice is the table's.
func (t *Table) All() []*Source { return t.sources }

// Get returns the source of that name, or nil.
func (t *Table) Get(name string) *Source {
	for _, s := range t.sources {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// addPattern is for a source whose routes are there under its path as it is written, which no
// request has.
func (t *Table) addPattern(s *Source) error {
	for _, other := range t.patterns {
		if urlpath.Shape(other.single.Path) == urlpath.Shape(s.Path) {
			return pillarbox.Invalid("the paths %s and %s lead to the sources %s and %s, and take the same requests",
				other.single.Path, s.Path, other.single.Source.Name, s.Name)
		}
	}
	t.patterns = append(t.patterns, patternRoutes{s.pattern, t.routes[s.Path], t.routes[s.Path+BatchSuffix]})
	return nil
}

// Route returns the route of a path, or nil. escaped is the path as it came. A path that is written
// out goes before those of which parts stand for others; a slash at the end is not looked at.
func (t *Table) Route(path, escaped string) *Route {
	if route := t.routes[path]; route != nil && route.Source.pattern == nil {
		return route
	}
	if len(path) > 1 && path[len(path)-1] == '/' {
		if route := t.routes[path[:len(path)-1]]; route != nil && route.Source.pattern == nil {
			return route
		}
	}
	for i := range t.patterns {
		if batch, ok := t.patterns[i].Takes(escaped); ok && batch {
			return t.patterns[i].batch
		} else if ok {
			return t.patterns[i].single
		}
	}
	return nil
}

// Routes lists all paths that lead somewhere, sorted.
func (t *Table) Routes() []*Route {
	return slices.SortedFunc(maps.Values(t.routes), func(a, b *Route) int { return cmp.Compare(a.Path, b.Path) })
}

// Single returns the route of a path without escapes where single events are accepted, or nil.
func (t *Table) Single(path string) *Route {
	if route := t.Route(path, path); route != nil && !route.Batch {
		return route
	}
	return nil
}

// Sources is the table that is in force, for all fronts of a process. Requests that are under way
// go on with the one that they began with.
type Sources struct {
	table atomic.Pointer[Table]
}

// NewSources begins with a table.
func NewSources(table *Table) *Sources {
	s := &Sources{}
	s.table.Store(table)
	return s
}

// Table returns the one that is in force.
func (s *Sources) Table() *Table { return s.table.Load() }

// Replace puts another one in force.
func (s *Sources) Replace(table *Table) { s.table.Store(table) }
