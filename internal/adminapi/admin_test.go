package adminapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/node/nodetest"
)

func openAdmin(t *testing.T) *box {
	t.Helper()
	return openBox(t, adminapi.Options{
		Now: func() time.Time { return nodetest.FirstTime.Add(time.Hour) }})
}

// TestLifeAndReadiness: alive is not ready.
func TestLifeAndReadiness(t *testing.T) {
	var problem error
	b := openBox(t, adminapi.Options{Ready: func() error { return problem }})
	b.get("/healthz?probe=1").Wants(t, 200, `{"status":"ok"}`)
	b.get("/readyz").Wants(t, 200, `{"status":"ok"}`)
	problem = errors.New("the disk is <full>")
	b.get("/healthz").Wants(t, 200)
	b.get("/readyz").Wants(t, 503, "the disk is")
	b.get("/api/v1/status").Wants(t, 200, `"ready":false`, `"reason":"the disk is <full>"`)
}

// TestPlainRoutes have what keeps browsers at bay.
func TestPlainRoutes(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintln(w, "pillarbox_up 1")
	})
	b := openBox(t, adminapi.Options{Metrics: metrics})
	b.get("/metrics?name[]=x").Wants(t, 200, "pillarbox_up 1")
	b.get("/openapi.yaml").Wants(t, 200, "openapi: 3.1")
	b.call("HEAD", "/api/v1/status", "").Wants(t, 200)
	for _, path := range []string{"/healthz", "/metrics", "/api/v1/status", "/nowhere"} {
		header := b.get(path).Header
		for name, part := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-store",
		} {
			if !strings.Contains(header.Get(name), part) {
				t.Errorf("%s: %s is %q", path, name, header.Get(name))
			}
		}
		if !strings.Contains(header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s may be framed", path)
		}
	}
	openAdmin(t).get("/metrics").Wants(t, 404)
}

// TestUnknownRoutesAndMethods are problems, too.
func TestUnknownRoutesAndMethods(t *testing.T) {
	b := openAdmin(t)
	for _, path := range []string{"/", "/nowhere", "/api/v1/", "/api/v1", "/api/v1/events/",
		"/api/v1/events/a/b", "/api/v1/../v1/status", "//", "/api//v1/status", "/healthz/"} {
		b.get(path).Wants(t, 404, `"status":404`)
	}
	for _, c := range []struct{ method, path, allow string }{
		{"POST", "/api/v1/status", "GET, HEAD"}, {"DELETE", "/api/v1/events/x", "GET, HEAD"}, {"PUT",
			"/api/v1/replays", "GET, HEAD, POST"},
		{"POST", "/api/v1/replays/1", "DELETE, GET, HEAD"}, {"GET", "/api/v1/dead-letters/x/discard",
			"POST"}, {"POST", "/healthz", "GET, HEAD"},
	} {
		got := b.call(c.method, c.path, "").Wants(t, 405, c.allow)
		if got.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.path, got.Header.Get("Allow"), c.allow)
		}
	}
}

// TestTokenIsAskedForEverywhere goes through the table of routes, so that a new one is in it: no
// route but the open ones answers without the very token.
func TestTokenIsAskedForEverywhere(t *testing.T) {
	b := openBox(t, adminapi.Options{Token: "s3cret token"})
	wrong := map[string][]string{
		"none": nil, "empty": {""}, "other": {"Bearer s3cret"}, "longer": {
			"Bearer s3cret tokens"}, "case": {"Bearer S3cret token"},
		"no scheme": {"s3cret token"}, "basic": {"Basic s3cret token"}, "twice": {"Bearer s3cret token",
			"Bearer s3cret token"}, "only scheme": {"Bearer "},
		"space behind": {"Bearer s3cret token "},
	}
	routes := append(adminapi.Routes(), adminapi.Route{Method: "GET", Path: "/nowhere"},
		adminapi.Route{Method: "PUT", Path: "/api/v1/status"})
	for _, route := range routes {
		if route.Login {
			continue
		}
		for name, values := range wrong {
			request := httptest.NewRequest(route.Method, "http://localhost"+route.Path, nil)
			request.Header["Authorization"] = values
			got := nodetest.Do(t, nodetest.Admin, b.admin, request)
			if denied := got.Status == 401 &&
				strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Bearer"); denied == route.Open {
				t.Errorf("%s %s, token %s: status %d", route.Method, route.Path, name, got.Status)
			}
		}
	}
	for _, scheme := range []string{"Bearer ", "bearer ", "Bearer  "} {
		// The host does not matter with a token: the listener may be anywhere.
		request := httptest.NewRequest("GET", "http://pillarbox.example/api/v1/status", nil)
		request.Header.Set("Authorization", scheme+"s3cret token")
		nodetest.Do(t, nodetest.Admin, b.admin, request).Wants(t, 200)
	}
}

