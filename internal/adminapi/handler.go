package adminapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox"
	"pillarbox/internal/alert"
	"pillarbox/internal/protocol"
	"pillarbox/internal/rollup"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/trail"
)

// DefaultHeartbeat is how often a stream of events that has nothing to say shows that it is alive.
const DefaultHeartbeat = 15 * time.Second

// DefaultActor is who everybody is where no token is asked for.
const DefaultActor = "somebody on this machine"

// DefaultMaxFollowers is how many streams of events there may be at a time.
const DefaultMaxFollowers = 100

// Options of the admin listener. The zero value is open to this machine only.
type Options struct {
	Token         string        // what "Authorization: Bearer" must carry, for everything. Without it and Tokens none is asked for, and Host is checked instead
	Tokens        []Token       // others, for some of it
	Actor         string        // who everybody is where no token is asked for; DefaultActor where empty
	Trail         *trail.Trail  // gets an entry before and behind each act; nil for none
	Hosts         []string      // names or addresses, without port, that Host may also have where there is no token
	Metrics       http.Handler  // for /metrics; nil is 404
	Configuration func() string // in force, without secrets; nil: not known
	Ready         func() error  // why the server is not ready; nil is always ready. Must be quick
	MaxFollowers  int           // streams of events at a time; more are refused. 0 is DefaultMaxFollowers
	Heartbeat     time.Duration // of event streams; 0 is DefaultHeartbeat
	Logger        *slog.Logger  // nil: discard
	Now           func() time.Time

	History *rollup.History // for charts; nil is 404
	Alerts  *alert.Center   // nil is 404
	MaxScan int             // events that a page looks at for a filter without an index; 0 is DefaultMaxScan
}

// Handler is the handler of the admin listener.
type Handler struct {
	node   Node
	opts   Options
	tokens []known
	mux    *http.ServeMux
	stop   chan struct{} // closed by Close
	closed sync.Once

	followers atomic.Int64
	texts     texts // of what the followers are told
	sessions  sessions
	failures  failures
}

// New makes the handler. Close it when the server begins to stop, or its streams hold the server
// up: server.RegisterOnShutdown is the place.
func New(node Node, opts Options) *Handler {
	if opts.Heartbeat <= 0 {
		opts.Heartbeat = DefaultHeartbeat
	}
	if opts.MaxFollowers <= 0 {
		opts.MaxFollowers = DefaultMaxFollowers
	}
	if opts.MaxScan <= 0 {
		opts.MaxScan = DefaultMaxScan
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Ready == nil {
		opts.Ready = func() error { return nil }
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Actor == "" {
		opts.Actor = DefaultActor
	}
	a := &Handler{
		node: node, opts: opts, tokens: knownTokens(&opts), stop: make(chan struct{}),
		mux: http.NewServeMux(),
	}
	byPath := map[string][]apiRoute{}
	for _, r := range apiRoutes {
		byPath[r.path] = append(byPath[r.path], r)
	}
	for pattern, routes := range byPath {
		a.mux.HandleFunc(pattern,
			func(w http.ResponseWriter, r *http.Request) { a.dispatch(w, r, routes) })
	}
	a.mux.HandleFunc("/", func(w http.ResponseWriter,
		r *http.Request) {
		protocol.WriteProblem(w, noRoute(r))
	})
	return a
}

func noRoute(r *http.Request) error {
	return &protocol.Error{Status: http.StatusNotFound,
		Detail: fmt.Sprintf("there is nothing at %s; GET /openapi.yaml describes what there is",
			r.URL.Path)}
}

// Close ends the streams of events. Other requests go on. It is safe to call twice, and does not
// wait.
func (a *Handler) Close() {
	a.closed.Do(func() { close(a.stop) })
}

// apiRequest is a request that was let in, with its query.
type apiRequest struct {
	*http.Request
	query query
	who   access
	made  string // by the act: what the trail has to name besides
}

// apiRoute is one method of one path. The table of them is what the document at /openapi.yaml is
// checked against.
type apiRoute struct {
	method string // GET stands for HEAD too
	path   string
	params []string // of the query; nil: the query is not looked at
	// answers are the statuses that it may have besides 500 and those of the guard. An error of
	// another status is our own fault: 500.
	answers []int
	body    bool   // is read, by readRequest; elsewhere there must be none
	open    bool   // for everyone, with or without a token
	login   bool   // it is open because it finds out who asks, and keeps out pages of other sites itself
	scope   Scope  // that it takes
	act     string // its name in the trail; empty for what only reads
	handle  func(a *Handler, w http.ResponseWriter, r *apiRequest) error
}

// none is a query in which nothing is allowed.
var none = []string{}

var apiRoutes = slices.Concat(plainRoutes, bookRoutes, eventRoutes, letterRoutes, replayRoutes,
	purgeRoutes, backfillRoutes,
	heldRoutes, keyRoutes, quarantineRoutes, trailRoutes, sessionRoutes, pauseRoutes, causeRoutes, sendRoutes, historyRoutes, alertRoutes)

// ServeHTTP implements http.Handler.
func (a *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if path.Clean(r.URL.Path) != r.URL.Path {
		protocol.WriteProblem(w, noRoute(r)) // the mux would redirect
		return
	}
	open := slices.ContainsFunc(apiRoutes, func(route apiRoute) bool {
		return route.open && route.path == r.URL.Path && (!route.login || r.Method == route.method)
	})
	if !open {
		// Before the routes, so that nobody learns from here which there are.
		who, err := a.guard(r)
		if err != nil {
			protocol.WriteProblem(w, err)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), accessKey{}, who))
	}
	a.mux.ServeHTTP(w, r)
}

