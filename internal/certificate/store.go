package certificate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"pillarbox/internal/telemetry"
)

const (
	// Interval is how often the files are looked at.
	Interval = 10 * time.Second
	// WarnBefore is how long before its end a certificate is warned of: two looks of a person a week.
	WarnBefore = 14 * 24 * time.Hour
	// MaxFile is the largest file that is read, in bytes: a chain of certificates has some 10 KiB.
	MaxFile = 1 << 20
	// warnEvery is how often it is warned of the same certificate.
	warnEvery = 24 * time.Hour
)

// Pair is the files of a certificate, with those between it and its authority behind it, and of its
// key, in PEM.
type Pair struct{ Cert, Key string }

// Options of a Store. Pairs or More are required.
type Options struct {
	Name     string // of the listener: a key of the configuration
	Pairs    []Pair
	ClientCA string // file of the authorities of client certificates; empty: none is asked for
	Require  bool   // a client without a certificate is not let in

	// More are certificates that are in no file: they go first, where they are not nil. Protocols are
	// what ALPN offers for them, besides HTTP.
	More      func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Protocols []string

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: discard
}

// State is how one certificate is.
type State struct {
	Name     string    // of the listener
	File     string    // of the certificate
	Names    []string  // that it is for
	NotAfter time.Time // when it ends
	Problem  string    // what a person should know; empty while all is well
}

// Store has the certificates of a listener. Its methods may be called concurrently.
type Store struct {
	opts   Options
	config atomic.Pointer[tls.Config] // in force

	mu     sync.Mutex // guards the fields below
	pairs  []*pair
	caSeen [sha256.Size]byte
	pool   *x509.CertPool
	caFail string // why the file of the authorities is not in force; empty while it is
}

// pair is one of them, as it is in force.
type pair struct {
	Pair
	certificate tls.Certificate
	seen        [sha256.Size]byte // of both files, as they were looked at last
	problem     string            // why they are not in force; empty while they are
	warned      time.Time
}

// Open reads all files. The error joins all that is wrong, each with the key of the configuration
// and the file.
func Open(opts Options) (*Store, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{opts: opts}
	var errs []error
	for i, files := range opts.Pairs {
		p := &pair{Pair: files}
		cert, key, err := p.read()
		if err == nil {
			err = p.take(cert, key)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.certificates[%d]: %w", opts.Name, i, err))
		}
		s.pairs = append(s.pairs, p)
	}
	if opts.ClientCA != "" {
		text, err := readFile(opts.ClientCA)
		if err == nil {
			s.caSeen = sha256.Sum256(text)
			s.pool, err = authorities(opts.ClientCA, text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s.client_ca: %w", opts.Name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s.publish()
	return s, nil
}

// Config is for the handshakes of a listener: each has the certificates that are in force when it
// begins. TLS 1.2 is the least.
func (s *Store) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.config.Load(), nil },
	}
}

// Run looks at the files until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(Interval)
	defer ticker.Stop()
	for {
		s.Look()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Look takes what has changed in the files.
func (s *Store) Look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := false
	for _, p := range s.pairs {
		changed = s.lookAt(p) || changed
		s.warn(p)
	}
	if changed = s.lookAtCA() || changed; changed {
		s.publish()
	}
}

// lookAt reports whether other files are in force now.
func (s *Store) lookAt(p *pair) bool {
	cert, key, err := p.read()
	if err == nil {
		seen := sumOf(cert, key)
		if seen == p.seen {
			return false
		}
		p.seen = seen
		if err = p.take(cert, key); err == nil {
			p.problem, p.warned = "", time.Time{}
			s.opts.Logger.Info("a certificate is in force that its files have now",
				telemetry.KeyListener, s.opts.Name, telemetry.KeyFile, p.Cert,
				telemetry.KeyExpires, p.certificate.Leaf.NotAfter)
			return true
		}
	}
	if len(cert) == 0 || len(key) == 0 {
		p.seen = [sha256.Size]byte{} // what comes back may be what is in force
	}
	if p.problem != err.Error() {
		p.problem = err.Error()
		s.opts.Logger.Error("the files of a certificate can't be taken, and the one before stays in force",
			telemetry.KeyListener, s.opts.Name, telemetry.KeyErr, err)
	}
	return false
}

func (s *Store) lookAtCA() bool {
	if s.opts.ClientCA == "" {
		return false
	}
	text, err := readFile(s.opts.ClientCA)
	if err == nil {
		seen := sha256.Sum256(text)
		if seen == s.caSeen {
			return false
		}
		s.caSeen = seen
		var pool *x509.CertPool
		if pool, err = authorities(s.opts.ClientCA, text); err == nil {
			s.pool, s.caFail = pool, ""
			s.opts.Logger.Info("authorities of client certificates are in force that their file has now",
				telemetry.KeyListener, s.opts.Name, telemetry.KeyFile, s.opts.ClientCA)
			return true
		}
	}
	if len(text) == 0 {
		s.caSeen = [sha256.Size]byte{}
	}
	if s.caFail != err.Error() {
		s.caFail = err.Error()
		s.opts.Logger.Error("the authorities of client certificates can't be taken, and the ones before stay in force",
			telemetry.KeyListener, s.opts.Name, telemetry.KeyErr, err)
	}
	return false
}

