package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/webhook"
)

// TestSettingsThatCantWorkAreRefused, each with its key and without what may be secret.
func TestSettingsThatCantWorkAreRefused(t *testing.T) {
	private := filepath.Join(t.TempDir(), "no.pem")
	if err := os.WriteFile(private, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	const url = "https://hook.example/in"
	grant := webhook.OAuth2{TokenURL: "https://tokens.example/", ClientID: "id", ClientSecret: "sEcReT"}
	for _, c := range []struct {
		url  string
		opts webhook.Options
		key  string
		want string
	}{
		{"https:///in", webhook.Options{}, "url", "want https://HOST/PATH"},
		{"ftp://hook.example", webhook.Options{}, "url", "want https://HOST/PATH"},
		{"https://me:sEcReT@hook.example", webhook.Options{}, "url", "holds credentials"},
		{"https://hook.example/#part", webhook.Options{}, "url", "fragment"},
		{url, webhook.Options{Send: "xml"}, "send", "want one of event, ndjson, array, body"},
		{url, webhook.Options{Concurrency: -1}, "concurrency", "want 1 to 1024"},
		{url, webhook.Options{Concurrency: 1025}, "concurrency", "want 1 to 1024"},
		{url, webhook.Options{Rate: -1}, "rate", "want 1 to"},
		{url, webhook.Options{SigningSecrets: []string{"sEcReT"}}, "signing_secrets[0]", "whsec_"},
		{url, webhook.Options{Headers: map[string]string{"a b": "sEcReT"}}, "headers.a b", "no name"},
		{url, webhook.Options{Headers: map[string]string{"X-A": "sEcReT\n"}}, "headers.X-A", "can't stand in a header"},
		{url, webhook.Options{Headers: map[string]string{"X-A": ""}}, "headers.X-A", "is empty"},
		{url, webhook.Options{Headers: map[string]string{"X-A": "1", "x-a": "2"}}, "headers.x-a", "twice"},
		{url, webhook.Options{Headers: map[string]string{"webhook-id": "1"}}, "headers.webhook-id", "can't be set"},
		{url, webhook.Options{Headers: map[string]string{"Host": "1"}}, "headers.Host", "can't be set"},
		{url, webhook.Options{Headers: map[string]string{"Content-Length": "1"}}, "headers.Content-Length", "can't be set"},
		{url, webhook.Options{Headers: map[string]string{"Pillarbox-Source": "1"}}, "headers.Pillarbox-Source", "can't be set"},
		{url, webhook.Options{Headers: map[string]string{"Authorization": "sEcReT"}, OAuth2: grant}, "headers.Authorization", "beside oauth2"},
		{"http://hook.example", webhook.Options{Headers: map[string]string{"Authorization": "sEcReT"}}, "headers.Authorization", "use https:"},
		{"http://hook.example", webhook.Options{OAuth2: grant}, "oauth2.token_url", "use https:"},
		{url, webhook.Options{OAuth2: webhook.OAuth2{ClientID: "id"}}, "oauth2.token_url", "no effect"},
		{url, webhook.Options{OAuth2: webhook.OAuth2{TokenURL: "https://t.example/"}}, "oauth2.client_id", "not set"},
		{url, webhook.Options{OAuth2: webhook.OAuth2{TokenURL: "https://t.example/", ClientID: "id"}}, "oauth2.client_secret", "not set"},
		{url, webhook.Options{OAuth2: webhook.OAuth2{TokenURL: "https://10.0.0.1/", ClientID: "id"}}, "oauth2.token_url", "private address"},
		{url, webhook.Options{Proxy: webhook.Proxy{User: "me"}}, "proxy.url", "no effect"},
		{url, webhook.Options{Proxy: webhook.Proxy{URL: "ftp://proxy.example"}}, "proxy", "want http://HOST:PORT"},
		{url, webhook.Options{Proxy: webhook.Proxy{URL: "http://me:sEcReT@proxy.example"}}, "proxy", "holds credentials"},
		{url, webhook.Options{Proxy: webhook.Proxy{URL: "http://proxy.example", Password: "sEcReT"}}, "proxy.user", "not set"},
		{url, webhook.Options{Proxy: webhook.Proxy{URL: "http://10.0.0.1:3128"}}, "proxy", "private address"},
		{url, webhook.Options{TLS: webhook.TLS{CA: private}}, "tls.ca", "no certificate"},
		{url, webhook.Options{TLS: webhook.TLS{CA: private + "?"}}, "tls.ca", "no such file"},
		{url, webhook.Options{TLS: webhook.TLS{Cert: private}}, "tls.key", "not set"},
		{url, webhook.Options{TLS: webhook.TLS{Key: private}}, "tls.cert", "not set"},
		{url, webhook.Options{TLS: webhook.TLS{Cert: private, Key: private}}, "tls.cert", "PEM"},
	} {
		_, err := webhook.Open(c.url, c.opts)
		var setting *webhook.SettingError
		if !errors.As(err, &setting) || !errors.Is(err, pillarbox.ErrInvalid) || setting.Key != c.key || !strings.Contains(setting.Reason, c.want) {
			t.Errorf("%+v: %v, want %s: %s", c.opts, err, c.key, c.want)
		} else if strings.Contains(err.Error(), "sEcReT") {
			t.Errorf("the error holds a secret: %v", err)
		}
	}
}

// TestATokenIsGotAndKept until it is over, or until the receiver does not take it any more. A server of
// tokens that fails is an outage.
func TestATokenIsGotAndKept(t *testing.T) {
	var given atomic.Int64
	var revoked, failing atomic.Bool
	lifetime := int64(3600)
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "a b" || user != "id" || password != "sEcReT" || failing.Load() {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte("{\"error\":\"invalid_client\"}\x1b"))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": fmt.Sprint("token-", given.Add(1)), "token_type": "Bearer", "expires_in": lifetime})
	}))
	defer tokens.Close()
	r := receive(t, func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		good := r.Header.Get("Authorization") == fmt.Sprint("Bearer token-", given.Load()) && !revoked.Load()
		revoked.Store(false)
		return !good && answered(status(401), w, r)
	})
	sink := open(t, r.URL, webhook.Options{OAuth2: webhook.OAuth2{TokenURL: tokens.URL, ClientID: "id", ClientSecret: "sEcReT", Scopes: []string{"a", "b"}}})
	write := func(want string, events int, tokensGiven int64) {
		t.Helper()
		err := sink.Write(t.Context(), enginetest.Events(events, 95))
		if kind(err) != want || given.Load() != tokensGiven {
			t.Errorf("%s with %d tokens, want %s with %d: %v", kind(err), given.Load(), want, tokensGiven, err)
		}
		if err != nil && strings.Contains(err.Error(), "sEcReT") {
			t.Errorf("the error holds a secret: %v", err)
		}
	}
	write("stored", 20, 1)
	write("stored", 20, 1)
	revoked.Store(true)
	if err := sink.Write(t.Context(), enginetest.Events(1, 95)); kind(err) != "outage" || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("revoked: %v", err)
	}
	lifetime = 1 // over at once, with the leeway
	write("stored", 1, 2)
	write("stored", 1, 3)
	failing.Store(true)
	err := sink.Write(t.Context(), enginetest.Events(5, 96))
	if kind(err) != "outage" || !strings.Contains(err.Error(), "invalid_client") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("no token: %v", err)
	}
	failing.Store(false)
	if err := sink.Write(t.Context(), enginetest.Events(1, 96)); err != nil {
		t.Error(err)
	}
}

// TestAServerOfTokensThatHangsEndsWithTheWrite, and is no fault of an event.
func TestAServerOfTokensThatHangsEndsWithTheWrite(t *testing.T) {
	tokens := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer tokens.Close()
	sink := open(t, receive(t, nil).URL, webhook.Options{OAuth2: webhook.OAuth2{TokenURL: tokens.URL, ClientID: "id", ClientSecret: "s"}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := sink.Write(ctx, enginetest.Events(20, 97)); kind(err) != "outage" {
		t.Error(err)
	}
}
