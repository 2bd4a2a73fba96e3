package config

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"pillarbox"
	"pillarbox/internal/jwt"
)

// Auth is one way by which requests of a source may come in: one of its keys.
type Auth struct {
	APIKey bool  `yaml:"api_key"` // made by "pillarbox keys create"
	Basic  Basic `yaml:"basic"`
	JWT    JWT   `yaml:"jwt"`

	ClientCert ClientCert `yaml:"client_cert"`
}

// JWT says which tokens of an identity provider let in whoever sends them.
type JWT struct {
	Issuer     string            `yaml:"issuer"`
	Audience   string            `yaml:"audience"`
	JWKSURL    string            `yaml:"jwks_url"`   // of the issuer's keys; empty to ask the issuer
	Algorithms []string          `yaml:"algorithms"` // empty for RS256 and ES256
	Caller     string            `yaml:"caller"`     // the claim that names the caller; empty for sub
	Claims     map[string]string `yaml:"claims"`     // names of attributes, and the claims whose values they have
}

func (j *JWT) isZero() bool { return reflect.ValueOf(*j).IsZero() }

// ClientCert is who may come in by a certificate that tls.client_ca has signed. Of both lists one item
// has to match; "*" matches every certificate.
type ClientCert struct {
	Names []string `yaml:"names"` // of the subject's alternative names; of its common name where it has none
	URIs  []string `yaml:"uris"`  // such as spiffe://example.org/billing; with /* at the end, all below
}

func (c ClientCert) isSet() bool { return len(c.Names)+len(c.URIs) > 0 }

// Basic is names and passwords (RFC 7617).
type Basic struct {
	Users []Secret `yaml:"users"` // as NAME:PASSWORD; several of one name, so that they can be exchanged
}

const (
	// MaxUsers is how many names and passwords a source may have: each request is held against all of
	// them.
	MaxUsers = 16

	// MaxUser is the longest name and password together, with the colon, in bytes.
	MaxUser = 384
)

// auth checks who may come in by a source.
func (c *checker) auth(name, key string, source Source) {
	if len(source.Auth) == 0 {
		return
	}
	keys, users := 0, 0
	for i, way := range source.Auth {
		item := fmt.Sprintf("%s[%d]", key, i)
		if way.ClientCert.isSet() {
			c.clientCert(item, way)
			continue
		}
		switch basic := len(way.Basic.Users) > 0; {
		case way.APIKey && basic, !way.JWT.isZero() && (way.APIKey || basic):
			c.fail(item, "is two ways at once; give each its own item, as in [{api_key: true}, {basic: {users: [...]}}]")
		case !way.JWT.isZero():
			c.jwt(item+".jwt", source.Auth, i)
		case way.APIKey:
			keys++
		case basic:
			users += len(way.Basic.Users)
		default:
			c.fail(item, "lets nobody in; want api_key: true, basic: {users: [\"NAME:${PASSWORD}\"]}, or jwt: {issuer: https://..., audience: ...}")
		}
		c.users(item+".basic.users", source.Auth, i)
	}
	if keys > 1 {
		c.fail(key, "api_key is there twice")
	}
	if users > MaxUsers {
		c.fail(key, "there are %d users; want at most %d, or API keys", users, MaxUsers)
	}
	c.authBesideSignature(name, key)
}

