package config

import (
	"net/url"
	"regexp"
	"strings"
)

var (
	schemeForm = regexp.MustCompile(`^[a-z][a-z0-9+.-]*:`)
	// secretParameter matches the names of URL parameters in which drivers take credentials.
	secretParameter = regexp.MustCompile(`(?i)passw|pwd|secret|token|api_?key|access_?key|credential`)
	// opaqueLogin matches user:password@ where no slashes stand before it.
	opaqueLogin = regexp.MustCompile(`^[^/?]*:[^/?]*@`)
)

// url checks the syntax of an engine's URL, and that it holds no credentials. The scheme is not
// looked up. No error repeats any of the URL: it may hold a password after all.
func (c *checker) url(key, text, example string) {
	switch {
	case text == "":
		c.fail(key, "is missing; write a URL such as %q", example)
	case !schemeForm.MatchString(text):
		c.fail(key, "want a URL that starts with a scheme in lower case, such as %q", example)
	case !validURL(text):
		c.fail(key, "is no valid URL")
	case hasCredentials(text):
		c.fail(key, "holds credentials; remove them from the URL and give them in the environment or in a file")
	}
}

// validURL also takes lists of hosts, which net/url does not.
func validURL(text string) bool {
	for _, single := range singleHosts(text) {
		if _, err := url.Parse(single); err != nil {
			return false
		}
	}
	return true
}

// singleHosts returns one URL for each host in a list of them.
func singleHosts(text string) []string {
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		return []string{text}
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	login := ""
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		login, authority = authority[:at+1], authority[at+1:]
	}
	var singles []string
	for host := range strings.SplitSeq(authority, ",") {
		singles = append(singles, scheme+"://"+login+host+tail)
	}
	return singles
}

// hasCredentials expects a valid URL.
func hasCredentials(text string) bool {
	parsed, err := url.Parse(singleHosts(text)[0])
	if err != nil {
		return true // not to be shown to anybody
	}
	if parsed.User != nil {
		// A user without a password is a name with PostgreSQL, and a token with NATS and others.
		_, password := parsed.User.Password()
		if password || !strings.HasPrefix(parsed.Scheme, "postgres") {
			return true
		}
	}
	for name := range parsed.Query() {
		if secretParameter.MatchString(name) {
			return true
		}
	}
	return opaqueLogin.MatchString(parsed.Opaque)
}
