package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"pillarbox/internal/evidence"
	"pillarbox/internal/socket"
	"pillarbox/internal/urlpath"
)

var (
	nameForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	headerForm = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
)

const nameRule = "want 1 to 63 of a-z, 0-9, _ and -, the first one a letter or digit"

// batchSuffix follows the path of a source in the path of its batches.
const batchSuffix = "/batch"

// validate returns everything that can't work.
func validate(config *Config) []error {
	c := &checker{config: config}
	c.listeners()
	c.storage()
	c.paths()
	for _, name := range slices.Sorted(maps.Keys(config.Sources)) {
		c.source("sources."+name, config.Sources[name])
		c.door(name, "sources."+name, config.Sources[name])
		c.addresses("sources."+name, config.Sources[name])
		c.auth(name, "sources."+name+".auth", config.Sources[name])
	}
	taken := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(config.Destinations)) {
		c.destination("destinations."+name, config.Destinations[name], taken)
	}
	for _, name := range slices.Sorted(maps.Keys(config.Sources)) {
		if !taken[name] {
			c.fail("sources."+name, "no destination takes its events; add it to the sources of one")
		}
	}
	c.http()
	c.alerts()
	c.rest()
	return c.errs
}

type checker struct {
	config *Config
	errs   []error
}

// fail adds an error with the place where the key, or what it is part of, was set.
func (c *checker) fail(key, format string, args ...any) {
	at, inner := c.config.marks[key], key
	for at.where == "" && inner != "" {
		inner = inner[:max(0, strings.LastIndexAny(inner, ".["))]
		at = c.config.marks[inner]
	}
	c.errs = append(c.errs, problem(at, key, format, args...))
}

// said returns a value as it was written, for an error: a reference may have stood for a secret.
func (c *checker) said(key, value string) string {
	if from, ok := c.config.marks[key]; ok && from.origin == OriginFile {
		return strconv.Quote(from.raw)
	}
	return strconv.Quote(value)
}

func (c *checker) listeners() {
	config := c.config
	c.public()
	c.certificates("admin.tls", config.Admin.TLS.Certificates)
	c.token("admin.token", string(config.Admin.Token))
	c.adminTokens(config.Admin)
	if path, known := socket.Path(config.Admin.Listen); known {
		if err := socket.Check(path); err != nil {
			c.fail("admin.listen", "%s: %w", c.said("admin.listen", config.Admin.Listen), err)
		}
		if config.Admin.TLS.On() {
			c.fail("admin.tls.certificates", "have no effect: nobody but this user can reach the socket of admin.listen; leave one of the two out")
		}
		return
	}
	if !c.address("admin.listen", config.Admin.Listen) {
		return
	}
	if slices.Contains(config.Listen.Address, config.Admin.Listen) && !strings.HasSuffix(config.Admin.Listen, ":0") {
		c.fail("admin.listen", "is the same address as listen; choose another port")
	}
	if host, _, _ := net.SplitHostPort(config.Admin.Listen); config.Admin.Token == "" && len(config.Admin.Tokens) == 0 && !loopback(host) {
		c.fail("admin.listen", "other machines can reach %s; set admin.token (%s) or listen on 127.0.0.1, or at a socket (unix:/path)",
			c.said("admin.listen", config.Admin.Listen), EnvName("admin.token"))
	}
}

// MinToken is the shortest token of the admin API, in characters: nothing slows down who guesses, and
// 16 hexadecimal digits are 64 bits of chance.
const MinToken = 16

// checkToken reports why a token of the admin API can't be used, or nil; an empty one is none. The
// error does not hold it.
func checkToken(token string) error {
	switch {
	case token == "":
		return nil
	case token == redacted:
		return errors.New("is what \"pillarbox config show\" puts in the place of a token; put the token there")
	case utf8.RuneCountInString(token) < MinToken:
		return fmt.Errorf("is too short, with %d of at least %d characters: whoever guesses it is an operator, and may try as often as they like; \"openssl rand -hex 32\" makes one", utf8.RuneCountInString(token), MinToken)
	case strings.TrimSpace(token) != token,
		strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r >= 0x7f }):
		return errors.New("has a space at an end, or characters that can't stand in a header; want visible ASCII")
	}
	return nil
}

func (c *checker) token(key, token string) {
	if err := checkToken(token); err != nil {
		c.fail(key, "%w", err)
	}
}

