package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pillarbox"
)

// openTerminal opens a terminal of its own, and the end that sees what is shown on it.
func openTerminal(t *testing.T) (terminal, seen *os.File) {
	t.Helper()
	seen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		noTerminal(t, err)
	}
	t.Cleanup(func() { _ = seen.Close() })
	if err := unix.IoctlSetPointerInt(int(seen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		noTerminal(t, err)
	}
	number, err := unix.IoctlGetInt(int(seen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		noTerminal(t, err)
	}
	return terminal, seen
}

// noTerminal skips the test where none can be made, but for CI, where it must be run.
func noTerminal(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("no terminals can be made here:", err)
	}
	t.Skip("no terminals can be made here:", err)
}

// TestPostWithNoBodySendsAnEmptyEvent, and waits for nothing: on a terminal, with no standard
// input, and where the body is said to be empty, whatever standard input has.
func TestPostWithNoBodySendsAnEmptyEvent(t *testing.T) {
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		bodies = append(bodies, fmt.Sprintf("%s %q %v", r.Header.Get("Content-Type"), body, err))
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"request_id":"id","timestamp":"2026-11-23T14:12:00.123456Z","status":"accepted"}`)
	}))
	defer server.Close()
	terminal, _ := openTerminal(t)
	defer func() { _ = terminal.Close() }()
	for name, test := range map[string]struct {
		stdin io.Reader
		args  []string
		want  []string
	}{
		"a terminal":                 {terminal, nil, []string{""}},
		"nothing":                    {strings.NewReader(""), nil, []string{""}},
		"an empty body":              {strings.NewReader("not this"), []string{"--body", ""}, []string{""}},
		"an empty body, on terminal": {terminal, []string{"--body="}, []string{""}},
		"some empty bodies": {strings.NewReader("not this"), []string{"--body", "", "-n", "2", "--concurrency", "1"},
			[]string{"", ""}},
		"standard input": {strings.NewReader("this"), nil, []string{"this"}},
	} {
		bodies = nil
		root := newRootCommand()
		root.SetArgs(append([]string{"post", server.URL}, test.args...))
		root.SetIn(test.stdin)
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		err := root.ExecuteContext(t.Context())
		var want []string
		for _, body := range test.want {
			want = append(want, fmt.Sprintf("application/octet-stream %q <nil>", body))
		}
		if err != nil || !slices.Equal(bodies, want) {
			t.Errorf("%s: %v, sent %q, want %q", name, err, bodies, want)
		}
	}
	try(t, "post", server.URL, "--body", "", "--file", "x").failsWith(t, exitUsage,
		"--body and --file can't be used together")
}

// onTerminal runs a command on a terminal, and returns all that it shows.
func onTerminal(t *testing.T, args ...string) (shown string, code int) {
	t.Helper()
	terminal, seen := openTerminal(t)
	all := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(seen) // ends with EIO when nobody has the terminal any more
		all <- string(text)
	}()
	code = executeOn(newScreen(terminal), newScreen(terminal), args)
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(<-all, "\r\n", "\n"), code // the terminal makes two characters of a line feed
}

// ours are the sequences of the styles, which nothing that a client sent is shown with.
var ours = regexp.MustCompile("\x1b\\[([12]|3[123])?m")

// TestColours: a terminal is shown them, unless NO_COLOR says that it is not to be, or it is no such
// terminal.
func TestColours(t *testing.T) {
	s := startServer(t, "")
	for name, test := range map[string]struct {
		env  map[string]string
		want bool
	}{
		"colours":         {map[string]string{"TERM": "xterm"}, true},
		"NO_COLOR":        {map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false},
		"a dumb terminal": {map[string]string{"TERM": "dumb"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NO_COLOR", "")
			for key, value := range test.env {
				t.Setenv(key, value)
			}
			shown, code := onTerminal(t, "status", "--server", s.admin)
			if code != 0 || strings.Contains(shown, "\x1b[1mDESTINATION\x1b[m") != test.want || strings.Contains(shown, "\x1b") != test.want {
				t.Errorf("colours are shown: %v, and want %v: %d %q", !test.want, test.want, code, shown)
			}
		})
	}
}

// TestStatusIsWatchedOnATerminal, until q is pressed.
func TestStatusIsWatchedOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	s := startServer(t, "")
	terminal, seen := openTerminal(t)
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	shown := make(chan string, 1)
	go func() {
		var all []byte
		for buffer := make([]byte, 4096); ; {
			n, err := seen.Read(buffer)
			all = append(all, buffer[:n]...)
			if pressed := strings.Contains(string(all), "adds up"); pressed || err != nil {
				_, _ = seen.WriteString("q")
				shown <- string(all)
				_, _ = io.Copy(io.Discard, seen)
				return
			}
		}
	}()
	root := newRootCommand()
	root.SetArgs([]string{"status", "--watch", "--every", "100ms", "--server", s.admin})
	root.SetIn(terminal)
	root.SetOut(newScreen(terminal))
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := <-shown; !strings.Contains(text, "events") || !strings.Contains(text, "accepted = ") {
		t.Errorf("it shows %q", text)
	}
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
}

// hostile moves the cursor, sets the title, turns text around, and is no text at its end.
const hostile = "a\x1b[2J\x1b]0;title\x07\rb\x7f\u009b31m\u202e\u2066\u200f\u061c\u2028c"

// hostileEverywhere is an event whose client has put it wherever it can.
func hostileEverywhere() *pillarbox.Event {
	return &pillarbox.Event{Timestamp: 1, RequestID: "id-" + hostile, Source: "app", Method: "POST",
		Path: "/app" + hostile, Query: hostile, ContentType: hostile, RemoteAddr: hostile,
		Header: pillarbox.Header{{Name: "X-A", Value: hostile}}, Body: []byte(hostile)}
}

// TestWhatAClientSentIsNeverRawOnATerminal, by any command that shows it, in any form. Redirected,
// CSV is the bytes that were sent.
func TestWhatAClientSentIsNeverRawOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	s := startServer(t, "")
	event := hostileEverywhere()
	if err := s.engines.Sinks["events"].Write(t.Context(), []*pillarbox.Event{event}); err != nil {
		t.Fatal(err)
	}
	s.putDeadLetters([]*pillarbox.Event{event}, "events")
	for _, args := range [][]string{
		{"events"}, {"events", "-o", "json"}, {"events", "-o", "csv"}, {"explain", event.RequestID},
		{"explain", event.RequestID, "-o", "json"}, {"explain", event.RequestID, "-o", "csv"},
		{"dead", "list"}, {"dead", "list", "-o", "json"}, {"dead", "list", "-o", "csv"},
		{"dead", "show", event.RequestID}, {"dead", "replay", "--all", "--dry-run"},
		{"dead", "replay", "--all", "--dry-run", "-o", "csv"}, {"audit", "-o", "json"},
		{"dead", "discard", event.RequestID}, // the last one: the letter is gone then
		{"dead", "show", "no such\x1b[2J\u202e"},
	} {
		shown, _ := onTerminal(t, append(args, "--server", s.admin)...)
		shown = ours.ReplaceAllString(shown, "")
		if i := strings.IndexFunc(shown, raw); i >= 0 || shown == "" {
			t.Errorf("%q shows %q, with %q at %d", args, shown, shown[max(0, i):], i)
		}
	}
	got := try(t, "events", "-o", "csv", "--server", s.admin)
	if got.err != nil || strings.Count(got.out, hostile) < 4 {
		t.Errorf("redirected, it is %q (%v)", got.out, got.err)
	}
}

// raw is what no terminal may get.
func raw(r rune) bool {
	return r != '\n' && r != '\t' && (r < ' ' || r >= 0x7f && r < 0xa0) ||
		strings.ContainsRune("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e"+
			"\u2066\u2067\u2068\u2069", r)
}