// accessKey is the key of who was let in, in the context of a request.
type accessKey struct{}

// secure sets what keeps browsers from doing more with an answer than to show it.
func secure(header http.Header) {
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy",
		"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
}

func (a *Handler) dispatch(w http.ResponseWriter, r *http.Request, routes []apiRoute) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	index := slices.IndexFunc(routes, func(route apiRoute) bool { return route.method == method })
	if index < 0 {
		allow := allowed(routes)
		protocol.WriteProblem(w, protocol.NotAllowed(r.Method, allow))
		return
	}
	route := routes[index]
	if err := a.serve(w, r, &route); err != nil {
		a.fail(w, r, &route, err)
	}
}

func allowed(routes []apiRoute) string {
	var methods []string
	for _, route := range routes {
		if methods = append(methods, route.method); route.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

func (a *Handler) serve(w http.ResponseWriter, r *http.Request, route *apiRoute) error {
	request := &apiRequest{Request: r}
	if !route.open {
		request.who, _ = r.Context().Value(accessKey{}).(access)
		if request.who.scope < route.scope {
			return &protocol.Error{Status: http.StatusForbidden, Detail: fmt.Sprintf(
				"this takes a token of the scope %s, and this one has the scope %s", route.scope, request.who.scope)}
		}
	}
	if route.params != nil {
		var err error
		if request.query, err = parseQuery(r.URL.RawQuery, route.params, a.opts.Now()); err != nil {
			return err
		}
	}
	if !route.body && r.Method != http.MethodGet && r.Method != http.MethodHead {
		if err := noBody(w, r); err != nil {
			return err
		}
	}
	if route.act != "" {
		return a.act(w, request, route)
	}
	return route.handle(a, w, request)
}

// fail answers with an error. Unlike the public side it tells of our own faults: who reads this is
// the operator.
func (a *Handler) fail(w http.ResponseWriter, r *http.Request, route *apiRoute, err error) {
	problem := protocol.ProblemOf(err)
	problem.Detail = err.Error()
	if !slices.Contains(route.answers, problem.Status) && problem.Status != http.StatusForbidden {
		problem.Status, problem.Title = http.StatusInternalServerError, http.StatusText(
			http.StatusInternalServerError)
	}
	if problem.Status == http.StatusInternalServerError && !errors.Is(err, pillarbox.ErrCorrupt) {
		a.opts.Logger.Error("admin request failed", telemetry.KeyMethod, r.Method, telemetry.KeyRoute,
			route.path, telemetry.KeyErr, err)
	}
	protocol.AnswerProblem(w, problem, err)
}