// adminTokens checks those for some of what the API does.
func (c *checker) adminTokens(admin Admin) {
	const key = "admin.tokens"
	if len(admin.Tokens) > MaxAdminTokens {
		c.fail(key, "there are %d; want at most %d", len(admin.Tokens), MaxAdminTokens)
	}
	names, secrets := map[string]bool{"admin": true}, map[Secret]bool{admin.Token: true}
	for i, t := range admin.Tokens {
		item := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case !nameForm.MatchString(t.Name):
			c.fail(item+".name", "%s is not allowed: %s", c.said(item+".name", t.Name), nameRule)
		case names[t.Name]:
			c.fail(item+".name", "%s is the name of another token", t.Name)
		}
		if t.Token == "" {
			c.fail(item+".token", "is not set; \"openssl rand -hex 32\" makes one, and ${NAME} takes it from the environment")
		} else if c.token(item+".token", string(t.Token)); secrets[t.Token] {
			c.fail(item+".token", "is another one's token too")
		}
		c.oneOf(item+".scope", t.Scope, "read", "replay", "admin")
		names[t.Name], secrets[t.Token] = true, true
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *checker) address(key, value string) bool {
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		c.fail(key, "%s: want host:port or :port", c.said(key, value))
	}
	return err == nil
}

func (c *checker) storage() {
	queue := c.config.Queue
	if c.config.Data == "" {
		c.fail("data", "is empty; name a directory")
	}
	c.url("queue.url", queue.URL, "seglog:")
	c.url("dead_letters.url", c.config.DeadLetters.URL, "files:dead-letters")
	if c.config.Bodies.URL != "" {
		c.url("bodies.url", c.config.Bodies.URL, "s3://bucket/bodies")
	}
	c.positive("queue.max_age", int64(queue.MaxAge))
	if window := c.config.Idempotency.Window.Std(); window < seconds(1).Std() {
		c.fail("idempotency.window", "is %v; want at least 1s", window)
	}
	if c.config.Idempotency.URL != "" {
		c.url("idempotency.url", c.config.Idempotency.URL, "dynamodb://REGION/TABLE")
	}
	if c.config.APIKeys.URL != "" {
		c.url("api_keys.url", c.config.APIKeys.URL, "s3://BUCKET/api-keys.json")
	}
	c.between("idempotency.max_keys", c.config.Idempotency.MaxKeys, 1, MaxIdempotencyKeys)
	c.encryption()
	c.atLeast("quarantine.max_bytes", c.config.Quarantine.MaxBytes, 64<<10)
	c.between("quarantine.max_entries", c.config.Quarantine.MaxEntries, 1, MaxQuarantineEntries)
	c.positive("quarantine.max_age", int64(c.config.Quarantine.MaxAge))
	if queue.CommitTimeout < 0 || queue.CommitTimeout >= c.config.HTTP.WriteTimeout {
		c.fail("queue.commit_timeout", "is %v; want less than http.write_timeout, which is %v, so that clients can be told, or 0 to wait for the disk", queue.CommitTimeout, c.config.HTTP.WriteTimeout)
	}
	c.atLeast("queue.segment_bytes", queue.SegmentBytes, 64<<10)
	if queue.MaxBytes < queue.SegmentBytes {
		c.fail("queue.max_bytes", "is %v; want at least queue.segment_bytes, which is %v", queue.MaxBytes, queue.SegmentBytes)
	}
	if queue.KeepBytes > queue.MaxBytes {
		c.fail("queue.keep_bytes", "is %v; want at most queue.max_bytes, which is %v, or 0 to keep nothing that was delivered", queue.KeepBytes, queue.MaxBytes)
	}
}

func (c *checker) positive(key string, value int64) {
	if value <= 0 {
		c.fail(key, "want more than zero")
	}
}

func (c *checker) atLeast(key string, value, least ByteSize) {
	if value < least {
		c.fail(key, "is %v; want at least %v", value, least)
	}
}

// between checks a number that a limit of the program bounds.
func (c *checker) between(key string, value, least, most int) {
	if value < least || value > most {
		c.fail(key, "is %d; want %d to %d", value, least, most)
	}
}

