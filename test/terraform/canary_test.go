package terraform_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// boto is what the canary sees of the SDK: a table that has every event.
const boto = `class Client:
    def get_item(self, **wanted):
        return {"Item": wanted["Key"]}

def client(name):
    return Client()
`

// TestCanaryAsksAgain where the door says "later", as often as it says so within the time, and
// takes every other refusal for an error.
func TestCanaryAsksAgain(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("python3 is missing: install Python 3")
		}
		t.Skip("python3 is missing: install Python 3")
	}
	for _, c := range []struct {
		name     string
		statuses []int  // answers in order; the last one stays
		wait     string // seconds that an event may take
		later    string // Retry-After of every answer
		want     string // in what comes out
		fails    bool
	}{
		{"clients have used up the rate", []int{429, 429, 503, 202}, "60", "0", `"request_id": "r-1"`, false},
		{"at once", []int{202}, "60", "0", `"request_id": "r-1"`, false},
		{"a key that is not known", []int{403}, "60", "0", "HTTP Error 403", true},
		{"a fault", []int{500}, "60", "0", "HTTP Error 500", true},
		{"busy for the whole time", []int{429}, "0", "1", "HTTP Error 429", true},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			var posts atomic.Int32
			door := httptest.NewServer(
				http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					status := c.statuses[min(int(posts.Add(1)), len(c.statuses))-1]
					w.Header().Set("Retry-After", c.later)
					w.WriteHeader(status)
					_ = json.NewEncoder(w).
						Encode(map[string]string{"request_id": "r-1", "timestamp": "2026-11-29T00:00:00.000000Z"})
					if r.Header.Get("X-Api-Key") != "mine" {
						t.Errorf("the key is %q", r.Header.Get("X-Api-Key"))
					}
				}),
			)
			defer door.Close()
			library := t.TempDir()
			if err := os.WriteFile(filepath.Join(library, "boto3.py"), []byte(boto), 0o644); err != nil {
				t.Fatal(err)
			}
			script, err := filepath.Abs(module + "/canary")
			if err != nil {
				t.Fatal(err)
			}
			command := exec.Command(
				python,
				"-B",
				"-c",
				"import canary, json; print(json.dumps(canary.handler({}, None)))",
			)
			command.Env = append(
				os.Environ(),
				"PYTHONPATH="+library+":"+script,
				"URL="+door.URL+"/app",
				"TABLE=events",
				"WAIT_SECONDS="+c.wait,
				"API_KEY=mine",
				"no_proxy=*",
			)
			out, err := command.CombinedOutput()
			if (err != nil) != c.fails || !strings.Contains(string(out), c.want) {
				t.Errorf("%v\n%s\nwant %s", err, out, c.want)
			}
			if !c.fails && int(posts.Load()) != len(c.statuses) {
				t.Errorf("%d posts, want %d", posts.Load(), len(c.statuses))
			}
		})
	}
}
