package main

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/console"
	"pillarbox/internal/node"
)

// nobody is an address at which nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// TestServerThatCantBeAskedIsNoMissingServer: a command must not work on a directory of its own
// where a server runs that it could not ask.
func TestServerThatCantBeAskedIsNoMissingServer(t *testing.T) {
	s := startServer(t, "admin: {token: not-told-to-anybody-1234567890}")
	t.Chdir(t.TempDir()) // the default data directory would be here
	for _, args := range [][]string{{"audit"}, {"status"}, {"dead", "list"},
		{"dead", "replay", "--all"}, {"dead", "discard", "x"}, {"events"}, {"events", "--follow"}, {"listen", "http://localhost:1"}} {
		try(t, append(args, "--admin", s.admin)...).failsWith(t, exitFailed, s.admin,
			"PILLARBOX_ADMIN_TOKEN", "admin.token")
		try(t, append(args, "--server", s.admin)...).failsWith(t, exitFailed, "PILLARBOX_ADMIN_TOKEN",
			"admin.token")
	}
	t.Setenv("PILLARBOX_ADMIN_TOKEN", "a-wrong-one-12345678901234567890")
	try(t, "audit", "--admin", s.admin).failsWith(t, exitFailed, "not the admin token",
		"PILLARBOX_ADMIN_TOKEN")
	t.Setenv("PILLARBOX_ADMIN_TOKEN", "not-told-to-anybody-1234567890")
	if got := try(t, "audit", "--admin", s.admin); got.err != nil {
		t.Errorf("with the token: %v", got.err)
	}
}

// TestSilentServerIsNoMissingServer: one that takes connections and does not answer in time.
func TestSilentServerIsNoMissingServer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts, so the kernel does
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	try(t, "audit", "--admin", silent.Addr().String()).failsWith(t, exitFailed,
		silent.Addr().String(), "does not answer", "--server", "stop it")
}

// TestStrangerIsNoMissingServer: something else listens at the address.
func TestStrangerIsNoMissingServer(t *testing.T) {
	stranger := httptest.NewServer(http.NotFoundHandler())
	defer stranger.Close()
	address := strings.TrimPrefix(stranger.URL, "http://")
	try(t, "audit", "--admin", address).failsWith(t, exitFailed, address, "404", "--server", "--admin")
}

// TestLockedDirectoryNamesTheFlagsThatReachItsServer where the server is not at the address that is
// known.
func TestLockedDirectoryNamesTheFlagsThatReachItsServer(t *testing.T) {
	s := startServer(t, "")
	try(t, "audit", "--data", s.data, "--admin", nobody(t)).failsWith(t, exitFailed,
		"in use by another pillarbox", "--server", "--admin")
}

// TestStatusSaysWhatRuns: without a server nothing is ready and nothing is delivered, and a server
// says what it does not do.
func TestStatusSaysWhatRuns(t *testing.T) {
	s := startServer(t, "")
	want := func(ready bool, line, state string, args ...string) {
		t.Helper()
		table, asJSON := try(t, append(args, "status")...), try(t,
			append(args, "status", "-o", "json")...)
		var status adminapi.Status
		if err := json.Unmarshal([]byte(asJSON.out), &status); err != nil || table.err != nil {
			t.Fatal(err, table.err, asJSON.err)
		}
		if head, _, _ := strings.Cut(table.out, "\n"); !strings.Contains(head, line) {
			t.Errorf("status begins with %q, want %q in it", head, line)
		}
		if got := status.Destinations[0].State; got != state || status.Ready != ready ||
			!strings.Contains(table.out, state) {
			t.Errorf("%s: %s, ready %v; want %s, %v\n%s", line, got, status.Ready, state, ready, table.out)
		}
	}
	want(true, ", ready, data", "delivering", "--server", s.admin)
	s.stop()
	want(false, ", no server runs; this is the data directory at rest, data", "idle", "--data",
		s.data, "--admin", nobody(t))
	lone := startServer(t, "", node.RoleAdmin)
	want(true, ", ready (runs admin only), data", "idle", "--server", lone.admin)
}

// TestStatusShowsThePauseInFull: since when, until when, and the cause at the end of a long error.
func TestStatusShowsThePauseInFull(t *testing.T) {
	cause := strings.Repeat("operation error: ", 20) + "the cause"
	status := &adminapi.Status{Ready: true, Destinations: []adminapi.DestinationStatus{
		{Destination: "events", State: "down", DownSince: 1763907120000000,
			NextProbe: 1763907150000000, LastError: cause},
	}}
	for _, form := range []string{console.Table, console.CSV} {
		var out strings.Builder
		if err := console.WriteStatus(&out, status, console.Form{Kind: form}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"2025-11-23T14:12:00.000000Z", "2025-11-23T14:12:30.000000Z",
			cause} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s has no %q:\n%s", form, want, &out)
			}
		}
	}
}

// TestFollowNeedsAServer: nothing is stored without one, and waiting would keep the directory
// locked.
func TestFollowNeedsAServer(t *testing.T) {
	s := startServer(t, "")
	s.stop()
	try(t, "events", "--follow", "--data", s.data, "--admin", nobody(t)).failsWith(t, exitFailed,
		"needs a running server", "pillarbox serve", "--server")
}

// TestSmallHeaderLimitHoldsOnTheLoop: what the event loop reads itself has the configured limit.
func TestSmallHeaderLimitHoldsOnTheLoop(t *testing.T) {
	for _, express := range []string{"true", "false"} {
		s := startServer(t, "listen: {express: "+express+"}\nhttp: {max_header_bytes: 1KiB}")
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			"http://"+s.serving.Public[0].Addr().String()+"/app", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-A", strings.Repeat("x", 6000))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("express %s: status %d", express, response.StatusCode)
		}
	}
}
