// Package acme gets certificates of an authority by ACME (RFC 8555), and has them renewed.
//
// It proves that a name is ours by TLS-ALPN-01 (RFC 8737): the authority connects to port 443 of the
// name, and the handshake of the public listener answers it. It promises that a certificate stays in
// force until a newer one is there, and that nothing is asked of the authority before Run. It knows no
// listener.
package acme

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"pillarbox/internal/certificate"
	"pillarbox/internal/telemetry"
)

// DefaultDirectory is that of Let's Encrypt.
const DefaultDirectory = certmagic.LetsEncryptProductionCA

// Protocol is what ALPN calls the proof.
const Protocol = "acme-tls/1"

// MaxDomains bounds the names: each has a certificate of its own, and authorities limit how many are
// made in a week.
const MaxDomains = 100

// Options of a Manager. Domains and Dir are required.
type Options struct {
	Domains   []string // in lower case
	Email     string   // that the authority writes to; empty for none
	Directory string   // URL of the authority; default DefaultDirectory
	Dir       string   // where accounts, keys and certificates are kept; it is made where it is missing

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: discard
}

// Manager has the certificates of the domains. Its methods may be called concurrently.
type Manager struct {
	opts   Options
	cache  *certmagic.Cache
	config *certmagic.Config
	issuer *certmagic.ACMEIssuer

	mu     sync.Mutex
	failed map[string]string // by domain, why the last try has failed; guarded by mu
}

// New makes one. It does nothing before Run.
func New(opts Options) *Manager {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Manager{opts: opts, failed: map[string]string{}}
	logger := zap.New(&core{logger: opts.Logger})
	m.cache = certmagic.NewCache(certmagic.CacheOptions{Logger: logger,
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return m.config, nil }})
	m.config = certmagic.New(m.cache, certmagic.Config{Storage: &certmagic.FileStorage{Path: opts.Dir},
		Logger: logger, OnEvent: m.note, DisableStorageCheck: true})
	m.issuer = certmagic.NewACMEIssuer(m.config, certmagic.ACMEIssuer{
		CA: cmp.Or(opts.Directory, DefaultDirectory), Email: opts.Email, Agreed: true,
		DisableHTTPChallenge: true, Logger: logger})
	m.config.Issuers = []certmagic.Issuer{m.issuer}
	return m
}

// Serve says at which address the handshakes come in that GetCertificate answers: the package listens
// nowhere else then. It is to be called before Run.
func (m *Manager) Serve(at net.Addr) {
	host, port, err := net.SplitHostPort(at.String())
	if err != nil {
		return
	}
	m.issuer.ListenHost = host
	m.issuer.AltTLSALPNPort, _ = strconv.Atoi(port) // it is one: the system has chosen it
}

// Run gets what is missing and renews what ends, until ctx does. What fails is tried again, with
// longer and longer waits.
func (m *Manager) Run(ctx context.Context) error {
	defer m.cache.Stop()
	if err := m.config.ManageAsync(ctx, m.opts.Domains); err != nil {
		return fmt.Errorf("tls.acme: %w", err)
	}
	<-ctx.Done()
	return nil
}

// note remembers what became of a try.
func (m *Manager) note(_ context.Context, event string, data map[string]any) error {
	domain, _ := data["identifier"].(string)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch event {
	case "cert_obtained":
		delete(m.failed, domain)
	case "cert_failed":
		m.failed[domain] = fmt.Sprint(data["error"])
		m.opts.Logger.Error("a certificate can't be made, and it is tried again; what was in force stays so",
			telemetry.KeyName, domain, telemetry.KeyErr, data["error"])
	}
	return nil
}

// GetCertificate is the certificate for a handshake: that of the name which the client asks for, or
// what proves to the authority that a name is ours. A client that asks for no name gets that of the
// first domain, if alone is true. It is nil where the name is none of the domains.
func (m *Manager) GetCertificate(hello *tls.ClientHelloInfo, alone bool) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if !slices.Contains(m.opts.Domains, name) {
		if !alone {
			return nil, nil
		}
		another := *hello
		another.ServerName = m.opts.Domains[0]
		hello = &another
	}
	return m.config.GetCertificate(hello)
}

// States is how the certificate of each domain is.
func (m *Manager) States() (states []certificate.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, domain := range m.opts.Domains {
		state := certificate.State{Name: "tls", File: "acme:" + domain, Names: []string{domain}}
		for _, held := range m.cache.AllMatchingCertificates(domain) {
			if held.Leaf != nil && held.Leaf.NotAfter.After(state.NotAfter) {
				state.NotAfter = held.Leaf.NotAfter
			}
		}
		why := m.failed[domain]
		switch {
		case state.NotAfter.IsZero() && why != "":
			state.Problem = "there is no certificate yet: " + why
		case state.NotAfter.IsZero():
			state.Problem = "there is no certificate yet"
		case why != "":
			state.Problem = "it could not be renewed: " + why
		default:
			state.Problem = certificate.Ending(state.NotAfter, m.opts.Now())
		}
		states = append(states, state)
	}
	return states
}
