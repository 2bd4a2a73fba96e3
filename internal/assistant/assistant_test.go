package assistant_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/assistant"
	"pillarbox/internal/node/nodetest"
)

// talk is an assistant that is connected to a server over the admin API of a real node.
type talk struct {
	*nodetest.Box
	session *mcp.ClientSession
}

func open(t *testing.T, write bool) *talk {
	t.Helper()
	box := nodetest.Open(t)
	api := adminapi.New(box.Node, adminapi.Options{Metrics: http.NotFoundHandler()})
	t.Cleanup(api.Close)
	client, err := adminclient.New("http://localhost", adminclient.Options{HTTP: adminclient.InProcess(api)})
	if err != nil {
		t.Fatal(err)
	}
	here, there := mcp.NewInMemoryTransports()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- assistant.New(assistant.Options{Client: client, Write: write, Version: "1"}).Run(ctx, there)
	}()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(ctx, here, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close(); cancel(); <-ended })
	return &talk{box, session}
}

// call calls a tool and returns its text, and whether it is an error.
func (s *talk) call(tool string, args map[string]any) (text string, failed bool) {
	s.T.Helper()
	got, err := s.session.CallTool(s.T.Context(), &mcp.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		return err.Error(), true
	}
	for _, content := range got.Content {
		if part, ok := content.(*mcp.TextContent); ok {
			text += part.Text
		}
	}
	return text, got.IsError
}

func (s *talk) want(tool string, args map[string]any, parts ...string) string {
	s.T.Helper()
	text, failed := s.call(tool, args)
	if failed || !json.Valid([]byte(text)) {
		s.T.Errorf("%s: %s", tool, text)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			s.T.Errorf("%s: %.1000s has no %q", tool, text, part)
		}
	}
	return text
}

var writing = []string{"replay", "cancel_replay", "discard", "pause", "resume"}

func TestWritingIsAskedFor(t *testing.T) {
	for _, write := range []bool{false, true} {
		s := open(t, write)
		listed, err := s.session.ListTools(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, tool := range listed.Tools {
			found[tool.Name] = true
			if changes := !tool.Annotations.ReadOnlyHint; changes && !write {
				t.Errorf("%s changes something, and nobody has asked for it", tool.Name)
			}
		}
		for _, name := range writing {
			if found[name] != write {
				t.Errorf("write %v: %s is there: %v", write, name, found[name])
			}
			if _, failed := s.call(name, map[string]any{"destination": "events", "id": "1"}); !write && !failed {
				t.Errorf("%s works though it is not there", name)
			}
		}
	}
}

func TestAnAssistantFindsOut(t *testing.T) {
	s := open(t, false)
	s.Store(3)
	s.DeadLetter(4)
	s.want("status", nil, `"ready":true`, `"destination":"events"`)
	s.want("ledger", nil, `"balanced":`)
	s.want("events", map[string]any{"limit": 2}, `"request_id"`, `"next_cursor"`)
	if text := s.want("events", map[string]any{"text": "body 1", "method": "POST", "headers": map[string]string{"Content-Type": "text/plain"}}, "id-001"); strings.Contains(text, "id-002") {
		s.T.Errorf("events with that text are %s", text)
	}
	s.want("events", map[string]any{"json": map[string]string{"/n": "1"}}, `"events":[]`)
	if text, failed := s.call("alerts", nil); !failed || !strings.Contains(text, "alerts") {
		t.Errorf("nobody is told of alerts: %s", text)
	}
	s.want("explain", map[string]any{"request_id": "id-001"}, `"deliveries"`)
	s.want("failures", nil, `"count":4`, `"retrying"`)
	s.want("dead_letters", map[string]any{"limit": 1}, `"dead_letters"`, `"next_cursor"`)
	s.want("jobs", nil, `"replays"`, `"backfills"`)
	for tool, args := range map[string]map[string]any{"events": {"limit": 51}, "explain": {"request_id": "none"}, "failures": {"colour": "red"}, "dead_letters": {"limit": -1}} {
		if text, failed := s.call(tool, args); !failed {
			t.Errorf("%s %v: %s", tool, args, text)
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	s := open(t, false)
	letter := s.DeadLetter(1)[0]
	letter.Event.RequestID, letter.Event.Body = "large", []byte(strings.Repeat("x", 1<<20))
	if err := pillarbox.PutDeadLetter(t.Context(), s.Letters, letter); err != nil {
		t.Fatal(err)
	}
	if text := s.want("dead_letters", nil, "bodies are cut"); len(text) > 10*assistant.MaxBody {
		t.Errorf("%d bytes", len(text))
	}
	if text := s.want("explain", map[string]any{"request_id": "large"}, "the body has 1048576 bytes and is cut"); len(text) > 30*assistant.MaxBody {
		t.Errorf("%d bytes", len(text))
	}
}

// TestNothingActsUnlessItReallyShall, and nothing without a filter.
func TestNothingActsUnlessItReallyShall(t *testing.T) {
	s := open(t, true)
	s.DeadLetter(4)
	for _, tool := range []string{"replay", "discard"} {
		if text, failed := s.call(tool, map[string]any{"really": true}); !failed || !strings.Contains(text, "nothing says which") {
			t.Errorf("%s of everything: %s", tool, text)
		}
	}
	s.want("discard", map[string]any{"destination": "events"}, `"dry_run":true`, `"discarded":4`)
	s.want("replay", map[string]any{"destination": "events"}, `"dry_run":true`, `"matched":4`)
	s.want("discard", map[string]any{"request_ids": []string{"id-000"}, "really": true}, `"dry_run":false`, `"discarded":1`)
	s.want("failures", nil, `"count":3`)
	s.want("pause", map[string]any{"destination": "events", "reason": "tried"}, "paused")
	s.want("resume", map[string]any{"destination": "events"})
}
