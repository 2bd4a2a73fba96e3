package intake_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"

	"pillarbox/internal/express"
	"pillarbox/internal/intake"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/tracetest"
)

// page is a text that several write to.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(line)
}

// serveLogged makes a box with an access log, which records everything.
func serveLogged(t *testing.T, f front, format string) (*box, *page, *served) {
	t.Helper()
	text := &page{}
	access, err := telemetry.NewAccess(text, format)
	if err != nil {
		t.Fatal(err)
	}
	traces := telemetry.NewTraces(&tracetest.Recorder{}, telemetry.TraceOptions{Ratio: 1})
	b := openBox(t, intake.Options{Access: access, Traces: traces})
	f.limits = express.Options{Access: access, Traces: traces}
	return b, text, f.serve(t, b, express.DefaultReadTimeout, express.DefaultWriteTimeout)
}

// TestEachAnswerIsALine of the access log, on both fronts the same: what was accepted with its id and
// its trace, and what was not. No query is in it, which may hold credentials.
func TestEachAnswerIsALine(t *testing.T) {
	onFronts(t, func(t *testing.T, f front) {
		b, text, s := serveLogged(t, f, telemetry.AccessJSON)
		b.setSources(source.Settings{Name: "app", Path: "/app", MaxBody: testMaxBody},
			source.Settings{Name: "shut", Path: "/shut", MaxBody: testMaxBody, Deny: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}})
		s.status(t, "/app?token=hunter2", "x", "User-Agent: probe/1", "Referer: http://me:hunter2@a/b?token=hunter2#hunter2")
		s.status(t, "/shut", "x", "User-Agent: probe/2")
		s.status(t, "/no%22where\"", "x")
		s.stop()
		event := b.Queued()[0]
		var lines []map[string]any
		for line := range strings.Lines(text.text.String()) {
			fields := map[string]any{}
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			lines = append(lines, fields)
		}
		if len(lines) != 3 || strings.Contains(text.text.String(), "hunter2") {
			t.Fatalf("the log is\n%s", text.text.String())
		}
		for i, want := range []map[string]any{
			{"client": "127.0.0.1", "method": "POST", "path": "/app", "source": "app", "status": 202.0, "request_id": event.RequestID,
				"trace_id": telemetry.TraceID(event.Traceparent), "user_agent": "probe/1", "referer": "http://a/b", "protocol": "HTTP/1.1"},
			{"path": "/shut", "source": "shut", "status": 403.0, "user_agent": "probe/2", "client": "127.0.0.1"},
			{"status": 404.0, "path": "/no%22where%22", "client": "127.0.0.1"},
		} {
			for key, value := range want {
				if lines[i][key] != value {
					t.Errorf("line %d: %s is %v, want %v", i+1, key, lines[i][key], value)
				}
			}
			if lines[i]["bytes"].(float64) <= 0 {
				t.Errorf("line %d says that the answer has no body", i+1)
			}
		}
	})
}

// TestTheCombinedFormIsApaches, and no client can begin a line in it.
func TestTheCombinedFormIsApaches(t *testing.T) {
	form := regexp.MustCompile(`^127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "POST /app HTTP/1\.1" 202 \d+ "-" "a\\"b\\\\c\\xe9"` + "\n$")
	onFronts(t, func(t *testing.T, f front) {
		_, text, s := serveLogged(t, f, telemetry.AccessCombined)
		if got := s.status(t, "/app", "x", "User-Agent: a\"b\\c\xe9"); got != http.StatusAccepted {
			t.Fatalf("answered %d", got)
		}
		s.stop()
		if got := text.text.String(); !form.MatchString(got) {
			t.Errorf("the line is %q", got)
		}
	})
}

// TestTextsOfTheAccessLogAreBounded, however long a client makes them.
func TestTextsOfTheAccessLogAreBounded(t *testing.T) {
	for _, format := range []string{telemetry.AccessJSON, telemetry.AccessCombined} {
		var text bytes.Buffer
		access, err := telemetry.NewAccess(&text, format)
		if err != nil {
			t.Fatal(err)
		}
		access.Answered(&telemetry.AccessEntry{UserAgent: strings.Repeat("a", 10*telemetry.MaxAccessText) + "b"})
		if got := strings.Count(text.String(), "a"); got < telemetry.MaxAccessText || got > telemetry.MaxAccessText+20 {
			t.Errorf("%s: %d bytes of a text are written", format, got)
		}
	}
	if _, err := telemetry.NewAccess(nil, "xml"); err == nil || !strings.Contains(fmt.Sprint(err), "combined") {
		t.Errorf("an unknown format: %v", err)
	}
}