// TestBrowsersAreKeptOutWithoutAToken: names that somebody else may point at this machine, and
// requests that come from a page of another origin.
func TestBrowsersAreKeptOutWithoutAToken(t *testing.T) {
	b := openBox(t, adminapi.Options{Hosts: []string{"box.internal", "10.0.0.7"}})
	for host, status := range map[string]int{
		"localhost": 200, "localhost:8081": 200, "LOCALHOST.": 200, "a.localhost": 200, "127.0.0.1:8081": 200, "127.1.2.3": 200, "[::1]:8081": 200, "[::1]": 200,
		"[::ffff:127.0.0.1]:80": 200, "Box.Internal:8081": 200, "10.0.0.7": 200,
		"evil.example": 403, "evil.example:8081": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "10.0.0.8": 403, "0.0.0.0": 403, "[::]": 403, "": 403, "2130706433": 403,
	} {
		request := httptest.NewRequest("GET", "/api/v1/status", nil)
		request.Host = host
		nodetest.Do(t, nodetest.Admin, b.admin, request).Wants(t, status)
		request = httptest.NewRequest("GET", "/healthz", nil)
		request.Host = host
		nodetest.Do(t, nodetest.Admin, b.admin, request).Wants(t, 200)
	}
}

// TestPagesOfOtherSitesAreKeptOut of every route but the open ones, with every method, with and
// without a token. A person who follows a link to the page is let in, and so is who is no browser.
func TestPagesOfOtherSitesAreKeptOut(t *testing.T) {
	const token = "s3cret token of some length"
	foreign := []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}},
		{"Sec-Fetch-Site": {"anything"}}, {"Sec-Fetch-Site": {"none", "cross-site"}},
		{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"http://localhost:8081"}},
		{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}},
		{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"document"}},
		{"Origin": {"http://evil.example"}}, {"Origin": {"null"}}, {"Origin": {""}},
		{"Origin": {"http://localhost:3000"}}, {
			"Origin": {"http://localhost:8081", "http://evil.example"}},
	}
	own := []http.Header{
		{}, {"Sec-Fetch-Site": {"same-origin"}, "Origin": {"http://localhost:8081"}},
		{"Sec-Fetch-Site": {"none"}}, {"Origin": {"http://LOCALHOST:8081"}},
		// behind a proxy that has another name
		{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"https://admin.example"}},
	}
	visit := http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"},
		"Sec-Fetch-Dest": {"document"}}
	for _, token := range []string{"", token} {
		b := openBox(t, adminapi.Options{Token: token})
		ask := func(method, path string, header http.Header) nodetest.Answer {
			request := httptest.NewRequest(method, "http://localhost:8081"+path, strings.NewReader("{}"))
			request.Header = header.Clone()
			request.Header.Set("Content-Type", "application/json")
			if token != "" {
				request.Header.Set("Authorization", "Bearer "+token)
			}
			return nodetest.Do(t, nodetest.Admin, b.admin, request)
		}
		for _, route := range append(adminapi.Routes(), adminapi.Route{Method: "OPTIONS",
			Path: "/api/v1/status"}, adminapi.Route{Method: "HEAD", Path: "/api/v1/events"}) {
			path := strings.NewReplacer("{request_id}", "x", "{id}", "1", "{seq}", "1").Replace(route.Path)
			for _, header := range foreign {
				if got := ask(route.Method, path, header); (got.Status == 403) == (route.Open && !route.Login) {
					t.Errorf("%s %s with %v: status %d", route.Method, path, header, got.Status)
				}
			}
			for _, header := range own {
				if got := ask(route.Method, path, header); got.Status == 403 {
					t.Errorf("%s %s with %v: status %d", route.Method, path, header, got.Status)
				}
			}
			got := ask(route.Method, path, visit)
			if (got.Status == 403) == (route.Open && !route.Login) {
				t.Errorf("a link to %s %s: status %d", route.Method, path, got.Status)
			}
		}
	}
}

