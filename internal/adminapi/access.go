package adminapi

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/protocol"
)

// Scope is what a token may do. Each one may do what those before it may.
type Scope int

// The scopes.
const (
	ScopeRead   Scope = iota // look at everything but the trail
	ScopeReplay              // replay dead letters, and have events handed out again
	ScopeAdmin               // everything
)

var scopeNames = [...]string{"read", "replay", "admin"}

func (s Scope) String() string { return scopeNames[s] }

// ParseScope reads a name.
func ParseScope(name string) (Scope, bool) {
	for i, known := range scopeNames {
		if name == known {
			return Scope(i), true
		}
	}
	return 0, false
}

// Scopes are the names of all.
func Scopes() []string { return scopeNames[:] }

// Token lets in whoever sends it.
type Token struct {
	Name   string // for the trail
	Secret string
	Scope  Scope
}

// access is somebody who was let in.
type access struct {
	actor   string // for the trail
	scope   Scope
	session *session // nil for who sends a token, or needs none
}

// known is a token as it is compared.
type known struct {
	digest [sha256.Size]byte
	access access
}

// MainToken is the name of the one in Options.Token.
const MainToken = "admin"

func knownTokens(opts *Options) (tokens []known) {
	all := opts.Tokens
	if opts.Token != "" {
		all = append([]Token{{MainToken, opts.Token, ScopeAdmin}}, all...)
	}
	for _, t := range all {
		tokens = append(tokens, known{sha256.Sum256([]byte(t.Secret)), access{actor: "token " + t.Name, scope: t.Scope}})
	}
	return tokens
}

// token finds whose a token is. It compares digests, and all of them, so that neither the time nor
// the length tells anything about any.
func (a *Handler) token(secret string) (found access, ok bool) {
	digest := sha256.Sum256([]byte(secret))
	for i := range a.tokens {
		if subtle.ConstantTimeCompare(digest[:], a.tokens[i].digest[:]) == 1 {
			found, ok = a.tokens[i].access, true
		}
	}
	return found, ok
}

const (
	// CookieName is the name of the cookie of a browser that has logged in.
	CookieName = "pillarbox_session"

	// SessionIdle is how long a session lasts without a request, and SessionAge how long in any case.
	SessionIdle = 30 * time.Minute
	SessionAge  = 12 * time.Hour

	// MaxSessions is how many there are at a time; the one that has rested the longest makes room.
	MaxSessions = 100
)

// session is a browser that has logged in.
type session struct {
	access  access
	expires time.Time // in any case
	used    time.Time
}

// sessions are in memory alone: a restart ends them.
type sessions struct {
	mu   sync.Mutex
	byID map[[sha256.Size]byte]*session // by the digest of what the cookie has
}

// begin makes a session and returns what goes into its cookie.
func (s *sessions) begin(who access, now time.Time) (cookie string, begun *session) {
	var secret [32]byte
	rand.Read(secret[:])
	cookie = base64.RawURLEncoding.EncodeToString(secret[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clean(now)
	if len(s.byID) >= MaxSessions {
		s.dropOldest()
	}
	if s.byID == nil {
		s.byID = map[[sha256.Size]byte]*session{}
	}
	begun = &session{access: who, expires: now.Add(SessionAge), used: now}
	begun.access.session = begun
	s.byID[sha256.Sum256([]byte(cookie))] = begun
	return cookie, begun
}

// clean drops those whose time has come.
func (s *sessions) clean(now time.Time) {
	for id, one := range s.byID {
		if one.over(now) {
			delete(s.byID, id)
		}
	}
}

func (s *sessions) dropOldest() {
	var oldest [sha256.Size]byte
	var used time.Time
	for id, one := range s.byID {
		if used.IsZero() || one.used.Before(used) {
			oldest, used = id, one.used
		}
	}
	delete(s.byID, oldest)
}

func (s *session) over(now time.Time) bool {
	return now.After(s.expires) || now.Sub(s.used) > SessionIdle
}

// find returns the session of a cookie, and counts it as used.
func (s *sessions) find(cookie string, now time.Time) (access, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := sha256.Sum256([]byte(cookie))
	one := s.byID[id]
	switch {
	case one == nil:
		return access{}, false
	case one.over(now):
		delete(s.byID, id)
		return access{}, false
	}
	one.used = now
	return one.access, true
}

func (s *sessions) end(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, sha256.Sum256([]byte(cookie)))
}

// sessionRoutes let browsers in, which can't send a token with each request.
var sessionRoutes = []apiRoute{
	{method: http.MethodPost, path: SessionPath, params: none, body: true, open: true, login: true,
		answers: []int{201, 400, 401, 403, 408, 413, 415}, handle: (*Handler).login},
	{method: http.MethodGet, path: SessionPath, params: none, answers: []int{200, 400}, handle: (*Handler).whoAmI},
	{method: http.MethodDelete, path: SessionPath, params: none, answers: []int{204, 400}, handle: (*Handler).logout},
}

// SessionPath is where a browser logs in and out.
const SessionPath = "/api/v1/session"

// LoginRequest asks for a session.
type LoginRequest struct {
	Token string `json:"token"`
}

// Identity is who a request is from, and what they may do.
type Identity struct {
	Actor     string               `json:"actor"`
	Scope     string               `json:"scope"`
	ExpiresAt *pillarbox.Timestamp `json:"expires_at"` // of a session, in any case
}

func (w access) identity() Identity {
	i := Identity{Actor: w.actor, Scope: w.scope.String()}
	if w.session != nil {
		expires := pillarbox.TimestampOf(w.session.expires)
		i.ExpiresAt = &expires
	}
	return i
}

// login begins a session for whoever has a token. Its cookie is for this host alone, for no script,
// and for no page of another site.
func (a *Handler) login(w http.ResponseWriter, r *apiRequest) error {
	if err := checkSite(r.Request); err != nil {
		return err
	}
	if len(a.tokens) == 0 {
		return protocol.Invalid("there is no token (admin.token), so that nobody has to log in")
	}
	var asked LoginRequest
	if err := readRequest(w, r.Request, &asked, "a login", ""); err != nil {
		return err
	}
	who, ok := a.token(asked.Token)
	if !ok {
		a.failedLogin(r.Request)
		return &protocol.Error{Status: http.StatusUnauthorized, Challenge: bearerRealm, Detail: "this is no token of the admin API"}
	}
	cookie, begun := a.sessions.begin(who, a.opts.Now())
	a.recordLogin(r.Request, who)
	http.SetCookie(w, a.cookie(r.Request, cookie, int(SessionAge.Seconds())))
	protocol.WriteJSON(w, http.StatusCreated, begun.access.identity())
	return nil
}

func (a *Handler) cookie(r *http.Request, value string, seconds int) *http.Cookie {
	return &http.Cookie{Name: CookieName, Value: value, Path: "/", HttpOnly: true, Secure: r.TLS != nil,
		SameSite: http.SameSiteStrictMode, MaxAge: seconds}
}

func (a *Handler) whoAmI(w http.ResponseWriter, r *apiRequest) error {
	protocol.WriteJSON(w, http.StatusOK, r.who.identity())
	return nil
}

// logout ends the session, if the request comes with one.
func (a *Handler) logout(w http.ResponseWriter, r *apiRequest) error {
	if cookie, err := r.Cookie(CookieName); err == nil {
		a.sessions.end(cookie.Value)
	}
	http.SetCookie(w, a.cookie(r.Request, "", -1))
	w.WriteHeader(http.StatusNoContent)
	return nil
}