// warn tells once a day of a certificate that ends soon.
func (s *Store) warn(p *pair) {
	now := s.opts.Now()
	if p.certificate.Leaf.NotAfter.Sub(now) > WarnBefore || now.Sub(p.warned) < warnEvery {
		return
	}
	p.warned = now
	s.opts.Logger.Warn("a certificate ends soon, or has ended; put a new one into its files",
		telemetry.KeyListener, s.opts.Name, telemetry.KeyFile, p.Cert,
		telemetry.KeyExpires, p.certificate.Leaf.NotAfter)
}

// publish puts what is there in force.
func (s *Store) publish() {
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.opts.More,
		NextProtos: append([]string{"h2", "http/1.1"}, s.opts.Protocols...)}
	for _, p := range s.pairs {
		config.Certificates = append(config.Certificates, p.certificate)
	}
	if s.pool != nil {
		config.ClientCAs, config.ClientAuth = s.pool, tls.VerifyClientCertIfGiven
		if s.opts.Require {
			config.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	s.config.Store(config)
}

// States is how each certificate is, in the order of the configuration, and then the authorities of
// client certificates where they have a problem.
func (s *Store) States() []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	var states []State
	for _, p := range s.pairs {
		leaf := p.certificate.Leaf
		state := State{Name: s.opts.Name, File: p.Cert, Names: namesOf(leaf), NotAfter: leaf.NotAfter,
			Problem: p.problem}
		if state.Problem == "" {
			state.Problem = Ending(leaf.NotAfter, s.opts.Now())
		}
		states = append(states, state)
	}
	if s.caFail != "" {
		states = append(states, State{Name: s.opts.Name, File: s.opts.ClientCA, Problem: s.caFail})
	}
	return states
}

// Ending is what to say of a certificate that ends soon, or has ended; empty for any other one.
func Ending(notAfter, now time.Time) string {
	switch left := notAfter.Sub(now); {
	case left <= 0:
		return "has ended on " + notAfter.UTC().Format(time.RFC3339) + ": clients refuse it"
	case left <= WarnBefore:
		return fmt.Sprintf("ends in %d days, on %s", int(left/(24*time.Hour)), notAfter.UTC().Format(time.RFC3339))
	}
	return ""
}

func namesOf(leaf *x509.Certificate) []string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func (p *pair) read() (cert, key []byte, err error) {
	cert, certErr := readFile(p.Cert)
	key, keyErr := readFile(p.Key)
	return cert, key, errors.Join(certErr, keyErr)
}

// take makes the certificate of both files. After an error the one before stays.
func (p *pair) take(cert, key []byte) error {
	made, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return p.explain(cert, key, err)
	}
	p.certificate, p.seen = made, sumOf(cert, key)
	return nil
}

// explain says which of the two files is wrong, and what to do.
func (p *pair) explain(cert, key []byte, err error) error {
	const encrypted = "ENCRYPTED"
	certBlock, _ := pem.Decode(cert)
	keyBlock, _ := pem.Decode(key)
	switch {
	case certBlock == nil:
		return fmt.Errorf("%s has no certificate in PEM (-----BEGIN CERTIFICATE-----)", p.Cert)
	case keyBlock == nil:
		return fmt.Errorf("%s has no private key in PEM (-----BEGIN PRIVATE KEY-----)", p.Key)
	case strings.Contains(keyBlock.Type, encrypted) || keyBlock.Headers["DEK-Info"] != "":
		return fmt.Errorf("the private key in %s is encrypted, and nobody is there to ask for its passphrase; decrypt it with \"openssl pkey\"", p.Key)
	case !bytes.Contains(cert, []byte("BEGIN CERTIFICATE")) && strings.Contains(certBlock.Type, "KEY"):
		return fmt.Errorf("%s has a key where the certificate belongs", p.Cert)
	}
	return fmt.Errorf("the certificate in %s and the private key in %s are no pair: %w", p.Cert, p.Key, err)
}

func sumOf(cert, key []byte) [sha256.Size]byte {
	one, other := sha256.Sum256(cert), sha256.Sum256(key)
	return sha256.Sum256(append(one[:], other[:]...))
}

func authorities(name string, text []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM (-----BEGIN CERTIFICATE-----)", name)
	}
	return pool, nil
}

// readFile reads a whole file, and waits for nobody.
func readFile(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", name)
	case info.Size() > MaxFile:
		return nil, fmt.Errorf("%s has %d bytes; want at most %d", name, info.Size(), MaxFile)
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(text) > MaxFile {
		err = fmt.Errorf("%s has more than %d bytes", name, MaxFile)
	}
	return text, err
}
