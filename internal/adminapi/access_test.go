package adminapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/trail"
	"pillarbox/internal/vfs/faultfs"
)

// TestEveryActIsNamed: what changes something has a name in the trail, and takes more than reading.
func TestEveryActIsNamed(t *testing.T) {
	names := map[string]bool{}
	for _, route := range adminapi.Routes() {
		name := route.Method + " " + route.Path
		reads := route.Method == "GET" || route.Path == adminapi.ReceiptsPath || route.Path == adminapi.SessionPath
		if reads != (route.Act == "") || !reads && route.Scope == adminapi.ScopeRead || names[route.Act] {
			t.Errorf("%s is the act %q, and takes the scope %v", name, route.Act, route.Scope)
		}
		if route.Act != "" && !slices.Contains(route.Answers, 503) {
			t.Errorf("%s can't be answered with 503, where the trail can't be written", name)
		}
		names[route.Act] = route.Act != ""
	}
}

var scoped = []adminapi.Token{{"reader", "the token of the reader", adminapi.ScopeRead},
	{"replayer", "the token of the replayer", adminapi.ScopeReplay}, {"boss", "the token of the boss", adminapi.ScopeAdmin}}

// TestScopes on every route: what takes more than a token is for is refused, and is not done.
func TestScopes(t *testing.T) {
	b := openBox(t, adminapi.Options{Tokens: scoped})
	for _, route := range adminapi.Routes() {
		if route.Open {
			continue
		}
		path := strings.NewReplacer("{request_id}", "x", "{id}", "1", "{seq}", "1").Replace(route.Path)
		for _, token := range scoped {
			got := b.ask(route.Method, path, "{}", http.Header{"Authorization": {"Bearer " + token.Secret}})
			if refused := got.Status == 403; refused != (token.Scope < route.Scope) || got.Status == 401 {
				t.Errorf("%s %s with a token of the scope %s: %d %s", route.Method, path, token.Scope, got.Status, got.Body)
			}
		}
	}
	if _, known := adminapi.ParseScope("root"); known || len(adminapi.Scopes()) != 3 {
		t.Error("there is a scope root")
	}
}

func (b *box) ask(method, target, body string, header http.Header) nodetest.Answer {
	b.T.Helper()
	request := httptest.NewRequest(method, "http://localhost:8081"+target, strings.NewReader(body))
	request.Header = header.Clone()
	request.Header.Set("Content-Type", "application/json")
	return nodetest.Do(b.T, nodetest.Admin, b.admin, request)
}

// TestSessions: a browser that has logged in is let in with its cookie, for what its token is for,
// until it logs out or its time is over; and what it changes must come from a page of ours.
func TestSessions(t *testing.T) {
	now := time.Date(2026, 11, 25, 14, 12, 0, 0, time.UTC)
	b := openBox(t, adminapi.Options{Tokens: scoped, Now: func() time.Time { return now }})
	same := http.Header{"Origin": {"http://localhost:8081"}}
	login := func(token string) (cookie string) {
		t.Helper()
		got := b.ask("POST", adminapi.SessionPath, fmt.Sprintf(`{"token":%q}`, token), same)
		got.Wants(t, 201, `"actor":"token replayer"`, `"scope":"replay"`, `"expires_at":"2`)
		set := got.Header.Get("Set-Cookie")
		for _, part := range []string{"; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age=43200"} {
			if !strings.Contains(set, part) {
				t.Errorf("the cookie is %q, without %q", set, part)
			}
		}
		cookie, _, _ = strings.Cut(set, ";")
		if strings.Contains(set, token) || len(cookie) < 40 {
			t.Errorf("the cookie is %q", set)
		}
		return cookie
	}
	b.ask("POST", adminapi.SessionPath, `{"token":"guessed"}`, same).Wants(t, 401)
	b.ask("POST", adminapi.SessionPath, `{"token":""}`, same).Wants(t, 401)
	b.ask("POST", adminapi.SessionPath, `{"token":"the token of the boss"}`, http.Header{"Origin": {"http://evil.example"}}).Wants(t, 403)
	cookie := login("the token of the replayer")
	with := func(header http.Header) http.Header {
		header = header.Clone()
		header.Set("Cookie", cookie)
		return header
	}
	b.ask("GET", adminapi.SessionPath, "", with(http.Header{})).Wants(t, 200, `"actor":"token replayer"`)
	b.ask("GET", "/api/v1/status", "", with(http.Header{})).Wants(t, 200)
	b.ask("GET", adminapi.TrailPath, "", with(http.Header{})).Wants(t, 403, "scope admin")
	b.ask("POST", adminapi.RedeliverPath, "", with(http.Header{})).Wants(t, 403, "from which page")
	b.ask("POST", adminapi.RedeliverPath, "", with(http.Header{"Origin": {"http://evil.example"}})).Wants(t, 403, "another site")
	if got := b.ask("POST", adminapi.RedeliverPath, "", with(same)); got.Status == 401 || got.Status == 403 {
		t.Errorf("a page of ours is refused: %d %s", got.Status, got.Body)
	}
	now = now.Add(adminapi.SessionIdle)
	b.ask("GET", "/api/v1/status", "", with(http.Header{})).Wants(t, 200)
	now = now.Add(adminapi.SessionIdle + time.Second)
	b.ask("GET", "/api/v1/status", "", with(http.Header{})).Wants(t, 401, "the session is over")
	cookie = login("the token of the replayer")
	for range adminapi.SessionAge / (20 * time.Minute) {
		now = now.Add(20 * time.Minute)
		b.ask("GET", "/api/v1/status", "", with(http.Header{})).Wants(t, 200)
	}
	now = now.Add(time.Second)
	b.ask("GET", "/api/v1/status", "", with(http.Header{})).Wants(t, 401)
	cookie = login("the token of the replayer")
	b.ask("DELETE", adminapi.SessionPath, "", with(http.Header{})).Wants(t, 403)
	if got := b.ask("DELETE", adminapi.SessionPath, "", with(same)); got.Status != 204 || !strings.Contains(got.Header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("a logout is answered with %d %v", got.Status, got.Header)
	}
	b.ask("GET", "/api/v1/status", "", with(http.Header{})).Wants(t, 401)
	cookie = login("the token of the replayer")
	for range adminapi.MaxSessions {
		now = now.Add(time.Millisecond)
		login("the token of the replayer")
	}
	b.ask("GET", "/api/v1/status", "", with(http.Header{})).Wants(t, 401) // the one that has rested the longest
	openBox(t, adminapi.Options{}).ask("POST", adminapi.SessionPath, `{"token":"x"}`, same).Wants(t, 400, "nobody has to log in")
}

