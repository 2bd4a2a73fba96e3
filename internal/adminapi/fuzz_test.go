package adminapi_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"pillarbox/internal/adminapi"
)

// FuzzAdminRequest asks the admin API anything: it answers what the document says, and never with
// an error of its own.
func FuzzAdminRequest(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/api/v1/events?limit=10&since=1h&until=5m&source=app", ""},
		{"GET", "/api/v1/events?cursor=MjAyNi0xMS0yM1QxNDoxMjowMC4xMjM0NTZafGlkLTAwMA", ""},
		{"GET", "/api/v1/events?since=2026-11-23T14:12:00Z&newest", ""},
		{"GET", "/api/v1/events/id-000", ""}, {"GET", "/api/v1/dead-letters?error=x&resolved=true", ""},
		{"GET", "/api/v1/dead-letters/id-001?destination=events", ""}, {"DELETE",
			"/api/v1/dead-letters/id-001", ""},
		{"POST", "/api/v1/replays", `{"filter":{"request_ids":["id-001"]},"dry_run":true}`},
		{"POST", "/api/v1/replays", `{"rate":-1}`}, {"GET", "/api/v1/replays/x", ""}, {"GET", "/metrics", ""},
		{"GET", "/api/v1/ledger", ""}, {"GET", "/api/v1/status", ""}, {"PUT", "/%2e%2e/etc/passwd",
			""}, {"GET", "/?a=%zz", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, method, target, body string) {
		address, err := url.Parse("http://localhost:8081" + target)
		if err != nil || address.Host != "localhost:8081" || strings.Contains(target, "follow") ||
			strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || method == "" {
			return // a stream has no end, and the others are refused before the handler
		}
		b := openBox(t, adminapi.Options{})
		b.Store(3)
		b.DeadLetter(3)
		request := httptest.NewRequest(http.MethodGet, "http://localhost:8081/", strings.NewReader(body))
		request.Method, request.URL, request.RequestURI = method, address, address.RequestURI()
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		b.admin.ServeHTTP(recorder, request)
		if recorder.Code >= http.StatusInternalServerError {
			t.Errorf("%s %s with %q is answered with %d: %s", method, target, body, recorder.Code,
				recorder.Body)
		}
	})
}
