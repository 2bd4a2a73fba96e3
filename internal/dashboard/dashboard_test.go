package dashboard_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/dashboard"
	"pillarbox/internal/node/nodetest"
)

const token = "a-token-that-opens-everything"

// site is a dashboard over the admin API of a real node.
type site struct {
	*nodetest.Box
	pages *dashboard.Dashboard
}

func open(t *testing.T, options adminapi.Options, viewers int) *site {
	t.Helper()
	s := &site{Box: nodetest.Open(t)}
	api := adminapi.New(s.Node, options)
	t.Cleanup(api.Close)
	s.pages = dashboard.New(dashboard.Options{API: api, MaxViewers: viewers})
	t.Cleanup(s.pages.Close)
	return s
}

func (s *site) get(target string, header ...string) *httptest.ResponseRecorder {
	s.T.Helper()
	request := httptest.NewRequest(http.MethodGet, "http://localhost:8081"+target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	got := httptest.NewRecorder()
	s.pages.ServeHTTP(got, request)
	return got
}

var everyPage = []string{"/", "/events", "/failures", "/failures/group?destination=events&cause=x", "/destinations", "/quarantine", "/sources", "/trail", "/configuration"}

func TestEveryPageIsShown(t *testing.T) {
	s := open(t, adminapi.Options{Configuration: func() string { return "log: { level: info }" }}, 0)
	s.Store(3)
	s.DeadLetter(4)
	for _, page := range append([]string{"/events/id-001", "/?span=week", "/failures?destination=events&since=24h"}, everyPage...) {
		got := s.get(page)
		body := got.Body.String()
		if got.Code != http.StatusOK || !strings.Contains(body, "</html>") || strings.Contains(body, `role="alert">`) {
			t.Errorf("%s: %d\n%s", page, got.Code, body)
		}
		policy := got.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || got.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", page, got.Header())
		}
		if strings.Contains(body, " style=") || strings.Contains(body, "<script>") || strings.Contains(body, " onclick=") {
			t.Errorf("%s has something inline, which the policy forbids", page)
		}
	}
	if got := s.get("/static/app.js"); got.Code != http.StatusOK || !strings.Contains(got.Header().Get("Content-Type"), "javascript") {
		t.Errorf("script: %d %v", got.Code, got.Header())
	}
	for path, want := range map[string]int{"/nowhere": 404, "/static/none": 404, "/static/": 404, "/events/none": 404, "/events//": 404, "/live?page=trail": 404, "/live": 404} {
		if got := s.get(path); got.Code != want {
			t.Errorf("%s: %d, want %d", path, got.Code, want)
		}
	}
}

// TestWhoIsNotKnownLogsIn, and whoever comes to another name than ours is sent away.
func TestWhoIsNotKnownLogsIn(t *testing.T) {
	s := open(t, adminapi.Options{Token: token, Tokens: []adminapi.Token{{Name: "eye", Secret: "looks", Scope: adminapi.ScopeRead}}}, 0)
	s.DeadLetter(1)
	for _, page := range append([]string{"/events/id-000"}, everyPage...) {
		got := s.get(page)
		if got.Code != http.StatusUnauthorized || !strings.Contains(got.Body.String(), `id="login"`) || strings.Contains(got.Body.String(), "accepted") {
			t.Errorf("%s without a token: %d", page, got.Code)
		}
		if got := s.get(page, "Authorization", "Bearer wrong"); got.Code != http.StatusUnauthorized {
			t.Errorf("%s with a wrong token: %d", page, got.Code)
		}
		if got := s.get(page, "Authorization", "Bearer looks"); got.Code != http.StatusOK || !strings.Contains(got.Body.String(), `data-scope="read"`) {
			t.Errorf("%s for who may look: %d", page, got.Code)
		}
	}
	if got := s.get("/events/id-000/body"); got.Code != http.StatusUnauthorized {
		t.Errorf("a body without a token: %d", got.Code)
	}
	if got := s.get("/live?page=overview"); got.Code != http.StatusUnauthorized {
		t.Errorf("a stream without a token: %d", got.Code)
	}
	open := open(t, adminapi.Options{}, 0)
	request := httptest.NewRequest(http.MethodGet, "http://rebound.example/", nil)
	got := httptest.NewRecorder()
	if open.pages.ServeHTTP(got, request); got.Code != http.StatusForbidden || strings.Contains(got.Body.String(), "accepted =") {
		t.Errorf("another host: %d", got.Code)
	}
}

