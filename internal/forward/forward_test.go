package forward_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/forward"
)

func newForwarder(t *testing.T, target string, options forward.Options) *forward.Forwarder {
	t.Helper()
	var err error
	if options.Target, err = url.Parse(target); err != nil {
		t.Fatal(err)
	}
	f, err := forward.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newEvent() *pillarbox.Event {
	return &pillarbox.Event{Timestamp: 1_800_000_000_000_000, RequestID: "id", Source: "app", Method: "PUT", Path: "/app/orders", Query: "a=1&b",
		ContentType: "application/json", Body: []byte("{\"n\": 1.0}\n\xff"), Header: pillarbox.Header{
			{Name: "Content-Type", Value: "application/json"}, {Name: "X-Signature", Value: "abc"}, {Name: "x-many", Value: "1"}, {Name: "X-Many", Value: "2"},
			{Name: "Connection", Value: "close"}, {Name: "Transfer-Encoding", Value: "chunked"}, {Name: "Content-Length", Value: "3"}, {Name: "X-Bad", Value: "a\x00b"},
		}}
}

// TestTheRequestIsTheOneThatCame, byte for byte where it can be.
func TestTheRequestIsTheOneThatCame(t *testing.T) {
	var got *http.Request
	var body []byte
	program := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer program.Close()
	event := newEvent()
	result := newForwarder(t, program.URL+"/hook", forward.Options{}).Forward(t.Context(), event)
	if !result.OK() || result.Status != 204 || result.Error != "" || !slices.Equal(result.LeftOut, []string{"X-Bad"}) {
		t.Errorf("the result is %+v", result)
	}
	if got.Method != "PUT" || got.URL.String() != "/hook?a=1&b" || string(body) != string(event.Body) || got.ContentLength != int64(len(body)) {
		t.Errorf("it gets %s %s with %q", got.Method, got.URL, body)
	}
	want := http.Header{"Content-Type": {"application/json"}, "X-Signature": {"abc"}, "X-Many": {"1", "2"}, "Content-Length": {"12"},
		"Pillarbox-Request-Id": {"id"}, "Pillarbox-Source": {"app"}, "Pillarbox-Timestamp": {"2027-01-15T08:00:00.000000Z"}}
	for name, values := range want {
		if !slices.Equal(got.Header[name], values) {
			t.Errorf("%s is %q, want %q", name, got.Header[name], values)
		}
	}
	if len(got.Header) != len(want) {
		t.Errorf("the header is %v", got.Header)
	}
	newForwarder(t, program.URL+"/hook/", forward.Options{AppendPath: true}).Forward(t.Context(), event)
	if got.URL.String() != "/hook/app/orders?a=1&b" {
		t.Errorf("with its path it gets %s", got.URL)
	}
	for path, want := range map[string]string{"/app/a%2Fb%20c": "/x%20y/app/a%2Fb%20c", "/app/%zz": "/x%20y/app/%25zz", "/": "/x%20y/"} {
		sent := newEvent()
		sent.Path, sent.Query = path, ""
		newForwarder(t, program.URL+"/x%20y", forward.Options{AppendPath: true}).Forward(t.Context(), sent)
		if got.RequestURI != want {
			t.Errorf("with the path %s it gets %s, want %s", path, got.RequestURI, want)
		}
	}
	newForwarder(t, program.URL+"/hook?mine=1", forward.Options{}).Forward(t.Context(), event)
	if got.URL.String() != "/hook?mine=1" {
		t.Errorf("with a query of its own it gets %s", got.URL)
	}
}

// TestAnswers of programs that do not do as they should.
func TestAnswers(t *testing.T) {
	program := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server sees that a client is gone once it has read everything
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusTemporaryRedirect)
		case "/endless":
			w.WriteHeader(http.StatusOK)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		case "/silent":
			<-r.Context().Done()
		default:
			http.Error(w, "no", http.StatusUnprocessableEntity)
		}
	}))
	defer program.Close()
	for path, want := range map[string]int{"/elsewhere": 307, "/endless": 200, "/refused": 422} {
		if got := newForwarder(t, program.URL+path, forward.Options{}).Forward(t.Context(), newEvent()); got.Status != want || got.Error != "" {
			t.Errorf("%s: %+v, want %d", path, got, want)
		}
	}
	slow := newForwarder(t, program.URL+"/silent", forward.Options{Timeout: 50 * time.Millisecond})
	if got := slow.Forward(t.Context(), newEvent()); got.OK() || !strings.HasPrefix(got.Error, "no answer in time") {
		t.Errorf("a program that says nothing: %+v", got)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	if got := newForwarder(t, gone.URL, forward.Options{}).Forward(t.Context(), newEvent()); got.OK() || got.Error != "nothing listens there" {
		t.Errorf("a program that is not there: %+v", got)
	}
}

// TestTargets: what clients sent stays on this machine.
func TestTargets(t *testing.T) {
	for target, want := range map[string]string{
		"http://localhost:3000/x": "", "https://127.0.0.1": "", "http://[::1]:1": "", "http://app.localhost": "", "http://127.9.9.9/": "",
		"http://example.com/": "another machine", "http://192.168.1.4": "another machine", "http://0.0.0.0": "another machine",
		"http://localhost.example.com": "another machine", "localhost:3000": "no URL of a program", "ftp://localhost": "no URL", "/x": "no URL", "http://a:b@localhost": "credentials",
	} {
		parsed, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = forward.New(forward.Options{Target: parsed}); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", target, err, want)
		}
		if _, err = forward.New(forward.Options{Target: parsed, Remote: true}); (err == nil) != (want == "" || want == "another machine") {
			t.Errorf("%s, with another machine allowed: %v", target, err)
		}
	}
}
