package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/node/nodetest"
	"pillarbox/test/harness"
)

// TestATokenOfAnIssuerComesIn: keys are fetched from a real server, found by its document, and
// again when they are other ones; who has come is asked for by name and by claim, of a server and
// of its directory.
func TestATokenOfAnIssuerComesIn(t *testing.T) {
	issuer := nodetest.NewDoorIssuer()
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := *r.URL
		at.Scheme, at.Host = "http", r.Host
		response, err := issuer.RoundTrip(&http.Request{Method: r.Method, URL: &at})
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		w.WriteHeader(response.StatusCode)
		var document any
		if err := json.NewDecoder(response.Body).Decode(&document); err == nil {
			_ = json.NewEncoder(w).Encode(document) // the client may be gone
		}
	}))
	defer provider.Close()
	issuer.URL, issuer.KeysURL = provider.URL+"/", provider.URL+"/keys"
	data, config := t.TempDir(), filepath.Join(t.TempDir(), "p.yaml")
	text := fmt.Sprintf("sources: { app: { auth: [{ jwt: { issuer: %q, audience: pillarbox, claims: { tenant: \"https://example.org/tenant\" } } }] } }", issuer.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := harness.Start(t, data, "--config", config)
	send := func(key, tenant string) int {
		t.Helper()
		claims := issuer.Claims(map[string]any{"exp": time.Now().Unix() + 3600, "https://example.org/tenant": tenant})
		request, err := http.NewRequest(http.MethodPost, s.Public+"/app", strings.NewReader(tenant))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+issuer.Token(key, nil, claims))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		return errOf(t, response)
	}
	if status := send("rsa", "acme"); status != http.StatusAccepted {
		t.Fatalf("answered with %d", status)
	}
	issuer.Publish("late")
	if status := send("late", "other"); status != http.StatusAccepted {
		t.Errorf("a token of a new key is answered with %d", status)
	}
	if status := send("rsa", "third"); status != http.StatusUnauthorized {
		t.Errorf("a token of a key that was taken back is answered with %d", status)
	}
	s.WaitUntil("both are stored", drained)
	list := func(where ...string) (bodies []string) {
		t.Helper()
		var page adminapi.EventPage
		out, _, code := harness.Run(t, append([]string{"events", "--oldest", "-o", "json", "--caller", "alice"}, where...)...)
		if err := json.Unmarshal([]byte(out), &page); err != nil || code != 0 {
			t.Fatalf("exit %d, %v\n%s", code, err, out)
		}
		for _, event := range page.Events {
			bodies = append(bodies, string(event.Body))
		}
		return bodies
	}
	if got := list("--server", s.Admin); len(got) != 2 {
		t.Errorf("of the server: %q", got)
	}
	s.Stop()
	if got := list("--data", data, "--attribute", "tenant=other"); len(got) != 1 || got[0] != "other" {
		t.Errorf("of the directory: %q", got)
	}
}

func errOf(t *testing.T, response *http.Response) int {
	t.Helper()
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	return response.StatusCode
}