// TestPagesOfOtherSitesAreKeptOut, but for who follows a link from there.
func TestPagesOfOtherSitesAreKeptOut(t *testing.T) {
	s := open(t, adminapi.Options{}, 0)
	s.DeadLetter(1)
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	frame := []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}
	for _, page := range everyPage {
		if got := s.get(page, link...); got.Code != http.StatusOK {
			t.Errorf("%s by a link: %d", page, got.Code)
		}
		if got := s.get(page, frame...); got.Code != http.StatusForbidden {
			t.Errorf("%s in a frame: %d", page, got.Code)
		}
	}
	if got := s.get("/events/id-000/body", link...); got.Code != http.StatusForbidden {
		t.Errorf("a body by a link: %d", got.Code)
	}
}

// TestWhatClientsSendIsText in every place where a page shows it.
func TestWhatClientsSendIsText(t *testing.T) {
	s := open(t, adminapi.Options{}, 0)
	const bad = `<script>alert(1)</script>"'><img src=x>`
	letter := s.DeadLetter(1)[0]
	letter.Event.RequestID, letter.Event.Body = "hostile", []byte(bad)
	letter.Event.Query, letter.Event.ContentType, letter.Event.Path = bad, bad, bad
	letter.Event.Header = pillarbox.Header{{Name: "X-Bad", Value: bad}}
	letter.Reason, letter.Attempts = bad, []pillarbox.Attempt{{At: 1, Class: pillarbox.ClassRefused, Error: bad}}
	if err := pillarbox.PutDeadLetter(t.Context(), s.Letters, letter); err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"/events/hostile", "/failures", "/failures/group?destination=events&cause=" + url.QueryEscape(pillarbox.Cause(bad)),
		"/events?source=" + url.QueryEscape(bad), "/failures?error=" + url.QueryEscape(bad)} {
		body := s.get(page).Body.String()
		if strings.Contains(body, "<script>alert") || strings.Contains(body, "<img") {
			t.Errorf("%s: an element of a client", page)
		}
		if !strings.Contains(body, "&lt;script&gt;") {
			t.Errorf("%s shows nothing of it", page)
		}
	}
	got := s.get("/events/hostile/body")
	if got.Body.String() != bad || got.Header().Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(got.Header().Get("Content-Disposition"), "attachment") ||
		got.Header().Get("Content-Security-Policy") != "sandbox" {
		t.Errorf("the download: %v %q", got.Header(), got.Body)
	}
}

// TestViewersAreTold what is new, as long as there is room for them, and pages of other sites are not.
func TestViewersAreTold(t *testing.T) {
	s := open(t, adminapi.Options{}, 2)
	server := httptest.NewServer(s.pages)
	defer server.Close()
	watch := func(header ...string) (*http.Response, context.CancelFunc) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/live?page=overview", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(header); i += 2 {
			request.Header.Set(header[i], header[i+1])
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		return answer, func() { cancel(); _ = answer.Body.Close() }
	}
	first, leave := watch()
	second, leaveToo := watch()
	defer leaveToo()
	if crowded, gone := watch(); crowded.StatusCode != http.StatusServiceUnavailable || crowded.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d", crowded.StatusCode)
	} else {
		gone()
	}
	if foreign, gone := watch("Sec-Fetch-Site", "cross-site"); foreign.StatusCode != http.StatusForbidden {
		t.Errorf("a page of another site: %d", foreign.StatusCode)
	} else {
		gone()
	}
	for _, answer := range []*http.Response{first, second} {
		lines := bufio.NewScanner(answer.Body)
		for lines.Scan() && !strings.Contains(lines.Text(), "What needs a person") {
		}
		if err := lines.Err(); err != nil {
			t.Error(err)
		}
	}
	leave()
	s.pages.Close() // the server stops
	if _, err := io.Copy(io.Discard, second.Body); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
}
