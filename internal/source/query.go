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
// of the values of parameters that carry secrets, and with what rules put in place of others.
func (k *keeper) keepQuery(query string, removed *Removed) string {
	return k.cleanQuery(query, func(what fate, name string) {
		if what == asSecret {
			k.remove(telemetry.RemovedParameter, inQuery, name, removed)
			return
		}
		k.remove(what.removal(), inQuery, parameterName(name), removed)
	})
}

// cleanQuery calls replaced for each value that it replaces.
func (k *keeper) cleanQuery(query string, replaced func(what fate, name string)) string {
	var out strings.Builder
	done := 0 // of the query, that is in out
	for at := 0; at < len(query); {
		end := at + length(query[at:], separators)
		name, value, _ := strings.Cut(query[at:end], "=")
		what := kept
		if value != "" {
			what = k.parameters.of(name, k.parameterFate)
		}
		if what != kept && !k.replaced(what, value) {
			out.WriteString(query[done : end-len(value)])
			if what == asSecret {
				out.WriteString(Redacted)
			} else {
				out.WriteString(k.masks.replace(what, parameterName(value)))
			}
			done = end
			replaced(what, name)
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

func (k *keeper) parameterFate(name string) fate {
	if what, ruled := k.masks.ofParameter(parameterName(name)); ruled {
		return what
	}
	if evidence.IsSecretParameter(name) {
		return asSecret
	}
	return kept
}

// cleanURL replaces in a URL what is before the @ of its authority, and the values of parameters of
// query and fragment that carry secrets.
func (k *keeper) cleanURL(url string, noted *Removed) (clean string, removed bool) {
	replaced := false
	note := func(what fate, name string) {
		if what == asSecret {
			removed = true
			return
		}
		k.remove(what.removal(), inURL, parameterName(name), noted)
		replaced = true
	}
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
	if !removed && !replaced {
		return url, false
	}
	return clean, removed
}
