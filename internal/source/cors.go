package source

import (
	"net/http"
	"strconv"
	"strings"

	"pillarbox"
	"pillarbox/internal/protocol"
)

// CORS says which pages of other sites may send to a source and read its answers (Fetch Standard,
// section 3.2). The zero value lets none.
type CORS struct {
	Origins     []string // as "https://example.org", or AnyOrigin alone
	Credentials bool     // of the browser: cookies, and what it keeps for Basic. Never with AnyOrigin
}

// AnyOrigin stands for all of them.
const AnyOrigin = "*"

const (
	// preflightSeconds is for how long a browser remembers what it may send: two hours, which is the
	// most that Chromium believes.
	preflightSeconds = 2 * 60 * 60
	// maxAskedHeaders bounds the list of headers that a preflight asks for, in bytes.
	maxAskedHeaders = 1 << 10
	// exposed are the headers of answers that a page may read besides those that it always may.
	exposed = "X-Request-Id, " + pillarbox.HeaderReplayed + ", Retry-After, Preference-Applied, RateLimit, RateLimit-Policy"
)

// cors is a compiled CORS. It never changes.
type cors struct {
	any         bool
	credentials bool
	lines       map[string]string // of an answer to a page of that origin; the empty one is any other
}

// newCORS returns nil for a source that pages of other sites may not send to.
func newCORS(settings CORS) *cors {
	if len(settings.Origins) == 0 {
		return nil
	}
	c := &cors{credentials: settings.Credentials, lines: map[string]string{"": "Vary: Origin\r\n"}}
	for _, origin := range settings.Origins {
		header := http.Header{}
		c.any = c.any || origin == AnyOrigin
		c.allow(header, origin)
		var lines strings.Builder
		_ = header.Write(&lines) // into memory
		c.lines[origin] = lines.String()
	}
	return c
}

// allow sets what tells a browser that its page may read an answer.
func (c *cors) allow(header http.Header, origin string) {
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Expose-Headers", exposed)
	if origin != AnyOrigin {
		header.Set("Vary", "Origin")
		if c.credentials {
			header.Set("Access-Control-Allow-Credentials", "true")
		}
	}
}

// origin is the origin that an answer names: that of the request where it is allowed, AnyOrigin, or
// nothing.
func (c *cors) origin(header pillarbox.Header) string {
	if c.any {
		return AnyOrigin
	}
	found := ""
	for i := range header {
		if header[i].Name != "Origin" {
			continue
		}
		if _, allowed := c.lines[header[i].Value]; !allowed || found != "" {
			return ""
		}
		found = header[i].Value
	}
	return found
}

// OriginLines are the header lines that an answer to a request has for the page that it may be of,
// each with its line end. It costs no allocation.
func (s *Source) OriginLines(header pillarbox.Header) string {
	if s.cors == nil {
		return ""
	}
	return s.cors.lines[s.cors.origin(header)]
}

// AllowOrigin sets in the header of an answer what OriginLines are. It is a front's first word, so
// that a refusal can be read too; what an answer says of itself goes before it.
func (s *Source) AllowOrigin(answer http.Header, request pillarbox.Header) {
	if s.cors == nil {
		return
	}
	if origin := s.cors.origin(request); origin != "" {
		s.cors.allow(answer, origin)
		return
	}
	answer.Set("Vary", "Origin")
}

// possible answers OPTIONS (RFC 9110, section 9.3.7), of a browser for its page too.
func (s *Source) possible(head *Head, allow string) error {
	reply := &protocol.Reply{Status: http.StatusNoContent, Header: http.Header{"Allow": {allow}}}
	if s.cors == nil {
		return reply
	}
	asked, isPreflight := "", false
	for _, field := range head.Header {
		switch field.Name {
		case "Access-Control-Request-Method":
			isPreflight = true
		case "Access-Control-Request-Headers":
			asked = field.Value
		}
	}
	origin := s.cors.origin(head.Header)
	if origin == "" || !isPreflight {
		return reply
	}
	s.cors.allow(reply.Header, origin)
	reply.Header.Set("Access-Control-Allow-Methods", allow)
	reply.Header.Set("Access-Control-Max-Age", strconv.Itoa(preflightSeconds))
	reply.Header.Set("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	if areNames(asked) {
		reply.Header.Set("Access-Control-Allow-Headers", asked)
	}
	return reply
}

// areNames reports whether a text is a list of names of headers that may be sent back.
func areNames(list string) bool {
	if list == "" || len(list) > maxAskedHeaders {
		return false
	}
	for name := range strings.SplitSeq(list, ",") {
		if !isToken(strings.Trim(name, " \t")) {
			return false
		}
	}
	return true
}