// TestWrongParametersAreNamed on every route that looks at its query.
func TestWrongParametersAreNamed(t *testing.T) {
	b := openAdmin(t)
	for _, route := range adminapi.Routes() {
		if route.Params == nil {
			continue
		}
		path := strings.NewReplacer("{request_id}", "x", "{id}", "1", "{seq}", "1").Replace(route.Path)
		b.call(route.Method, path+"?nonsense=1", "").Wants(t, 400, `\"nonsense\" is not known`)
		if len(route.Params) > 0 {
			name := route.Params[0]
			b.call(route.Method, path+"?"+name+"=a&"+name+"=b", "").Wants(t, 400, `\"`+name+`\" is given more than once`)
			b.call(route.Method, path+"?"+name+"=%ff", "").Wants(t, 400, "not text")
			b.call(route.Method, path+"?"+name+"=%zz", "").Wants(t, 400, "query")
		}
	}
	for _, c := range []struct{ query, part string }{
		{"events?limit=0", "1 to 1000"}, {"events?limit=1001", "1 to 1000"}, {"events?limit=x",
			"1 to 1000"}, {"events?limit=", "1 to 1000"},
		{"events?order=up", "asc"}, {"events?follow=maybe", "true or false"}, {"events?cursor=abc",
			"cursor"}, {"events?cursor=%24", "cursor"},
		{"events?since=yesterday", "15m, 24h or 7d"}, {"events?until=-1h", "until"}, {"events?since=7x",
			"since"}, {"events?since=1d-1h", "since"},
		{"events?since=99999d", "since"}, {"events?since=9999999h", "since"}, {"events?since=d",
			"since"}, {"events?since=2026-11-32", "since"}, {
			"events?since=2026-11-23&until=2026-11-23", "not before until"},
		{"events?since=1h&until=2h", "not before until"}, {"events?follow&until=1h",
			"follow"}, {"events?follow&limit=3", "follow"}, {"events?follow&order=desc", "follow"},
		{"dead-letters?cursor=abc", "cursor"}, {"dead-letters?cursor=bnVsbA",
			"cursor"}, {"dead-letters?resolved=2", "true or false"}, {
			"dead-letters?limit=-1", "1 to 1000"}, {"dead-letters?since=x", "since"},
	} {
		b.get("/api/v1/"+c.query).Wants(t, 400, c.part)
	}
	b.get("/api/v1/events?destination=nowhere").Wants(t, 404, "nowhere")
	b.get("/api/v1/events?destination=nowhere&follow").Wants(t, 404, "nowhere")
}

// TestErrorsOfTheNodeAreDocumented lets every verb fail in every way: what a route does not
// document becomes our own fault. conform sees to the rest.
func TestErrorsOfTheNodeAreDocumented(t *testing.T) {
	documented := map[string][]int{}
	for _, route := range adminapi.Routes() {
		documented[route.Method+" "+route.Path] = route.Answers
	}
	for kind, status := range map[error]int{
		pillarbox.ErrInvalid: 400, pillarbox.ErrNotFound: 404, pillarbox.ErrConflict: 409, pillarbox.ErrTooLarge: 413, pillarbox.ErrFull: 503, pillarbox.ErrUnavailable: 503,
		pillarbox.ErrClosed: 503, pillarbox.ErrNoSpace: 507, pillarbox.ErrCorrupt: 500, context.DeadlineExceeded: 503, errors.New("odd"): 500,
	} {
		admin := adminapi.New(nodetest.Broken{Err: fmt.Errorf("verb: %w", kind)}, adminapi.Options{})
		for _, route := range adminapi.Routes() {
			if !strings.HasPrefix(route.Path, "/api/") || route.Method == "GET" &&
				(route.Path == "/api/v1/replays" || route.Path == adminapi.PurgesPath || route.Path == adminapi.BackfillsPath) ||
				strings.HasPrefix(route.Path, adminapi.TrailPath) || route.Path == adminapi.ConfigurationPath || route.Path == adminapi.HistoryPath || strings.HasPrefix(route.Path, adminapi.AlertsPath) || route.Path == adminapi.SessionPath { // not of the node
				continue
			}
			path := strings.NewReplacer("{request_id}", "x", "{id}", "1", "{seq}", "1").Replace(route.Path)
			body := "{}"
			switch path {
			case "/api/v1/held/route":
				body = `{"all":true,"to":"events"}`
			case "/api/v1/held/forget", "/api/v1/held/dead-letter":
				body = `{"all":true}`
			case adminapi.PurgesPath:
				body = `{"destination":"events","older_than":"1d"}`
			case adminapi.BackfillsPath, adminapi.DiscardPath:
				body = `{"destination":"events"}`
			case adminapi.EventsPath:
				if route.Method == http.MethodPost {
					body = `{"source":"app"}`
				}
			case adminapi.ReceiptsPath:
				body = `{"receipts":[{"request_id":"x","timestamp":"2026-11-23T14:12:00.123456Z"}]}`
			}
			request := httptest.NewRequest(route.Method, "http://localhost"+path, strings.NewReader(body))
			request.Header.Set("Content-Type", "application/json")
			want := status
			if !slices.Contains(route.Answers, status) {
				want = 500
			}
			got := nodetest.Do(t, nodetest.Admin, admin, request)
			// A letter that can't be read does not keep the others from being listed.
			if listed := route.Path == "/api/v1/dead-letters" && got.Status == 200 && strings.Contains(got.Body, `"unreadable":["verb: `); listed {
				continue
			}
			got.Wants(t, want, "verb: "+kind.Error())
		}
	}
}
