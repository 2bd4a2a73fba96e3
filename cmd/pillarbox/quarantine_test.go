package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox"
)

// githubConfig is a source that keeps apart what GitHub has not signed with a secret.
func githubConfig(express bool, secret string) string {
	loop := "true"
	if !express {
		loop = "false"
	}
	return "listen: { address: ['127.0.0.1:0'], express: " + loop + " }\nsources: { hook: { preset: github, signature: { secrets: [" + secret + "], on_failure: quarantine } } }\n" +
		"destinations: { events: { url: 'sqlite:', sources: [hook] } }\n"
}

// postSigned posts to the source of githubConfig, and returns the answer. An empty secret signs nothing.
func postSigned(t *testing.T, s *running, path, secret, delivery, body string) (int, pillarbox.Receipt) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://"+s.serving.Public[0].Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	if secret != "" {
		request.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	request.Header.Set("X-GitHub-Delivery", delivery)
	request.Header.Set("Authorization", "Bearer canary-secret")
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var receipt pillarbox.Receipt
	if response.StatusCode/100 == 2 {
		receipt.RequestID = response.Header.Get("X-Request-Id")
		if len(text) > 0 {
			_ = json.Unmarshal(text, &receipt)
		}
	}
	return response.StatusCode, receipt
}

// TestQuarantine: what is not signed as it should be is kept apart, until it is released once its
// secret is known, or by force, or discarded; with a server and without, on both fronts.
func TestQuarantine(t *testing.T) {
	for _, express := range []bool{true, false} {
		s := startServer(t, githubConfig(express, "today-secret-1"))
		server := "--server=http://" + s.admin
		ok := func(r result, parts ...string) string {
			t.Helper()
			if r.code != 0 {
				t.Fatalf("express %v: exit %d, %v: %s%s", express, r.code, r.err, r.out, r.talk)
			}
			for _, part := range parts {
				if !strings.Contains(r.out, part) {
					t.Errorf("express %v: %q is not in %s", express, part, r.out)
				}
			}
			return r.out
		}
		status, rotated := postSigned(t, s, "/hook", "other-secret-22", "d-1", `{"n":1}`)
		if status/100 != 2 || rotated.RequestID == "" {
			t.Fatalf("express %v: answered with %d, %+v", express, status, rotated)
		}
		_, unsigned := postSigned(t, s, "/hook", "", "d-2", `{"n":2}`)
		_, forged := postSigned(t, s, "/hook", "a-forger-secret", "d-3", `{"n":3}`)
		if status, _ := postSigned(t, s, "/hook/batch", "other-secret-22", "d-4", `[{"n":4}]`); status != 401 {
			t.Errorf("express %v: a batch is answered with %d", express, status)
		}
		_, good := postSigned(t, s, "/hook", "today-secret-1", "d-5", `{"n":5}`)
		ok(try(t, "quarantine", "list", server), rotated.RequestID, "mismatch", unsigned.RequestID, "missing", forged.RequestID)
		if list := ok(try(t, "quarantine", "list", server)); strings.Contains(list, good.RequestID) {
			t.Errorf("a good one is in quarantine: %s", list)
		}
		shown := ok(try(t, "quarantine", "show", server, rotated.RequestID), `"mismatch"`, `{\"n\":1}`)
		if strings.Contains(shown, "canary-secret") {
			t.Errorf("a secret is shown: %s", shown)
		}
		ok(try(t, "explain", server, rotated.RequestID), "is in quarantine")
		ok(try(t, "audit", server), "quarantined: 3 requests", "balanced")
		ok(try(t, "status", server), "quarantine: 3 requests")
		try(t, "quarantine", "release", server, rotated.RequestID).failsWith(t, 1, "does not prove it", "mismatch")
		try(t, "quarantine", "release", server).failsWith(t, 2, "say which")
		ok(try(t, "quarantine", "release", server, unsigned.RequestID, "--force"), "is accepted")
		ok(try(t, "quarantine", "discard", server, forged.RequestID), "is discarded, and gone")
		try(t, "quarantine", "show", server, forged.RequestID).failsWith(t, 1, "there is no request")
		ok(try(t, "audit", server, "--trail"), "quarantine.release", "force=true", "quarantine.discard")
		s.stop()
		noSecretsIn(t, s.data, "canary-secret", "other-secret-22")

		file := filepath.Join(t.TempDir(), "p.yaml")
		if err := os.WriteFile(file, []byte(githubConfig(express, "other-secret-22")), 0o600); err != nil {
			t.Fatal(err)
		}
		rest := []string{"--data", s.data, "--config", file, "--admin", "127.0.0.1:1"}
		ok(try(t, append(rest, "quarantine", "list")...), rotated.RequestID)
		ok(try(t, append(rest, "quarantine", "release", "--all")...), rotated.RequestID+" is accepted")
		if r := try(t, append(rest, "quarantine", "list")...); r.code != 0 || !strings.Contains(r.talk, "nothing is in quarantine") {
			t.Errorf("express %v: %v %s%s", express, r.err, r.out, r.talk)
		}
		s = startIn(t, s.data, githubConfig(express, "other-secret-22"))
		server = "--server=http://" + s.admin
		ok(try(t, "audit", server), "balanced")
		status, again := postSigned(t, s, "/hook", "other-secret-22", "d-1", `{"n":1}`)
		if again.RequestID != rotated.RequestID {
			t.Errorf("express %v: sent again it is answered with %d, %+v, and the first was %+v", express, status, again, rotated)
		}
		s.stop()
	}
}

// noSecretsIn reads all files of a directory.
func noSecretsIn(t *testing.T, dir string, secrets ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		for _, secret := range secrets {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s has %q", name, secret)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