// paths checks that every request belongs to one source at most.
func (c *checker) paths() {
	owners := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(c.config.Sources)) {
		key := "sources." + name + ".path"
		at := c.config.Sources[name].Path
		if !c.pattern(key, at, c.config.Sources[name].Auth) {
			continue
		}
		if !cleanPath(at) {
			c.fail(key, "%s: want a path such as /app, without a slash at its end and without any of ?#%%", c.said(key, at))
			continue
		}
		at = urlpath.Shape(at)
		for _, used := range []string{at, strings.TrimSuffix(at, "/") + batchSuffix} {
			if owner, taken := owners[used]; taken {
				c.fail(key, "the source %q uses the same path, or the one of its batches (%s below its path)", owner, batchSuffix)
				break
			}
			owners[used] = name
		}
	}
}

// pattern checks a path of which parts stand for others.
func (c *checker) pattern(key, at string, ways []Auth) bool {
	compiled, err := urlpath.Compile(at)
	switch other := patternIn(at); {
	case err != nil:
		c.fail(key, "%s: %w", c.said(key, at), err)
		return false
	case other != "":
		c.fail(key, "%s: %s matches nothing here; want {NAME} for one segment, or * as the last one for all that is below", c.said(key, at), other)
		return false
	}
	for _, name := range compiled.Names() {
		for i, way := range ways {
			if _, twice := way.JWT.Claims[name]; twice {
				c.fail(fmt.Sprintf("sources.%s.auth[%d].jwt.claims.%s", strings.Split(key, ".")[1], i, name),
					"the path gives an attribute of this name too; rename one of them")
			}
		}
	}
	return true
}

// patternIn is the part of a path that looks as if it stood for other paths: in a path that is
// taken as it is written, no request would ever meet it.
func patternIn(at string) string {
	for part := range strings.SplitSeq(at, "/") {
		if strings.ContainsAny(part, "[]<>|^`") || strings.HasPrefix(part, ":") || part == "+" ||
			part == "..." {
			return strconv.Quote(part)
		}
	}
	return ""
}

