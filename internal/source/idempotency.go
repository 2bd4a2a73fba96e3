package source

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
	"sync"

	"github.com/tidwall/gjson"

	"pillarbox"
	"pillarbox/internal/jsontext"
	"pillarbox/internal/protocol"
)

// DefaultKey is where the idempotency key of a request stands if a source says nothing
// (draft-ietf-httpapi-idempotency-key-header).
const DefaultKey = "header:Idempotency-Key"

// MaxKeyBytes is the longest key that a header may have, in bytes.
const MaxKeyBytes = 255

// keyForms are what a source may say of where its keys stand.
const keyForms = "header:NAME, body:/JSON/POINTER, cloudevents or none"

// keyRule is a compiled place of idempotency keys.
type keyRule struct {
	header     string // canonical name
	pointer    string // as a path of gjson
	cloudEvent bool
}

// compileKey reads one of keyForms; nothing is DefaultKey.
func compileKey(text string) (keyRule, error) {
	if text == "" {
		text = DefaultKey
	}
	kind, rest, _ := strings.Cut(text, ":")
	switch {
	case text == "none":
		return keyRule{}, nil
	case text == "cloudevents":
		return keyRule{cloudEvent: true}, nil
	case kind == "header" && isToken(rest):
		return keyRule{header: textproto.CanonicalMIMEHeaderKey(rest)}, nil
	case kind == "body" && strings.HasPrefix(rest, "/"):
		return keyRule{pointer: jsontext.ParsePointer(rest).Path()}, nil
	}
	return keyRule{}, pillarbox.Invalid("%q: want %s", text, keyForms)
}

// isToken reports whether a name can be that of a header (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	for _, c := range []byte(name) {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
		if !plain {
			return false
		}
	}
	return name != ""
}

// headerKey returns the digest of the key in the header, and whether there is one.
func (s *Source) headerKey(header pillarbox.Header, caller string) (digest [16]byte, found bool, err error) {
	if s.key.header == "" {
		return digest, false, nil
	}
	for i := range header {
		if header[i].Name != s.key.header {
			continue
		}
		if found {
			return digest, false, badKey("there are several lines of %s", s.key.header)
		}
		found = true
		key, err := parseKey(header[i].Value)
		if err != nil {
			return digest, false, badKey("%s: %w", s.key.header, err)
		}
		digest = digestOf(s.Name, caller, key)
	}
	return digest, found, nil
}

func badKey(format string, arguments ...any) error {
	return &protocol.Error{Status: 400, Detail: fmt.Errorf(format, arguments...).Error() +
		"; nothing was stored"}
}

// parseKey reads a key as a plain text, or as a string of structured fields (RFC 9651, section
// 3.3.3): both are in use.
func parseKey(text string) (string, error) {
	key := text
	if strings.HasPrefix(text, `"`) {
		if len(text) < 2 || !strings.HasSuffix(text, `"`) {
			return "", fmt.Errorf("the quotes of the key do not end")
		}
		key = unescape(text[1 : len(text)-1])
	}
	switch {
	case key == "":
		return "", fmt.Errorf("the key is empty")
	case len(key) > MaxKeyBytes:
		return "", fmt.Errorf("the key has %d bytes, and may have %d", len(key), MaxKeyBytes)
	}
	return key, nil
}

func unescape(text string) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		plain.WriteByte(text[i])
	}
	return plain.String()
}

// bodyKey returns the key in a body, or nothing.
func (r *keyRule) bodyKey(content *Content) string {
	switch {
	case r.cloudEvent && content.Facts != nil && content.Facts.CEID != "":
		return content.Facts.CESource + "\x00" + content.Facts.CEID
	case r.cloudEvent:
		return cloudEventKey(content.Header, content.Body)
	case r.pointer != "":
		return scalar(gjson.GetBytes(content.Body, r.pointer))
	}
	return ""
}

// scalar is the text of what can be a key: a string, a number or a truth value.
func scalar(value gjson.Result) string {
	switch value.Type {
	case gjson.String:
		return value.Str
	case gjson.Number, gjson.True, gjson.False:
		return value.Raw
	}
	return ""
}

// cloudEventKey is what names something that has the source and id of a CloudEvent (CloudEvents
// 1.0.2, section "id") and is none: of the header, else of the body.
func cloudEventKey(header pillarbox.Header, body []byte) string {
	var id, from string
	for i := range header {
		switch header[i].Name {
		case "Ce-Id":
			id = header[i].Value
		case "Ce-Source":
			from = header[i].Value
		}
	}
	if id == "" {
		id, from = gjson.GetBytes(body, "id").Str, gjson.GetBytes(body, "source").Str
	}
	if id == "" || from == "" {
		return ""
	}
	return from + "\x00" + id
}

// buffers are used again: an event costs two sums, each over one piece of memory, which is several
// times as fast as over many.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxBuffer bounds what is kept for the next sum, in bytes.
const maxBuffer = 64 << 10

// sumOf is the SHA-256 of a list of texts and a body; no two lists have the same.
func sumOf(body []byte, texts ...string) [sha256.Size]byte {
	pooled := buffers.Get().(*[]byte)
	b := (*pooled)[:0]
	for _, text := range texts {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	b = append(b, body...)
	sum := sha256.Sum256(b)
	if cap(b) <= maxBuffer {
		*pooled = b
		buffers.Put(pooled)
	}
	return sum
}

// digestOf is the digest of a key in its scope: it belongs to source and caller.
func digestOf(scope, caller, key string) [16]byte {
	sum := sumOf(nil, "key", scope, caller, key)
	return [16]byte(sum[:16])
}

// fingerprint is that of the content of a request.
func fingerprint(method, path, query string, body []byte) uint64 {
	sum := sumOf(body, "content", method, path, query)
	return binary.LittleEndian.Uint64(sum[:])
}

// Content is what of a request belongs to its fingerprint.
type Content struct {
	Method, Path, Query string
	Header              pillarbox.Header
	Body                []byte
	Facts               *pillarbox.Facts // of the event; nil for none
}

// Idempotency is by what a request is known when it comes again; zero where it has no key.
func (g Grant) Idempotency(content *Content) pillarbox.Idempotency {
	if g.keyed {
		return g.idempotency(g.key, content)
	}
	if key := g.source.key.bodyKey(content); key != "" {
		return g.idempotency(digestOf(g.source.Name, g.who.caller, key), content)
	}
	return pillarbox.Idempotency{}
}

// ItemIdempotency is that of an item of a batch: a key in a header is that of the batch, and each
// item has one of its own by its place.
func (g Grant) ItemIdempotency(index int, content *Content) pillarbox.Idempotency {
	if !g.keyed {
		content.Header = nil // it is of the batch
		return g.Idempotency(content)
	}
	key := digestOf(g.source.Name, g.who.caller, "item "+strconv.Itoa(index)+" of "+string(g.key[:]))
	return g.idempotency(key, content)
}

func (g Grant) idempotency(key [16]byte, content *Content) pillarbox.Idempotency {
	known := pillarbox.Idempotency{Key: key}
	if !g.source.KeyAlone {
		known.Fingerprint = fingerprint(content.Method, content.Path, content.Query, content.Body)
	}
	return known
}
