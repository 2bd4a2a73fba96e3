package webhook_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/webhook"
	"pillarbox/internal/node/nodetest"
)

// receiveTLS starts a receiver with TLS, and returns its URL and a file with its authority.
func receiveTLS(t testing.TB, handler http.Handler, http2 bool) (url, authority string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(server.Close)
	authority = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL, authority
}

// TestTheReceiverIsShownACertificate, and a new one on the next connection once the files have it.
func TestTheReceiverIsShownACertificate(t *testing.T) {
	authority := nodetest.NewAuthority(t)
	var mu sync.Mutex
	var shown []string
	r := receive(t, nil)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		mu.Lock()
		shown = append(shown, request.TLS.PeerCertificates[0].Subject.CommonName)
		mu.Unlock()
		w.Header().Set("Connection", "close") // so that the next request makes another one
		r.ServeHTTP(w, request)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool}
	server.StartTLS()
	defer server.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	put := func(common string) (cert, key string) {
		pair := authority.Client(common, "", "")
		private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		return nodetest.WriteFiles(t, dir, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
			pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	}
	cert, key := put("first")
	sink := open(t, server.URL, webhook.Options{TLS: webhook.TLS{CA: ca, Cert: cert, Key: key}})
	for _, common := range []string{"first", "second"} {
		put(common)
		if err := sink.Write(t.Context(), enginetest.Events(1, 98)); err != nil {
			t.Fatal(err)
		}
		if shown[len(shown)-1] != common {
			t.Errorf("the receiver was shown %v, want %s", shown, common)
		}
	}
	none := open(t, server.URL, webhook.Options{TLS: webhook.TLS{CA: ca}})
	if err := none.Write(t.Context(), enginetest.Events(3, 98)); kind(err) != "outage" {
		t.Errorf("without a certificate: %v", err)
	}
}
