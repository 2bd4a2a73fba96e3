package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/apikey"
)

const askingForKeys = "sources: { app: { auth: [{ api_key: true }] }, open: {} }\n"

// postWith posts to a source, with an API key or, where it is empty, without, and returns the status.
func postWith(t *testing.T, s *running, path, key string) int {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+s.serving.Public[0].Addr().String()+path, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if challenge := response.Header.Get("WWW-Authenticate"); (response.StatusCode == 401) != (challenge == `Bearer realm="pillarbox"`) {
		t.Errorf("%s is answered with %d and the challenge %q", path, response.StatusCode, challenge)
	}
	return response.StatusCode
}

func made(t *testing.T, r result) (key adminapi.NewKey) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.out), &key); err != nil || r.code != 0 || key.ExpiresAt != nil {
		t.Fatalf("exit %d, %v: %s%s %v", r.code, r.err, r.out, r.talk, err)
	}
	return key
}

// TestKeysFromTheCommandLine are in force without a restart, are there after one, and are made and
// revoked without a server too.
func TestKeysFromTheCommandLine(t *testing.T) {
	s := startServer(t, askingForKeys)
	wants := func(s *running, key string, status int) {
		t.Helper()
		if got := postWith(t, s, "/app", key); got != status {
			t.Errorf("a post is answered with %d, want %d", got, status)
		}
	}
	wants(s, "", 401)
	if got := postWith(t, s, "/open", ""); got != 202 {
		t.Errorf("a source that asks for nothing answers with %d", got)
	}
	server := "--server=http://" + s.admin
	first := made(t, try(t, "keys", "create", server, "--source", "app", "--name", "shop", "-o", "json"))
	wants(s, first.Key, 202)
	other := made(t, try(t, "keys", "create", server, "--source", "open", "-o", "json"))
	wants(s, other.Key, 401)
	shown := try(t, "keys", "create", server)
	if key := strings.TrimSuffix(shown.out, "\n"); len(key) != apikey.Length || !strings.Contains(shown.talk, "not shown again") {
		t.Errorf("shown is %q %q", shown.out, shown.talk)
	} else {
		wants(s, key, 202)
	}
	if list := try(t, "keys", "list", server); strings.Count(list.out, "\n") != 4 || !strings.Contains(list.out, first.ID) ||
		strings.Contains(list.out, "pb_") {
		t.Errorf("listed are %s", list.out)
	}
	try(t, "keys", "create", server, "--source", "nobody").failsWith(t, 1, `there is no source "nobody"`, "app, open")
	try(t, "keys", "create", server, "--expires", "soon").failsWith(t, 2, "expires is", "90d")
	try(t, "keys", "revoke", server, "nothing").failsWith(t, 1, "there is no API key")
	if r := try(t, "keys", "revoke", server, first.ID); r.code != 0 || !strings.Contains(r.out, "is revoked since 2") {
		t.Errorf("%v %s", r.err, r.out)
	}
	wants(s, first.Key, 401)

	s.stop()
	file := filepath.Join(t.TempDir(), "pillarbox.yaml")
	if err := os.WriteFile(file, []byte(askingForKeys), 0o600); err != nil {
		t.Fatal(err)
	}
	offline := []string{"--config", file, "--data", s.data, "--admin", s.admin}
	second := made(t, try(t, append([]string{"keys", "create", "--source", "app", "-o", "json"}, offline...)...))
	third := made(t, try(t, append([]string{"keys", "create", "-o", "json"}, offline...)...))
	if r := try(t, append([]string{"keys", "revoke", third.ID}, offline...)...); r.code != 0 {
		t.Errorf("%v", r.err)
	}
	list := try(t, append([]string{"keys", "list", "-o", "json"}, offline...)...)
	var all adminapi.KeyList
	if err := json.Unmarshal([]byte(list.out), &all); err != nil || len(all.Keys) != 5 || all.Keys[0].LastUsedAt == nil ||
		all.Keys[0].RevokedAt == nil {
		t.Errorf("without the server there are %s, %v", list.out, err)
	}
	again := startIn(t, s.data, askingForKeys)
	wants(again, first.Key, 401)
	wants(again, second.Key, 202)
	wants(again, third.Key, 401)
}

// TestADamagedFileOfKeysIsNoOpenDoor: the server does not start, says what to do, and leaves the file
// as it is; whoever only looks is told.
func TestADamagedFileOfKeysIsNoOpenDoor(t *testing.T) {
	s := startServer(t, askingForKeys)
	made(t, try(t, "keys", "create", "--server=http://"+s.admin, "-o", "json"))
	s.stop()
	name := filepath.Join(s.data, apikey.FileName)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Replace(text, []byte(`"revoked_at"`), []byte(`"revoked_it"`), 1)
	if err := os.WriteFile(name, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	try(t, "serve", "--data", s.data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0").failsWith(t, 1)
	if left, err := os.ReadFile(name); err != nil || !bytes.Equal(left, damaged) {
		t.Errorf("the file is now %s, %v", left, err)
	}
	try(t, "keys", "list", "--data", s.data, "--admin", s.admin).failsWith(t, 2, "none that can be used")
	if r := try(t, "status", "--data", s.data, "--admin", s.admin); r.code != 0 {
		t.Errorf("status: %v", r.err)
	}
}

// TestWhoMayComeInFromTheConfiguration: names with passwords, and networks.
func TestWhoMayComeInFromTheConfiguration(t *testing.T) {
	s := startServer(t, `sources:
  users: { auth: [{ basic: { users: ["till:0123456789:abcdef"] } }] }
  away: { allow: [192.0.2.0/24] }
  here: { allow: [127.0.0.0/8], deny: [192.0.2.1] }
  denied: { deny: [127.0.0.1] }
`)
	for _, c := range []struct {
		path, password string
		status         int
	}{
		{"/users", "0123456789:abcdef", 202}, {"/users", "0123456789:abcdeg", 401}, {"/away", "", 403}, {"/away/batch", "", 403},
		{"/here", "", 202}, {"/denied", "", 403},
	} {
		request, err := http.NewRequest(http.MethodPost, "http://"+s.serving.Public[0].Addr().String()+c.path, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth("till", c.password)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != c.status {
			t.Errorf("%s is answered with %d, want %d", c.path, response.StatusCode, c.status)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}
