package adminapi

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/protocol"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/trail"
)

// trailRoutes show the trail of administration.
var trailRoutes = []apiRoute{
	{method: http.MethodGet, path: TrailPath, params: []string{"after", "limit"}, scope: ScopeAdmin,
		answers: []int{200, 400, 404, 503}, handle: (*Handler).readTrail},
	{method: http.MethodDelete, path: TrailPath + "/{seq}", params: none, scope: ScopeAdmin, act: "trail.erase",
		answers: []int{204, 400, 404, 503}, handle: (*Handler).eraseTrail},
}

// TrailPath is where the trail is.
const TrailPath = "/api/v1/trail"

// errNoTrail is the answer where nothing is kept on this machine.
var errNoTrail = &protocol.Error{Status: http.StatusNotFound,
	Detail: "the trail of administration is kept in a data directory, and here is none"}

func (a *Handler) readTrail(w http.ResponseWriter, r *apiRequest) error {
	limit, text, after := r.query.limit(), r.query.text("after"), uint64(0)
	if err := r.query.err(); err != nil {
		return err
	}
	if text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return protocol.Invalid("after is %q; want the number of an entry", text)
		}
	}
	if a.opts.Trail == nil {
		return errNoTrail
	}
	page, err := a.opts.Trail.Read(after, limit)
	if err != nil {
		return err
	}
	protocol.WriteJSON(w, http.StatusOK, page)
	return nil
}

func (a *Handler) eraseTrail(w http.ResponseWriter, r *apiRequest) error {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	if err != nil {
		return protocol.Invalid("%q is no number of an entry", r.PathValue("seq"))
	}
	if a.opts.Trail == nil {
		return errNoTrail
	}
	if err := a.opts.Trail.Erase(seq); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// act does what a route does, with an entry in the trail before and one behind it. Nothing is done
// that can't be written down.
func (a *Handler) act(w http.ResponseWriter, r *apiRequest, route *apiRoute) error {
	if a.opts.Trail == nil {
		return route.handle(a, w, r)
	}
	text := ""
	if route.body {
		text = peekBody(r.Request)
	}
	act := trail.Act{Actor: r.who.actor, Address: addressOf(r.Request), Action: route.act,
		Object: r.URL.RequestURI(), Request: text}
	seq, err := a.opts.Trail.Append(act)
	if err != nil {
		return err
	}
	err = route.handle(a, w, r)
	result := trail.Act{Actor: act.Actor, Action: act.Action, Object: r.made, Result: "done", Of: seq}
	if err != nil {
		result.Result = err.Error()
	}
	if _, failed := a.opts.Trail.Append(result); failed != nil {
		a.opts.Logger.Error("what became of an act is not in the trail", telemetry.KeyWhat, act.Action, telemetry.KeyErr, failed)
	}
	return err
}

// peekBody reads a body that is not too large, and puts it back. What is wrong with it is found by
// who reads it again.
func peekBody(r *http.Request) string {
	text, err := io.ReadAll(io.LimitReader(r.Body, MaxReplayBytes+1))
	rest := io.Reader(r.Body)
	if err != nil {
		rest = failing{err}
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(text), rest), r.Body}
	return string(text)
}

// failing is the rest of a body that can't be read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// addressOf is where a request comes from; empty where it is from no network.
func addressOf(r *http.Request) string {
	host, port, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || port == "0" {
		return "" // a socket, or this process
	}
	return host
}

// failures are logins that have failed: told once a minute, so that whoever guesses can't fill the
// disk with it.
type failures struct {
	mu   sync.Mutex
	told time.Time
	n    int
}

// failuresEvery is how often an entry of the trail is made of them.
const failuresEvery = time.Minute

func (a *Handler) failedLogin(r *http.Request) {
	now := a.opts.Now()
	f := &a.failures
	f.mu.Lock()
	f.n++
	n := f.n
	due := f.told.IsZero() || now.Sub(f.told) >= failuresEvery || now.Before(f.told)
	if due {
		f.told, f.n = now, 0
	}
	f.mu.Unlock()
	if !due {
		return
	}
	a.opts.Logger.Warn("logins of the admin API have failed; told once a minute", telemetry.KeyRequests, n, telemetry.KeyClient, addressOf(r))
	a.note(trail.Act{Actor: "unknown", Address: addressOf(r), Action: "login.failed", Result: strconv.Itoa(n) + " since the entry before"})
}

func (a *Handler) recordLogin(r *http.Request, who access) {
	a.note(trail.Act{Actor: who.actor, Address: addressOf(r), Action: "login", Result: "done"})
}

// note writes an entry about something that has happened already.
func (a *Handler) note(act trail.Act) {
	if a.opts.Trail == nil {
		return
	}
	if _, err := a.opts.Trail.Append(act); err != nil && !errors.Is(err, pillarbox.ErrClosed) {
		a.opts.Logger.Error("an entry of the trail is lost", telemetry.KeyWhat, act.Action, telemetry.KeyErr, err)
	}
}
