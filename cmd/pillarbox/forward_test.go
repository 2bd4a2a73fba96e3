package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestListenForwardsWhatIsStored, before and from now on, once each, whatever the program answers.
func TestListenForwardsWhatIsStored(t *testing.T) {
	s := startServer(t, "")
	got := make(chan string, 10)
	program := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.Method + " " + r.URL.String() + " " + r.Header.Get("X-Signature") + " " + string(body)
		if bytes.Contains(body, []byte("bad")) {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer program.Close()
	post := func(body string) {
		try(t, "post", "http://"+s.serving.Public[0].Addr().String()+"/app?n=1", "-H", "X-Signature: sig", "--body", body, "--data", s.data)
	}
	post("before")
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var out, talk bytes.Buffer
	root := newRootCommand()
	root.SetArgs([]string{"listen", program.URL + "/hook", "--append-path", "--since", "1h", "--server", s.admin})
	root.SetOut(&out)
	root.SetErr(&talk)
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	for _, body := range []string{"before", "bad", "after"} {
		if body != "before" {
			post(body)
		}
		if text := <-got; text != "POST /hook/app?n=1 sig "+body {
			t.Errorf("the program gets %q", text)
		}
	}
	post("last") // when it has come, the line of the one before is written
	<-got
	end()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(out.String(), "\n"); len(lines) < 4 || !strings.Contains(lines[1], "  500  ") || !strings.Contains(lines[2], "  200  ") {
		t.Errorf("it tells %q", out.String())
	}
	if !strings.Contains(talk.String(), "and 1 of them were not taken") {
		t.Errorf("it says %q", talk.String())
	}
	for _, args := range [][]string{{"http://example.com"}, {"localhost:3000"}, {"http://localhost", "-o", "csv"}, {"http://localhost", "--timeout", "1ms"}} {
		try(t, append([]string{"listen", "--server", s.admin}, args...)...).failsWith(t, exitUsage)
	}
}
