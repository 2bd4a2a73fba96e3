package source

import (
	"strconv"
	"strings"

	"pillarbox/internal/telemetry"
)

// maxRemoved bounds what is said of one event, in bytes; the rest is counted.
const maxRemoved = 1 << 10

// Removed says what is not kept of a request, for people: names of what was left out or replaced,
// and never a value. A nil Removed takes no note.
type Removed struct {
	text string
	more int
}

// String is the list, as in "header Authorization, hashed json /email"; empty where all is kept.
func (r *Removed) String() string {
	if r == nil || r.more == 0 {
		return r.list()
	}
	return r.text + ", and " + strconv.Itoa(r.more) + " more"
}

func (r *Removed) list() string {
	if r == nil {
		return ""
	}
	return r.text
}

// note adds a name to the list, once.
func (r *Removed) note(what telemetry.Removal, where, name string) {
	if r == nil {
		return
	}
	said := said(what, where, name)
	switch {
	case r.text == "":
		r.text = said
	case r.has(said):
	case len(r.text)+len(said) > maxRemoved:
		r.more++
	default:
		r.text += ", " + said
	}
}

// Add adds what another one says, which is about another part of the request.
func (r *Removed) Add(other *Removed) {
	switch {
	case other.text == "":
	case r.text == "":
		r.text = other.text
	case len(r.text)+len(other.text) > maxRemoved:
		r.more += 1 + strings.Count(other.text, ", ")
	default:
		r.text += ", " + other.text
	}
	r.more += other.more
}

func (r *Removed) has(said string) bool {
	for one := range strings.SplitSeq(r.text, ", ") {
		if one == said {
			return true
		}
	}
	return false
}

// The places that something is removed from.
const (
	inHeader = "header"
	inQuery  = "query"
	inURL    = "url"
	inJSON   = "json"
)

func said(what telemetry.Removal, where, name string) string {
	if what == telemetry.RemovedHeader { // of nearly every request that has a key
		switch name {
		case "Authorization":
			return "header Authorization"
		case "X-Api-Key":
			return "header X-Api-Key"
		}
	}
	if !plainName(name) {
		name = strconv.QuoteToASCII(name)
	}
	switch what {
	case telemetry.RemovedByRule:
		return where + " " + name + " by rule"
	case telemetry.Redacted, telemetry.Hashed:
		return what.String() + " " + where + " " + name
	}
	return where + " " + name
}

// plainName reports whether a name can stand in the list as it is.
func plainName(name string) bool {
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == ',' || c == '"' {
			return false
		}
	}
	return name != ""
}