// TestActsAreInTheTrail: each has an entry before it is done and one behind it, and is not done
// where that can't be written.
func TestActsAreInTheTrail(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	tr, err := trail.Open(disk, trail.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	now := time.Date(2026, 11, 25, 14, 12, 0, 0, time.UTC)
	b := openBox(t, adminapi.Options{Tokens: scoped, Trail: tr, Now: func() time.Time { return now }})
	boss := http.Header{"Authorization": {"Bearer the token of the boss"}}
	b.ask("POST", adminapi.KeysPath, `{"name":"shop"}`, boss).Wants(t, 201)
	b.ask("POST", adminapi.KeysPath, `{"source":"nobody"}`, boss).Wants(t, 404)
	b.ask("POST", adminapi.KeysPath, `{}`, http.Header{"Authorization": {"Bearer the token of the reader"}}).Wants(t, 403)
	for range 3 {
		b.ask("GET", "/api/v1/status", "", http.Header{"Authorization": {"Bearer guessed"}}).Wants(t, 401)
	}
	now = now.Add(time.Minute)
	b.ask("POST", adminapi.SessionPath, `{"token":"guessed"}`, http.Header{}).Wants(t, 401)
	b.ask("POST", adminapi.SessionPath, `{"token":"the token of the boss"}`, http.Header{}).Wants(t, 201)
	page, err := tr.Read(0, 100)
	if err != nil || page.Whole() != nil {
		t.Fatal(err, page.Whole())
	}
	want := []trail.Act{
		{Actor: "token boss", Action: "keys.create", Object: "/api/v1/keys", Request: `{"name":"shop"}`},
		{Actor: "token boss", Action: "keys.create", Object: "key ", Result: "done", Of: 1},
		{Actor: "token boss", Action: "keys.create", Object: "/api/v1/keys", Request: `{"source":"nobody"}`},
		{Actor: "token boss", Action: "keys.create", Result: "there is no source", Of: 3},
		{Actor: "unknown", Action: "login.failed", Result: "1 since the entry before"},
		{Actor: "unknown", Action: "login.failed", Result: "3 since the entry before"},
		{Actor: "token boss", Action: "login", Result: "done"},
	}
	if len(page.Entries) != len(want) {
		t.Fatalf("%d entries, want %d: %+v", len(page.Entries), len(want), page.Entries)
	}
	for i, e := range page.Entries {
		got, want := e.Act, want[i]
		if got.Actor != want.Actor || got.Action != want.Action || !strings.HasPrefix(got.Object, want.Object) || got.Request != want.Request ||
			!strings.HasPrefix(got.Result, want.Result) || got.Of != want.Of || got.Address != "192.0.2.1" && got.Of == 0 {
			t.Errorf("entry %d is %+v, want %+v", e.Seq, *got, want)
		}
		if strings.Contains(fmt.Sprintf("%+v", *got), "the token of the") || strings.Contains(fmt.Sprintf("%+v", *got), "guessed") {
			t.Errorf("entry %d holds a token: %+v", e.Seq, *got)
		}
	}
	b.ask("GET", adminapi.TrailPath+"?after=5&limit=1", "", boss).Wants(t, 200, `"seq":6`, `"problems":[]`, `"entries":7`)
	b.ask("DELETE", adminapi.TrailPath+"/1", "", boss).Wants(t, 204)
	b.ask("GET", adminapi.TrailPath+"?limit=1", "", boss).Wants(t, 200, `"seq":1`, `"act":null`, `"erased":true`, `"problems":[]`)
	b.ask("DELETE", adminapi.TrailPath+"/99", "", boss).Wants(t, 404)
	b.ask("DELETE", adminapi.TrailPath+"/x", "", boss).Wants(t, 400)

	keys := len(b.Keys.List())
	disk.Inject(func(faultfs.Op) error { return errors.New("no disk") })
	for range 2 {
		b.ask("POST", adminapi.KeysPath, `{"name":"late"}`, boss).Wants(t, 503, "can't be written")
	}
	disk.Inject(nil)
	if n := len(b.Keys.List()); n != keys {
		t.Errorf("%d keys were made without a trail", n-keys)
	}
	broken := openBox(t, adminapi.Options{Trail: trail.Broken(errors.New("damaged"))})
	broken.ask("POST", adminapi.KeysPath, `{}`, http.Header{}).Wants(t, 503, "damaged")
	broken.ask("GET", adminapi.TrailPath, "", http.Header{}).Wants(t, 500, "damaged")
	openBox(t, adminapi.Options{}).ask("GET", adminapi.TrailPath, "", http.Header{}).Wants(t, 404, "data directory")
}
