package source

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"pillarbox"
	"pillarbox/internal/jsontext"
	"pillarbox/internal/protocol"
	"pillarbox/internal/telemetry"
)

// Places are where values stand that are not kept as they came.
type Places struct {
	Headers []string // names, in any case
	Query   []string // names of parameters, decoded
	JSON    []string // pointers into the body (RFC 6901); * stands for every item of an array and every member of an object
}

func (p *Places) isZero() bool { return len(p.Headers)+len(p.Query)+len(p.JSON) == 0 }

// Hash replaces values by a digest, by which equal ones can still be told.
type Hash struct {
	Places
	Key []byte // of the HMAC: without one, whoever has a list of possible values finds the right one
}

// HashPrefix stands in front of a digest.
const HashPrefix = "hmac-sha256:"

// MaxHashKey is the longest key, in bytes; a longer one is no better than its SHA-256 (RFC 2104,
// section 3).
const MaxHashKey = 64

// masks replace values by rule.
type masks struct {
	headers, query map[string]fate // by name, headers in small letters
	json           []mask
	facts          [ceFacts]fate // of the attributes of a CloudEvent
	key            []byte
}

// ceFacts is how many attributes of a CloudEvent are facts: the names below, in the order of ceTexts.
const ceFacts = 5

var ceNames = [ceFacts]string{"id", "source", "type", "time", "subject"}

func ceTexts(f *pillarbox.Facts) [ceFacts]*string {
	return [ceFacts]*string{&f.CEID, &f.CESource, &f.CEType, &f.CETime, &f.CESubject}
}

// mask is a place in the body.
type mask struct {
	pointer jsontext.Pointer
	fate    fate // redacted or hashed
}

// newMasks returns nil where nothing is replaced by rule.
func newMasks(settings *Settings) *masks {
	if settings.Redact.isZero() && settings.Hash.isZero() {
		return nil
	}
	m := &masks{headers: map[string]fate{}, query: map[string]fate{}, key: settings.Hash.Key}
	m.add(&settings.Redact, redacted)
	m.add(&settings.Hash.Places, hashed)
	return m
}

func (m *masks) add(places *Places, what fate) {
	for _, name := range places.Headers {
		m.headers[strings.ToLower(name)] = what
	}
	for _, name := range places.Query {
		m.query[name] = what
	}
	for _, pointer := range places.JSON {
		m.json = append(m.json, mask{pointer: jsontext.ParsePointer(pointer), fate: what})
	}
	for i, name := range ceNames {
		if m.headers["ce-"+name] == what || slices.Contains(places.JSON, "/"+name) || slices.Contains(places.JSON, "/*") {
			m.facts[i] = what
		}
	}
}

// MaskFacts replaces what is known of an event by the header or the place in the body that a rule
// names. It comes after the idempotency key, which is over what came.
func (s *Source) MaskFacts(facts *pillarbox.Facts) {
	m := s.keeper.masks
	if m == nil || facts == nil {
		return
	}
	for i, text := range ceTexts(facts) {
		if what := m.facts[i]; what != kept && *text != "" && !s.keeper.replaced(what, *text) {
			*text = m.replace(what, *text)
		}
	}
}

// ofHeader is what a rule says of a header.
func (m *masks) ofHeader(name string) (what fate, ruled bool) {
	if m == nil {
		return kept, false
	}
	what, ruled = m.headers[strings.ToLower(name)]
	return what, ruled
}

// ofParameter is what a rule says of a parameter of the query, whose name is decoded.
func (m *masks) ofParameter(name string) (what fate, ruled bool) {
	if m == nil {
		return kept, false
	}
	what, ruled = m.query[name]
	return what, ruled
}

// replace returns what stands in the place of a value.
func (m *masks) replace(what fate, value string) string {
	if what != hashed {
		return Redacted
	}
	mac := hmac.New(sha256.New, m.key)
	mac.Write([]byte(value))
	return HashPrefix + hex.EncodeToString(mac.Sum(nil))
}

// isDigest reports whether a value is what replace makes.
func isDigest(value string) bool {
	digest, found := strings.CutPrefix(value, HashPrefix)
	_, err := hex.DecodeString(digest)
	return found && err == nil && len(digest) == 2*sha256.Size
}

// removal is as what a replacement is counted.
func (f fate) removal() telemetry.Removal {
	if f == hashed {
		return telemetry.Hashed
	}
	return telemetry.Redacted
}

// parameterName is the name of a parameter as it was meant (WHATWG URL, section 5.1).
func parameterName(encoded string) string {
	if !strings.ContainsAny(encoded, "%+") {
		return encoded
	}
	if decoded, err := url.QueryUnescape(encoded); err == nil {
		return decoded
	}
	return encoded
}

// errNoJSON refuses a body of which no rule can tell what it holds.
var errNoJSON = &protocol.Error{Status: 400,
	Detail: "the source replaces values in JSON, and the body is no JSON text in UTF-8; nothing was stored"}

// KeepBody returns what is kept of a body: all of it as it came, byte for byte, with other strings in
// the place of the values that a rule names. The body that is handed in is not changed. Errors: one
// for the client, where there is such a rule and the body is no JSON: it would be kept with all that
// the rule is there for. An empty body holds nothing.
func (s *Source) KeepBody(body []byte, removed *Removed) ([]byte, error) {
	m := s.keeper.masks
	if m == nil || len(m.json) == 0 || len(body) == 0 {
		return body, nil
	}
	if len(body) > maxMaskedBody {
		return nil, fmt.Errorf("the source replaces values in JSON, and does so in bodies of up to %d bytes: %w", maxMaskedBody, pillarbox.ErrTooLarge)
	}
	text := jsontext.Text(body)
	if !jsontext.Valid(text) {
		return nil, errNoJSON
	}
	w := masking{keeper: s.keeper, removed: removed}
	root := gjson.ParseBytes(text)
	for i := range m.json {
		m.json[i].pointer.Find(root, func(value gjson.Result) { w.note(&m.json[i], value) })
	}
	kept := w.edits.Apply(text)
	if lead := len(body) - len(text); lead > 0 {
		kept = append(body[:lead:lead], kept...)
	}
	return kept, nil
}

// maxMaskedBody is the largest body that values are replaced in: the hard limit of max_body.
const maxMaskedBody = 16 << 20

// masking replaces values of one body.
type masking struct {
	keeper  *keeper
	removed *Removed
	edits   jsontext.Edits
}

// note notes one value. What is replaced already stays: the text is the same when it comes again, as
// from a replay.
func (w *masking) note(m *mask, value gjson.Result) {
	plain := value.String()
	if value.Type == gjson.Null || w.keeper.replaced(m.fate, plain) {
		return
	}
	w.edits.Replace(value, strconv.Quote(w.keeper.masks.replace(m.fate, plain)))
	w.keeper.count(m.fate.removal(), 1)
	w.removed.note(m.fate.removal(), inJSON, m.pointer.Text)
}
