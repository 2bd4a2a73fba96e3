package config

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"pillarbox/internal/preset"
	"pillarbox/internal/signature"
)

// Signature says who must have signed the requests of a source. The keys from Header on describe a
// scheme by hand (generic).
type Signature struct {
	Scheme    string   `yaml:"scheme"` // "none", or one of package signature
	Secrets   []Secret `yaml:"secrets"`
	Tolerance Duration `yaml:"tolerance"`  // of a signed time
	OnFailure string   `yaml:"on_failure"` // "refuse" or "quarantine"
	URL       string   `yaml:"url"`        // public one of the path, where it is signed

	Header          string `yaml:"header"`
	Field           string `yaml:"field"`
	Algorithm       string `yaml:"algorithm"`
	Encoding        string `yaml:"encoding"`
	Prefix          string `yaml:"prefix"`
	Signed          string `yaml:"signed"`
	SecretEncoding  string `yaml:"secret_encoding"`
	TimestampHeader string `yaml:"timestamp_header"`
	TimestampField  string `yaml:"timestamp_field"`
	TimestampFormat string `yaml:"timestamp_format"`
	IDHeader        string `yaml:"id_header"`
}

// Response is what an accepted event is answered with.
type Response struct {
	Status      int    `yaml:"status"`       // 2xx
	Body        string `yaml:"body"`         // "receipt", or what is sent; empty for nothing
	ContentType string `yaml:"content_type"` // of a body that is no receipt
}

// Values of signature.scheme and signature.on_failure.
const (
	noScheme = "none"
	refuse   = "refuse"

	// OnFailureQuarantine keeps what is not signed as it should be, until a person decides about it.
	OnFailureQuarantine = "quarantine"
)

// MaxResponseBody is the largest response.body, in bytes: it is sent with every answer.
const MaxResponseBody = 4 << 10

const defaultResponseType = "text/plain; charset=utf-8"

// Verifier is the compiled rule of a source for signatures, or nil where it has none.
func (c *Config) Verifier(source string) *signature.Verifier { return c.verifiers[source] }

// resolve puts the values of presets where nothing else is set, and those that follow from others.
func (c *Config) resolve() {
	for name, source := range c.Sources {
		key := "sources." + name
		if p := preset.Get(source.Preset); p != nil {
			c.fill(key, &source, p)
		}
		if source.Response.Status == http.StatusNoContent && !c.IsSet(key+".response.body") {
			source.Response.Body, source.Response.ContentType = "", ""
		}
		if body := source.Response.Body; body != "" && body != preset.Receipt &&
			source.Response.ContentType == "" {
			source.Response.ContentType = defaultResponseType
		}
		c.Sources[name] = source
	}
}

// fill takes from the preset what is not set by hand. The body of an answer and its type are one
// value.
func (c *Config) fill(key string, source *Source, p *preset.Preset) {
	set := func(name string, to func()) {
		if !c.IsSet(key + name) {
			to()
			c.marks[key+name] = mark{origin: OriginPreset, raw: p.Name}
		}
	}
	if p.Scheme != "" {
		set(".signature.scheme", func() { source.Signature.Scheme = p.Scheme })
	}
	set(".methods", func() { source.Methods = slices.Clone(p.Methods) })
	set(".handshake", func() { source.Handshake = string(p.Handshake) })
	if p.Events {
		set(".cloudevents", func() { source.CloudEvents = EventsRequired })
	}
	set(".idempotency.key", func() { source.Idempotency.Key = p.Key })
	if source.Idempotency.Key != preset.KeyNone {
		// a sender that sends an event again may tell other details of it
		set(".idempotency.content", func() { source.Idempotency.Content = ContentIgnore })
	}
	set(".response.status", func() { source.Response.Status = p.Answer.Status })
	if !c.IsSet(key+".response.body") && !c.IsSet(key+".response.content_type") {
		set(".response.body", func() { source.Response.Body = p.Answer.Body })
		set(".response.content_type", func() { source.Response.ContentType = p.Answer.ContentType })
	}
}