func cleanPath(at string) bool {
	if !strings.HasPrefix(at, "/") || path.Clean(at) != at || strings.ContainsAny(at, "?#%\\\"") {
		return false
	}
	return !strings.ContainsFunc(at, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func (c *checker) source(key string, source Source) {
	switch {
	case source.MaxBody <= 0 || source.MaxBody > MaxBody:
		c.fail(key+".max_body", "is %v; want 1 to %v", source.MaxBody, MaxBody)
	case source.MaxBody > c.config.HTTP.MaxInFlightBytes:
		c.fail(key+".max_body", "is %v; want at most http.max_in_flight_bytes, which is %v",
			source.MaxBody, c.config.HTTP.MaxInFlightBytes)
	}
	c.rates(key+".rate", source)
	c.masks(key, source)
	if content := source.Idempotency.Content; content != ContentCompare && content != ContentIgnore {
		c.fail(key+".idempotency.content", "%s: want %s or %s", c.said(key+".idempotency.content", content),
			ContentCompare, ContentIgnore)
	}
	c.headers(key+".headers.allow", source.Headers.Allow)
	c.headers(key+".headers.deny", source.Headers.Deny)
	for i, name := range source.Headers.Allow {
		if item := fmt.Sprintf("%s.headers.allow[%d]", key, i); evidence.IsSecret(name) {
			c.fail(item, "%s carries a bearer secret and is never kept; remove it (docs/SECURITY.md has the list)", c.said(item, name))
		} else if evidence.IsOfConnection(name) {
			c.fail(item, "%s is of the connection and is never kept; remove it", c.said(item, name))
		}
	}
}

func (c *checker) headers(key string, names []string) {
	for i, name := range names {
		if item := fmt.Sprintf("%s[%d]", key, i); !headerForm.MatchString(name) {
			c.fail(item, "%s is no name of a header", c.said(item, name))
		}
	}
}

// destination also notes which sources it takes.
func (c *checker) destination(key string, destination Destination, taken map[string]bool) {
	c.url(key+".url", destination.URL, "sqlite:")
	if len(destination.Sources) == 0 {
		c.fail(key+".sources", "is empty; name the sources that it takes, such as [%s]",
			strings.Join(slices.Sorted(maps.Keys(c.config.Sources)), ", "))
	}
	seen := make(map[string]bool)
	for i, name := range destination.Sources {
		item := fmt.Sprintf("%s.sources[%d]", key, i)
		if _, exists := c.config.Sources[name]; !exists {
			c.fail(item, "there is no source %s; there are %s", c.said(item, name),
				strings.Join(slices.Sorted(maps.Keys(c.config.Sources)), ", "))
		} else if seen[name] {
			c.fail(item, "the source %q is there twice", name)
		}
		seen[name], taken[name] = true, true
	}
	c.filter(key, destination)
	c.shape(key+".shape", destination.Shape)
	c.between(key+".max_attempts", destination.MaxAttempts, 1, maxAttempts)
	c.backoff(key+".backoff", destination.Backoff)
	c.backoff(key+".probe", destination.Probe)
	c.between(key+".batch.max_events", destination.Batch.MaxEvents, 1, maxBatchEvents)
	c.positive(key+".batch.max_bytes", int64(destination.Batch.MaxBytes))
	c.positive(key+".write_timeout", int64(destination.WriteTimeout))
	c.webhook(key, destination)
	c.broker(key, destination)
	c.noOwner(key, destination)
}

// Limits of numbers: all attempts of an event are kept with it, and all events of a batch are in
// memory.
const (
	maxAttempts    = 100
	maxBatchEvents = 100_000
	maxBatchItems  = 100_000
)

func (c *checker) backoff(key string, backoff Backoff) {
	c.positive(key+".initial", int64(backoff.Initial))
	if backoff.Max < backoff.Initial {
		c.fail(key+".max", "is %v; want at least initial, which is %v", backoff.Max, backoff.Initial)
	}
}

func (c *checker) http() {
	http := c.config.HTTP
	c.positive("admin.max_followers", int64(c.config.Admin.MaxFollowers))
	c.positive("http.read_header_timeout", int64(http.ReadHeaderTimeout))
	c.positive("http.read_timeout", int64(http.ReadTimeout))
	c.positive("http.write_timeout", int64(http.WriteTimeout))
	c.positive("http.idle_timeout", int64(http.IdleTimeout))
	c.atLeast("http.max_header_bytes", http.MaxHeaderBytes, 1<<10)
	c.positive("http.max_connections", int64(http.MaxConnections))
	c.positive("http.body_grace", int64(http.BodyGrace))
	if http.MaxPerAddress < 0 {
		c.fail("http.max_connections_per_address", "is %d; want 0, for no limit, or more",
			http.MaxPerAddress)
	}
	c.serverRate()
	c.positive("http.max_batch_bytes", int64(http.MaxBatchBytes))
	c.between("http.max_batch_items", http.MaxBatchItems, 1, maxBatchItems)
	if http.MaxWait >= http.WriteTimeout {
		// The answer would be cut off before it is written.
		c.fail("http.max_wait", "is %v; want less than http.write_timeout, which is %v", http.MaxWait,
			http.WriteTimeout)
	}
	if http.MaxBatchBytes > http.MaxInFlightBytes {
		c.fail("http.max_batch_bytes", "is %v; want at most http.max_in_flight_bytes, which is %v",
			http.MaxBatchBytes, http.MaxInFlightBytes)
	}
}

func (c *checker) rest() {
	c.positive("shutdown.drain_timeout", int64(c.config.Shutdown.DrainTimeout))
	c.oneOf("log.level", c.config.Log.Level, "debug", "info", "warn", "error")
	c.oneOf("log.access", c.config.Log.Access, AccessOff, "json", "combined")
	c.receiver("tracing.otlp", c.config.Tracing.OTLP)
	c.receiver("metrics.otlp", c.config.Metrics.OTLP)
	c.canary()
	if every := c.config.Metrics.Every; every < seconds(1) {
		c.fail("metrics.every", "is %v; want at least 1s", every)
	}
	c.oneOf("log.format", c.config.Log.Format, "auto", "text", "json")
}

func (c *checker) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		c.fail(key, "%s: want one of %s", c.said(key, value), strings.Join(allowed, ", "))
	}
}

// encryption looks at the keys that wrap data keys. Whether they can be had is found out at a start.
func (c *checker) encryption() {
	const example = "file:/etc/pillarbox/encryption.key"
	e := c.config.Encryption
	if e.Key != "" {
		c.url("encryption.key", e.Key, example)
	}
	for i, old := range e.OldKeys {
		c.url("encryption.old_keys", old, example)
		if old == e.Key || slices.Contains(e.OldKeys[:i], old) {
			c.fail("encryption.old_keys", "names %q twice, or as encryption.key too; name it once", old)
		}
	}
}