// jwt checks which tokens one item believes.
func (c *checker) jwt(key string, ways []Auth, at int) {
	j := ways[at].JWT
	if err := jwt.CheckURL(j.Issuer); err != nil {
		c.fail(key+".issuer", "%s: %w", c.said(key+".issuer", j.Issuer), err)
	}
	if j.JWKSURL != "" {
		if err := jwt.CheckURL(j.JWKSURL); err != nil {
			c.fail(key+".jwks_url", "%s: %w", c.said(key+".jwks_url", j.JWKSURL), err)
		}
	}
	if j.Audience == "" {
		c.fail(key+".audience", "is not set; a token that the issuer has made for anybody else would come in")
	}
	for i, algorithm := range j.Algorithms {
		item := fmt.Sprintf("%s.algorithms[%d]", key, i)
		if !slices.Contains(jwt.Algorithms(), algorithm) {
			c.fail(item, "%s: want one of %s; others prove nothing of who has made a token", c.said(item, algorithm),
				strings.Join(jwt.Algorithms(), ", "))
		} else if slices.Contains(j.Algorithms[:i], algorithm) {
			c.fail(item, "%s is there twice", algorithm)
		}
	}
	for name, claim := range j.Claims {
		if err := pillarbox.CheckAttributeName(name); err != nil {
			c.fail(key+".claims", "%w", err)
		} else if claim == "" {
			c.fail(key+".claims."+name, "is empty; want the name of a claim, or a JSON pointer such as /realm/roles")
		}
	}
	for _, before := range ways[:at] {
		if before.JWT.Issuer == j.Issuer && before.JWT.Audience == j.Audience {
			c.fail(key, "tokens of this issuer for this audience are let in by an item before; put both into one")
			return
		}
	}
}

// clientCert checks an item that lets certificates in.
func (c *checker) clientCert(item string, way Auth) {
	if way.APIKey || len(way.Basic.Users) > 0 || !way.JWT.isZero() {
		c.fail(item, "is two ways at once; give each its own item, as in [{api_key: true}, {client_cert: {names: [...]}}]")
	}
	for i, name := range way.ClientCert.Names {
		if name == "" || name != "*" && strings.Contains(name, "*") {
			c.fail(fmt.Sprintf("%s.client_cert.names[%d]", item, i), "%q: want a whole name, or * for every certificate", name)
		}
	}
	for i, uri := range way.ClientCert.URIs {
		parsed, err := url.Parse(uri)
		if err != nil || parsed.Scheme == "" || strings.Contains(strings.TrimSuffix(uri, "/*"), "*") {
			c.fail(fmt.Sprintf("%s.client_cert.uris[%d]", item, i), "%q: want a whole URI such as spiffe://example.org/billing, or one with /* at its end", uri)
		}
	}
}

// users checks those of one item.
func (c *checker) users(key string, ways []Auth, at int) {
	var before []Secret
	for _, way := range ways[:at] {
		before = append(before, way.Basic.Users...)
	}
	for i, user := range ways[at].Basic.Users {
		item := fmt.Sprintf("%s[%d]", key, i)
		if err := checkUser(string(user)); err != nil {
			c.fail(item, "%w", err)
		} else if slices.Contains(before, user) {
			c.fail(item, "the same name and password are there twice")
		}
		before = append(before, user)
	}
}

// checkUser reports why a name and password can't be used. The error holds neither.
func checkUser(user string) error {
	name, password, found := strings.Cut(user, ":")
	switch {
	case user == redacted:
		return errRedacted
	case !found || name == "":
		return errors.New("want a name, a colon and a password, as in \"shop:${SHOP_PASSWORD}\"")
	case len(password) < MinToken:
		return fmt.Errorf("the password is too short, with %d of at least %d bytes: whoever guesses it comes in, and may try as often as they like; \"openssl rand -hex 32\" makes one", len(password), MinToken)
	case len(user) > MaxUser:
		return fmt.Errorf("has %d bytes; want at most %d", len(user), MaxUser)
	case strings.ContainsFunc(user, unicode.IsControl):
		return errors.New("has control characters, which no client may send")
	}
	return nil
}

// authBesideSignature refuses a signature in a header that a credential must be in: no request has
// both.
func (c *checker) authBesideSignature(name, key string) {
	verifier := c.config.verifiers[name]
	if verifier == nil {
		return
	}
	for _, header := range verifier.Bearers() {
		if strings.EqualFold(header, "Authorization") || strings.EqualFold(header, "X-Api-Key") {
			c.fail(key, "credentials are sent in %s, and so is the token of the signature; leave one of them out", header)
		}
	}
}