// description is that of a scheme that is described by hand.
func (s *Signature) description() signature.Description {
	return signature.Description{Header: s.Header, Field: s.Field, Algorithm: s.Algorithm,
		Encoding: s.Encoding, Prefix: s.Prefix, Signed: s.Signed, SecretEncoding: s.SecretEncoding,
		TimestampHeader: s.TimestampHeader, TimestampField: s.TimestampField,
		TimestampFormat: s.TimestampFormat, IDHeader: s.IDHeader}
}

// door checks how requests of a source prove where they come from, and how they are answered.
func (c *checker) door(name, key string, source Source) {
	if source.Preset != "" && preset.Get(source.Preset) == nil {
		c.fail(key+".preset", "%s: want one of %s", c.said(key+".preset", source.Preset),
			strings.Join(preset.Names(), ", "))
	}
	c.signature(name, key+".signature", source)
	c.methods(key+".methods", source.Methods)
	c.oneOf(key+".handshake", source.Handshake, preset.Handshakes()...)
	c.oneOf(key+".cloudevents", source.CloudEvents, EventsOptional, EventsRequired, EventsNone)
	switch meta := source.Handshake == string(preset.Meta); {
	case meta && source.VerifyToken == "":
		c.fail(key+".verify_token", "is not set, and Meta asks for it when the address is registered; set it to the token that is entered there, or handshake: none")
	case !meta && source.VerifyToken != "":
		c.fail(key+".verify_token", "has no effect: only the handshake meta asks for it")
	case source.VerifyToken == redacted:
		c.fail(key+".verify_token", "%w", errRedacted)
	}
	c.response(key+".response", source.Response)
	c.cors(key+".cors", source.CORS)
}

func (c *checker) cors(key string, cors CORS) {
	isAny := slices.Contains(cors.Origins, anyOrigin)
	switch {
	case isAny && len(cors.Origins) > 1:
		c.fail(key+".origins", "%q is for all of them; leave the others out", anyOrigin)
	case isAny && cors.Credentials:
		c.fail(key+".credentials", "no browser sends credentials where every origin is allowed; name the origins")
	case cors.Credentials && len(cors.Origins) == 0:
		c.fail(key+".credentials", "has no effect without %s.origins", key)
	}
	for i, origin := range cors.Origins {
		item := fmt.Sprintf("%s.origins[%d]", key, i)
		if err := checkOrigin(origin); err != nil && origin != anyOrigin {
			c.fail(item, "%s: %w", c.said(item, origin), err)
		} else if slices.Contains(cors.Origins[:i], origin) {
			c.fail(item, "the origin is there twice")
		}
	}
}

const anyOrigin = "*"

// checkOrigin refuses what no browser sends as the origin of a page.
func checkOrigin(origin string) error {
	at, err := url.Parse(origin)
	if err != nil || at.Host == "" || at.Scheme == "" || at.Scheme+"://"+at.Host != origin ||
		strings.ToLower(origin) != origin || strings.Contains(origin, anyOrigin) {
		return errors.New("want an origin as browsers send it, in lower case and without a path, such as https://example.org or http://localhost:3000")
	}
	if at.Scheme == "http" && at.Port() == "80" || at.Scheme == "https" && at.Port() == "443" {
		return errors.New("browsers leave out the usual port of a scheme")
	}
	return nil
}

var errRedacted = errors.New("is what \"pillarbox config show\" puts in the place of a secret; put the secret there")

func (c *checker) signature(name, key string, source Source) {
	s := source.Signature
	c.oneOf(key+".scheme", s.Scheme, append([]string{noScheme}, signature.Schemes()...)...)
	c.oneOf(key+".on_failure", s.OnFailure, refuse, OnFailureQuarantine)
	if s.Scheme == noScheme {
		c.noSignature(key, s)
		return
	}
	if !slices.Contains(signature.Schemes(), s.Scheme) {
		return
	}
	if len(s.Secrets) == 0 {
		c.fail(key+".secrets", "none is set, and %s signs: set the secret that was agreed with the sender, as in [\"${SECRET}\"], or scheme: none to take what anybody sends", s.Scheme)
		return
	}
	settings := signature.Settings{Scheme: s.Scheme, URL: s.URL, Path: source.Path,
		Description: s.description()}
	for i, secret := range s.Secrets {
		if secret == redacted {
			c.fail(fmt.Sprintf("%s.secrets[%d]", key, i), "%w", errRedacted)
			return
		}
		settings.Secrets = append(settings.Secrets, string(secret))
	}
	if settings.Tolerance = s.Tolerance.Std(); settings.Tolerance <= 0 {
		c.fail(key+".tolerance", "want more than zero, and up to 24h")
		return
	}
	if settings.Tolerance == signature.DefaultTolerance {
		settings.Tolerance = 0 // not an effect to ask for
	}
	c.compile(name, key, settings, source.Headers.Allow)
}

