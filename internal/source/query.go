package source

import (
	"strings"

	"pillarbox/internal/evidence"
	"pillarbox/internal/telemetry"
)

// separators stand between the parameters of a query: & (WHATWG URL, section 5.1), and ; which some
// servers take besides (HTML 4.01, appendix B.2.2).
const separators = "&;"

// keepQuery is what is kept of a query: all of it as it came, byte for byte, with Redacted in place
// of the values of parameters that carry secrets.
func (k *keeper) keepQuery(query string) string {
	return k.cleanQuery(query, func(name string) { k.remove(telemetry.RemovedParameter, name) })
}

// cleanQuery calls removed for each value that it replaces.
func (k *keeper) cleanQuery(query string, removed func(name string)) string {
	var out strings.Builder
	done := 0 // of the query, that is in out
	for at := 0; at < len(query); {
		end := at + length(query[at:], separators)
		name, value, _ := strings.Cut(query[at:end], "=")
		if value != "" && value != Redacted && k.parameters.of(name, parameterFate) == asSecret {
			out.WriteString(query[done : end-len(value)])
			out.WriteString(Redacted)
			done = end
			removed(name)
		}
		at = end + 1
	}
	if done == 0 {
		return query
	}
	out.WriteString(query[done:])
	return out.String()
}

// length is how many bytes of text stand before the first of the characters.
func length(text, characters string) int {
	if at := strings.IndexAny(text, characters); at >= 0 {
		return at
	}
	return len(text)
}

func parameterFate(name string) fate {
	if evidence.IsSecretParameter(name) {
		return asSecret
	}
	return kept
}

// cleanURL replaces in a URL what is before the @ of its authority, and the values of parameters of
// query and fragment that carry secrets.
func (k *keeper) cleanURL(url string) (clean string, removed bool) {
	note := func(string) { removed = true }
	at := length(url, "?#")
	front := url[:at]
	if scheme, rest, found := strings.Cut(front, "//"); found {
		authority := rest[:length(rest, `/\`)]
		if end := strings.LastIndexByte(authority, '@'); end > 0 && authority[:end] != Redacted {
			front = scheme + "//" + Redacted + rest[end:]
			removed = true
		}
	}
	query, fragment, hasFragment := strings.Cut(url[at:], "#")
	clean = front
	if query != "" { // with its question mark
		clean += "?" + k.cleanQuery(query[1:], note)
	}
	if hasFragment {
		clean += "#" + k.cleanQuery(fragment, note)
	}
	if !removed {
		return url, false
	}
	return clean, true
}
