package main

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
	"pillarbox/test/standin/fakelambda"
)

const hookSecret = "the-secret-of-the-webhook"

// rules are sources of every kind, as a file beside the binary has them.
const rules = `
sources:
  hooks: { path: /hooks/github, preset: github, signature: { secrets: ["${HOOK_SECRET}"] } }
  app: { auth: [{ api_key: true }], response: { status: 200, body: "" } }
  tenants: { path: "/t/{tenant}/*" }
  pages: { path: /pages, cors: { origins: ["https://example.org"] } }
`

// withRules is a stack whose function has a file of sources, and one key of the API.
func withRules(t *testing.T) (s *stack, url, key string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sources.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s = newStack(t, "PILLARBOX_MAX_BODY=", "PILLARBOX_SOURCES_FILE="+filepath.Base(file), "LAMBDA_TASK_ROOT="+filepath.Dir(file),
		"PILLARBOX_SECRETS=pillarbox-sources", "PILLARBOX_API_KEYS_BUCKET=dead")
	s.putSecret(`{"HOOK_SECRET":"` + hookSecret + `"}`)
	disk := faultfs.New(faultfs.Options{})
	keys, err := apikey.OpenStore(disk, apikey.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, key, err = keys.Create(apikey.New{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	text, err := vfs.ReadFile(disk, apikey.FileName, apikey.MaxFileBytes)
	if err != nil {
		t.Fatal(err)
	}
	s.objects.set("/dead/api-keys.json", text)
	return s, s.front(&fakelambda.Gateway{Kind: fakelambda.REST}), key
}

func (s *stack) putSecret(value string) {
	s.t.Helper()
	url := s.secrets.Start(s.t)
	client := secretsmanager.NewFromConfig(aws.Config{Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("id", "key", "")},
		func(o *secretsmanager.Options) { o.BaseEndpoint = &url })
	if _, err := client.CreateSecret(s.t.Context(), &secretsmanager.CreateSecretInput{
		Name: aws.String("pillarbox-sources"), SecretString: &value}); err != nil {
		s.t.Fatal(err)
	}
}

// ask sends a request with a header, and wants a status.
func (s *stack) ask(want int, method, url, body string, header ...string) (*http.Response, string) {
	s.t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != want {
		s.t.Fatalf("%s %s %v: answered with %d %s, want %d\n%s", method, url, header, response.StatusCode, text, want, s.log)
	}
	return response, string(text)
}

func githubSignature(body string) string {
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// TestSourcesOfTheFile: signatures, keys, patterns, batches, codings and pages of other sites hold on
// the real binary, and what came in is stored with what is known of it.
func TestSourcesOfTheFile(t *testing.T) {
	s, url, key := withRules(t)
	const body = `{"zen":"Keep it logically awesome."}`
	s.ask(202, "POST", url+"/hooks/github", body, "X-Hub-Signature-256", githubSignature(body))
	s.ask(401, "POST", url+"/hooks/github", body+" ", "X-Hub-Signature-256", githubSignature(body))
	s.ask(401, "POST", url+"/hooks/github", body)
	if _, text := s.ask(200, "POST", url+"/app", "with a key", "X-Api-Key", key); text != "" {
		t.Errorf("answered with %q", text)
	}
	s.ask(401, "POST", url+"/app", "without")
	s.ask(401, "POST", url+"/app/batch", "[1]", "Content-Type", "application/json")
	s.ask(401, "POST", url+"/app", "mistyped", "Authorization", "Bearer "+key[:len(key)-1]+"!")
	s.ask(202, "POST", url+"/t/acme/orders/7", "of a tenant")
	s.ask(202, "POST", url+"/t/acme/x/batch", "1\n2\n", "Content-Type", "application/x-ndjson")
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte("packed")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s.ask(202, "POST", url+"/pages", packed.String(), "Content-Encoding", "gzip")
	preflight, _ := s.ask(204, "OPTIONS", url+"/pages", "", "Origin", "https://example.org", "Access-Control-Request-Method", "POST")
	if got := preflight.Header.Get("Access-Control-Allow-Origin"); got != "https://example.org" {
		t.Errorf("a preflight is answered with %v", preflight.Header)
	}
	s.ask(404, "POST", url+"/elsewhere", "x")
	s.poll(s.events)
	stored := map[string]string{}
	for _, item := range s.stored() {
		text, _ := item["Body"].(string)
		source, _ := item["Source"].(string)
		stored[text] = source
		if caller, _ := item["Caller"].(string); source == "app" && caller != "shop" {
			t.Errorf("the caller of %q is %q", text, caller)
		}
	}
	want := map[string]string{body: "hooks", "with a key": "app", "of a tenant": "tenants", "1": "tenants", "2": "tenants", "packed": "pages"}
	for text, source := range want {
		if stored[text] != source {
			t.Errorf("%q is stored of %q, want %q", text, stored[text], source)
		}
	}
	if len(stored) != len(want) {
		t.Errorf("stored is %v", stored)
	}
	if text := s.log.String(); strings.Contains(text, hookSecret) || strings.Contains(text, key) {
		t.Errorf("a secret is in the log:\n%s", text)
	}
	if calls := s.secrets.Calls("GetSecretValue"); calls != 1 {
		t.Errorf("secrets were asked for %d times", calls)
	}
}

// TestARepeatedRequestIsOneEvent, also where another process answers it; another content is refused.
func TestARepeatedRequestIsOneEvent(t *testing.T) {
	s := newStack(t)
	url := s.front(&fakelambda.Gateway{Kind: fakelambda.REST}) + "/app"
	_, first := s.ask(202, "POST", url, "once", "Idempotency-Key", "k-1")
	s.accept.Restart() // the next process knows nothing of it
	for range 2 {
		again, text := s.ask(202, "POST", url, "once", "Idempotency-Key", `"k-1"`)
		if text != first || again.Header.Get(pillarbox.HeaderReplayed) != "true" {
			t.Errorf("answered with %v %s, want %s", again.Header, text, first)
		}
	}
	s.ask(422, "POST", url, "another", "Idempotency-Key", "k-1")
	s.ask(202, "POST", url, "once", "Idempotency-Key", "k-2")
	if n := len(s.queues.Peek("events")); n != 2 {
		t.Errorf("%d events are queued, want 2", n)
	}
	for _, text := range s.tables.Peek("keys") {
		var item map[string]map[string]any
		if err := json.Unmarshal(text, &item); err != nil || item["State"]["S"] != "done" || item["ExpiresAt"]["N"] == nil {
			t.Errorf("an item is %s, %v", text, err)
		}
	}
}

// TestNothingIsOpenWithoutItsSecrets: the function starts, and says when to come back.
func TestNothingIsOpenWithoutItsSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sources.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStack(t, "PILLARBOX_MAX_BODY=", "PILLARBOX_SOURCES_FILE="+file, "PILLARBOX_SECRETS=pillarbox-sources", "PILLARBOX_API_KEYS_BUCKET=dead")
	url := s.front(&fakelambda.Gateway{Kind: fakelambda.HTTP})
	for _, path := range []string{"/hooks/github", "/app", "/pages"} {
		response, text := s.ask(503, "POST", url+path, "x")
		if response.Header.Get("Retry-After") == "" || strings.Contains(text, "secret") {
			t.Errorf("answered with %v %s", response.Header, text)
		}
	}
	if !strings.Contains(s.log.String(), "the secrets of sources are not at hand") {
		t.Errorf("the log says\n%s", s.log)
	}
	s.putSecret(`{"HOOK_SECRET":"` + hookSecret + `"}`)
	s.ask(202, "POST", url+"/pages", "x")
}

// TestRulesThatMeanNothingTogether are refused at the start.
func TestRulesThatMeanNothingTogether(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sources.yaml")
	if err := os.WriteFile(file, []byte("sources: { app: { rate: { per_second: 1 } } }"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, set := range map[string]map[string]string{
		"PILLARBOX_SOURCE_PATH has no effect beside PILLARBOX_SOURCES_FILE": {"PILLARBOX_SOURCES_FILE": file, "PILLARBOX_SOURCE_PATH": "/app"},
		"PILLARBOX_MAX_BODY has no effect beside PILLARBOX_SOURCES_FILE":    {"PILLARBOX_SOURCES_FILE": file, "PILLARBOX_MAX_BODY": "5"},
		"PILLARBOX_SECRETS has no effect without PILLARBOX_SOURCES_FILE":    {"PILLARBOX_SECRETS": "x"},
		"PILLARBOX_SOURCES_FILE: open ":                                     {"PILLARBOX_SOURCES_FILE": file + ".gone"},
		"throttle_per_second":                                               {"PILLARBOX_SOURCES_FILE": file},
	} {
		_, err := start(environment(roleAccept, set), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", set, err, want)
		}
	}
	if !slices.Contains(services, "SECRETS_MANAGER") {
		t.Error("the endpoint of Secrets Manager can't be another")
	}
}