// noSignature refuses what has no effect where nothing is verified.
func (c *checker) noSignature(key string, s Signature) {
	none := reflect.ValueOf(defaultSource("").Signature)
	v := reflect.ValueOf(s)
	for _, field := range fieldsOf(v.Type()) {
		is, was := v.Field(field.index), none.Field(field.index)
		if is.Kind() == reflect.Slice && is.Len() == 0 || is.Kind() != reflect.Slice && is.Equal(was) {
			continue
		}
		c.fail(key+"."+field.name, "has no effect without %s.scheme or a preset", key)
		return
	}
}

func (c *checker) compile(name, key string, settings signature.Settings, allowed []string) {
	verifier, err := signature.Compile(settings)
	if setting := (*signature.SettingError)(nil); errors.As(err, &setting) {
		c.fail(key+"."+setting.Key, "%s", setting.Reason)
		return
	}
	if err != nil {
		c.fail(key, "%w", err)
		return
	}
	for i, header := range allowed {
		isHeader := func(bearer string) bool { return strings.EqualFold(bearer, header) }
		if slices.ContainsFunc(verifier.Bearers(), isHeader) {
			item := fmt.Sprintf("sources.%s.headers.allow[%d]", name, i)
			c.fail(item, "%s carries the secret of the source and is never kept; remove it",
				c.said(item, header))
		}
	}
	if c.config.verifiers == nil {
		c.config.verifiers = make(map[string]*signature.Verifier)
	}
	c.config.verifiers[name] = verifier
}

func notPrintable(r rune) bool { return r > unicode.MaxASCII || unicode.IsControl(r) }

// storedMethods are those whose requests can be stored. GET and HEAD ask whether a source is alive,
// and OPTIONS what is possible, where they are not stored.
var storedMethods = []string{"POST", "PUT", "PATCH", "DELETE", "GET"}

func (c *checker) methods(key string, methods []string) {
	if len(methods) == 0 {
		c.fail(key, "is empty; want [POST], or more of %s", strings.Join(storedMethods, ", "))
	}
	for i, method := range methods {
		item := fmt.Sprintf("%s[%d]", key, i)
		if !slices.Contains(storedMethods, method) {
			c.fail(item, "%s: want one of %s", c.said(item, method),
				strings.Join(storedMethods, ", "))
		} else if slices.Contains(methods[:i], method) {
			c.fail(item, "the method %s is there twice", method)
		}
	}
}

func (c *checker) response(key string, r Response) {
	empty := r.Status == http.StatusNoContent
	switch {
	case r.Status < 200 || r.Status > 299 || r.Status == http.StatusResetContent ||
		r.Status == http.StatusPartialContent:
		c.fail(key+".status", "is %d; want a success: 200, 201, 202, 204 or another 2xx", r.Status)
	case empty && r.Body != "":
		c.fail(key+".body", "an answer of 204 has no body; leave it out, or set another status")
	case len(r.Body) > MaxResponseBody:
		c.fail(key+".body", "has %d bytes; want at most %d", len(r.Body), MaxResponseBody)
	case (r.Body == "" || r.Body == preset.Receipt) && r.ContentType != "":
		c.fail(key+".content_type", "has no effect: there is no body of your own (%s.body)", key)
	}
	if r.ContentType == "" {
		return
	}
	_, _, err := mime.ParseMediaType(r.ContentType)
	if err != nil || strings.ContainsFunc(r.ContentType, notPrintable) {
		c.fail(key+".content_type", "%s: want a media type such as text/plain or application/json",
			c.said(key+".content_type", r.ContentType))
	}
}
