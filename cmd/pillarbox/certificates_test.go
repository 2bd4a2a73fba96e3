package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/node/nodetest"
)

// TestCertificatesAreChecked: the check and the start open the files, and say where and what is wrong,
// before a directory is made. One that has ended keeps a check from passing, and no server from
// starting.
func TestCertificatesAreChecked(t *testing.T) {
	a, dir := nodetest.NewAuthority(t), t.TempDir()
	cert, key := a.Server(time.Time{}, "localhost")
	certFile, keyFile := nodetest.WriteFiles(t, dir, cert, key)
	other := t.TempDir()
	_, otherKey := a.Server(time.Time{}, "localhost")
	_, otherFile := nodetest.WriteFiles(t, other, cert, otherKey)
	ended := t.TempDir()
	endedCert, endedKey := a.Server(time.Now().Add(-time.Minute), "localhost")
	endedFile, endedKeyFile := nodetest.WriteFiles(t, ended, endedCert, endedKey)
	config := filepath.Join(dir, "pillarbox.yaml")
	for want, text := range map[string]string{
		"": fmt.Sprintf("tls: {certificates: [{cert: %s, key: %s}]}", certFile, keyFile),
		config + ":1:22: tls.certificates[0]: the certificate in": fmt.Sprintf("tls: {certificates: [{cert: %s, key: %s}]}", certFile, otherFile),
		"none.pem: no such file":                                  fmt.Sprintf("tls: {certificates: [{cert: none.pem, key: %s}]}", keyFile),
		"admin.tls.certificates[0]: the certificate":              fmt.Sprintf("admin: {tls: {certificates: [{cert: %s, key: %s}]}}", certFile, otherFile),
		"tls.client_ca: " + keyFile + " has no certificate": fmt.Sprintf(
			"tls: {client_ca: %s, certificates: [{cert: %s, key: %s}]}\nsources: {app: {auth: [{client_cert: {names: ['*']}}]}}", keyFile, certFile, keyFile),
		"has ended on": fmt.Sprintf("tls: {certificates: [{cert: %s, key: %s}]}", endedFile, endedKeyFile),
	} {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		checked := try(t, "config", "check", "--config", config)
		if want == "" {
			if checked.code != 0 {
				t.Errorf("%+v", checked)
			}
			continue
		}
		checked.failsWith(t, exitUsage, want)
		if want == "has ended on" {
			continue
		}
		data := filepath.Join(t.TempDir(), "data")
		try(t, "serve", "--config", config, "--data", data, "--listen", "127.0.0.1:0").failsWith(t, exitUsage)
		if _, err := os.Stat(data); err == nil {
			t.Errorf("%s: a directory was made", want)
		}
	}
}

// TestTargetsOfPosts: a URL, or a socket with the path of a source behind it.
func TestTargetsOfPosts(t *testing.T) {
	for text, want := range map[string]target{
		"https://a/b":        {url: "https://a/b"},
		"unix:/run/s":        {url: "http://localhost/app", socket: "/run/s"},
		"unix:/run/s:/x/y?z": {url: "http://localhost/x/y?z", socket: "/run/s"},
	} {
		if got, err := parseTarget(text, "/app"); err != nil || got.url != want.url || got.socket != want.socket {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"a/b", "unix:", "ftp://a"} {
		if _, err := parseTarget(text, "/app"); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestCommandsTalkTLS: to a server of the same configuration without any authority, to another one
// with --ca-file, and to one that nobody vouches for not at all. The status shows the certificates.
func TestCommandsTalkTLS(t *testing.T) {
	a, dir := nodetest.NewAuthority(t), t.TempDir()
	cert, key := a.Server(time.Now().Add(5*24*time.Hour), "localhost", "127.0.0.1")
	certFile, keyFile := nodetest.WriteFiles(t, dir, cert, key)
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, a.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	pair := fmt.Sprintf("{certificates: [{cert: %s, key: %s}]}", certFile, keyFile)
	text := fmt.Sprintf("tls: %s\nadmin: {tls: %s}\n", pair, pair)
	s := startServer(t, text)
	config := filepath.Join(dir, "pillarbox.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	public, admin := "https://"+s.serving.Public[0].Addr().String()+"/app", "https://"+s.admin
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"post, by the authority": {[]string{"post", public, "--body", "x", "--ca-file", ca}, exitDone, "accepted"},
		"post, by the configuration": {[]string{"post", "--body", "x", "--config", config, "--listen",
			s.serving.Public[0].Addr().String()}, exitDone, "accepted"},
		"post, by nobody":   {[]string{"post", public, "--body", "x"}, exitFailed, "an authority of your own is named with --ca-file"},
		"post, by no file":  {[]string{"post", public, "--body", "x", "--ca-file", "none.pem"}, exitUsage, "--ca-file"},
		"status, by nobody": {[]string{"status", "--server", admin}, exitFailed, "an authority of your own is named with --ca-file"},
		"status":            {[]string{"status", "--server", admin, "--ca-file", ca}, exitDone, "certificate " + certFile + " (admin.tls) until"},
		"status, by the configuration": {[]string{"status", "--config", config, "--admin", s.admin, "--data", s.data},
			exitDone, "ends in 4 days"},
	} {
		got := try(t, c.args...)
		said := got.out + got.talk
		if got.err != nil {
			said += got.err.Error()
		}
		if got.code != c.code || !strings.Contains(said, c.want) {
			t.Errorf("%s: exit %d: %s", name, got.code, said)
		}
	}
}
