package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"pillarbox/internal/config"
	"pillarbox/internal/socket"
)

// target is a server that a command talks to.
type target struct {
	url    string
	socket string           // path of the unix socket that it is reached by; empty for none
	own    []config.KeyPair // certificates of the server's own configuration, one of which it has to show
}

// parseTarget reads the URL of a server; of one behind a socket, unix:/path/of/socket:/path/of/url.
// The latter is fallback where it is missing.
func parseTarget(text, fallback string) (target, error) {
	if !strings.HasPrefix(text, socket.Scheme) {
		if !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
			return target{}, fmt.Errorf("%q is no URL; it begins with http://, https:// or unix:/", text)
		}
		return target{url: text}, nil
	}
	at, path, found := strings.Cut(strings.TrimPrefix(text, socket.Scheme), ":")
	if !found {
		path = fallback
	}
	at, _ = socket.Path(socket.Scheme + at)
	if err := socket.Check(at); err != nil {
		return target{}, fmt.Errorf("%q: %w", text, err)
	}
	return target{url: "http://localhost" + path, socket: at}, nil
}

// transport makes the connections to a server.
func (g *globalFlags) transport(to target, idle int) (*http.Transport, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: idle, Proxy: http.ProxyFromEnvironment,
		ForceAttemptHTTP2: false}
	if to.socket != "" {
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return socket.Dial(ctx, to.socket)
		}
	}
	var err error
	switch {
	case g.caFile != "":
		transport.TLSClientConfig, err = trustFile(g.caFile)
	case len(to.own) > 0:
		transport.TLSClientConfig, err = trustOwn(to.own)
	}
	if err != nil {
		return nil, usageError{err}
	}
	return transport, nil
}

// trustFile trusts the authorities in a file, and no others.
func trustFile(name string) (*tls.Config, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--ca-file: %s has no certificate in PEM (-----BEGIN CERTIFICATE-----)", name)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

var errOtherCertificate = errors.New("the server shows another certificate than the configuration has; name its authority with --ca-file")

// trustOwn trusts a server that shows one of the certificates of the configuration, under whatever
// name: it is reached at an address of this machine, which no certificate is for.
func trustOwn(pairs []config.KeyPair) (*tls.Config, error) {
	var own [][]byte
	for _, pair := range pairs {
		loaded, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			return nil, fmt.Errorf("read the certificate of the server: %w; name its authority with --ca-file", err)
		}
		own = append(own, loaded.Certificate[0])
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, // by VerifyConnection
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, certificate := range own {
				if len(state.PeerCertificates) > 0 && string(state.PeerCertificates[0].Raw) == string(certificate) {
					return nil
				}
			}
			return errOtherCertificate
		}}, nil
}
