package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox/test/harness"
)

// canaries are texts that are nowhere else, by what they stand for.
type canaries map[string]string

func (c canaries) make(what string) string {
	if c[what] == "" {
		c[what] = fmt.Sprintf("canary%02dof%s", len(c), strings.Map(func(r rune) rune {
			if r == ' ' {
				return -1
			}
			return r
		}, what))
	}
	return c[what]
}

// TestSecretsAreNowhere sends secrets in every place that a request has, good ones and wrong ones, to
// a server whose configuration is full of them, and looks for them in all that it writes and says:
// its data directory, its log, its metrics, its answers and those of the commands. What is no secret
// has to be there.
func TestSecretsAreNowhere(t *testing.T) {
	gone, kept := canaries{}, canaries{}
	data, config := t.TempDir(), filepath.Join(t.TempDir(), "p.yaml")
	text := fmt.Sprintf(`
admin: { token: %q, tokens: [{ name: reader, token: %q, scope: read }] }
sources:
  app: { auth: [{ api_key: true }, { basic: { users: [%q] } }] }
  github: { preset: github, signature: { secrets: [%q] } }
  gitlab: { preset: gitlab, signature: { secrets: [%q] } }
  meta: { preset: meta, signature: { secrets: [%q] }, verify_token: %q }
  open: { redact: { headers: [X-Card], query: [card], json: [/card] }, hash: { key: %q, headers: [X-Mail], query: [mail], json: [/mail] } }
destinations: { events: { url: "sqlite:", sources: [app, github, gitlab, meta, open], max_attempts: 2, backoff: { initial: 10ms, max: 10ms } } }
`, gone.make("admin token"), gone.make("reader token"), "shop:"+gone.make("basic password"), gone.make("github secret"),
		gone.make("gitlab secret"), gone.make("meta secret"), gone.make("verify token"), gone.make("hash key"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := harness.Start(t, data, "--config", config)
	var said strings.Builder // everything that anybody is told
	ask := func(method, url string, header http.Header, body string) (status int, answer string) {
		t.Helper()
		request, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = header.Clone()
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		read, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&said, response.Header, string(read))
		return response.StatusCode, string(read)
	}
	admin := http.Header{"Authorization": {"Bearer " + gone["admin token"]}, "Content-Type": {"application/json"}}
	run := func(args ...string) string {
		t.Helper()
		command := exec.Command(harness.Binary(), append(args, "--config", config)...)
		command.Env = append(os.Environ(), "PILLARBOX_ADMIN_TOKEN="+gone["admin token"], "PILLARBOX_SERVER="+s.Admin, "PILLARBOX_DATA="+data)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	var made struct{ Key string }
	if status, answer := ask("POST", s.Admin+"/api/v1/keys", admin, `{"name":"shop"}`); status != 201 || json.Unmarshal([]byte(answer), &made) != nil {
		t.Fatal(status, answer)
	}
	said.Reset() // the key is told once, to whoever made it
	gone["api key"] = made.Key
	gone["basic credential"] = base64.StdEncoding.EncodeToString([]byte("shop:" + gone["basic password"]))
	wrong := gone.make("wrong password")
	gone["wrong credential"] = base64.StdEncoding.EncodeToString([]byte("shop:" + wrong))
	carriers := func() http.Header {
		return http.Header{"Cookie": {"session=" + gone.make("cookie")}, "Referer": {"https://u:" + gone.make("userinfo") + "@h/?token=" + gone.make("referer token") + "&" + kept.make("referer")},
			"X-Auth-Token": {gone.make("token header")}, "X-Data": {kept.make("header")}, "X-Hub-Signature": {kept.make("signature header")},
			"Content-Type": {"application/json"}}
	}
	query := "?access_token=" + gone.make("query token") + "&a=" + kept.make("query")
	posts := []struct {
		name, url, body string
		header          map[string]string
		status          int
	}{
		{"an API key", "/app" + query, `{"data":"` + kept.make("body") + `"}`, map[string]string{"X-Api-Key": made.Key}, 202},
		{"a password", "/app" + query, `{}`, map[string]string{"Authorization": "Basic " + gone["basic credential"]}, 202},
		{"a wrong password", "/app" + query, `{}`, map[string]string{"Authorization": "Basic " + gone["wrong credential"]}, 401},
		{"a wrong key", "/app" + query, `{}`, map[string]string{"X-Api-Key": gone.make("wrong key")}, 401},
		{"a wrong signature", "/github" + query, `{}`, map[string]string{"X-Hub-Signature-256": "sha256=" + gone.make("wrong signature")}, 401},
		{"a token of GitLab", "/gitlab" + query, `{}`, map[string]string{"X-Gitlab-Token": gone["gitlab secret"]}, 200},
		{"another token of GitLab", "/gitlab" + query, `{}`, map[string]string{"X-Gitlab-Token": gone.make("wrong gitlab token")}, 401},
		{"redacted", "/open?card=" + gone.make("query card") + "&mail=" + gone.make("query mail") + "&a=" + kept.make("other query"),
			`{"card":"` + gone.make("card") + `","mail":"` + gone.make("mail") + `","poison":"` + kept.make("poison") + `"}`,
			map[string]string{"X-Card": gone.make("header card"), "X-Mail": gone.make("header mail")}, 202},
		{"redacted, no JSON", "/open", gone.make("card of no JSON"), nil, 400},
		{"redacted, a batch", "/open/batch", `[{"card":"` + gone.make("card of a batch") + `","data":"` + kept.make("batch") + `"},{"card":"` + gone.make("torn card"), nil, 400},
		{"redacted, a good batch", "/open/batch", `[{"card":"` + gone["card of a batch"] + `","data":"` + kept.make("batch") + `"}]`, nil, 202},
	}
	poison(t, data, kept["poison"])
	for _, p := range posts {
		header := carriers()
		for name, value := range p.header {
			header.Set(name, value)
		}
		if status, answer := ask("POST", s.Public+p.url, header, p.body); status != p.status {
			t.Errorf("%s: %d %s, want %d", p.name, status, answer, p.status)
		}
	}
	ask("GET", s.Public+"/meta?hub.mode=subscribe&hub.challenge=1&hub.verify_token="+gone.make("wrong verify token"), http.Header{}, "")
	ask("POST", s.Admin+"/api/v1/session", http.Header{"Content-Type": {"application/json"}}, `{"token":"`+gone.make("wrong login")+`"}`)
	ask("GET", s.Admin+"/api/v1/status", http.Header{"Authorization": {"Bearer " + gone.make("wrong admin token")}}, "")
	waitFor(t, "a dead letter and five stored events", func() bool {
		_, letters := ask("GET", s.Admin+"/api/v1/dead-letters", admin, "")
		_, events := ask("GET", s.Admin+"/api/v1/events", admin, "")
		return strings.Contains(letters, kept["poison"]) && strings.Count(events, `"request_id"`) == 4
	})
	for _, path := range []string{"/metrics", "/api/v1/status", "/api/v1/ledger", "/api/v1/audit", "/api/v1/events", "/api/v1/dead-letters", "/api/v1/keys",
		"/api/v1/trail", "/api/v1/held", "/api/v1/obligations", "/"} {
		if status, answer := ask("GET", s.Admin+path, admin, ""); status != 200 {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	for _, args := range [][]string{{"config", "show"}, {"config", "check"}, {"events", "-o", "json"}, {"dead", "list"}, {"status"}, {"audit", "--trail"}, {"keys", "list"}} {
		said.WriteString(run(args...))
	}
	s.Stop()
	said.WriteString(s.Log())
	files := everything(t, data)
	for what, secret := range gone {
		if strings.Contains(said.String(), secret) {
			t.Errorf("the %s is told: %s", what, around(said.String(), secret))
		}
		for name, content := range files {
			if strings.Contains(content, secret) {
				t.Errorf("the %s is in %s: %s", what, name, around(content, secret))
			}
		}
	}
	for what, text := range kept {
		found := false
		for _, content := range files {
			found = found || strings.Contains(content, text)
		}
		if !found {
			t.Errorf("the %s, which is no secret, is kept nowhere", what)
		}
	}
	if len(gone) < 30 || len(kept) < 7 {
		t.Errorf("only %d secrets and %d others", len(gone), len(kept))
	}
}

// poison makes the database refuse events with that text.
func poison(t *testing.T, data, text string) {
	t.Helper()
	out, err := exec.Command("sqlite3", filepath.Join(data, "events.db"),
		"CREATE TRIGGER no BEFORE INSERT ON events WHEN NEW.body LIKE '%"+text+"%' BEGIN SELECT RAISE(ABORT, 'not wanted'); END").CombinedOutput()
	if err != nil {
		t.Fatalf("sqlite3 (apt-get install sqlite3): %v: %s", err, out)
	}
}

// everything reads all files below a directory.
func everything(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(name)
		files[name] = string(content)
		return err
	})
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files
}

func around(text, part string) string {
	at := strings.Index(text, part)
	return fmt.Sprintf("%q", text[max(0, at-80):min(len(text), at+len(part)+40)])
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("there are never: %s", what)
		}
	}
}
