package signature

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// Description describes a scheme: where the signature stands, how it is written, and what is
// signed. Zero means the default.
type Description struct {
	Header    string // where the signature stands
	Field     string // of a list as in "t=1,v1=ab": v1, or several; empty for the whole value
	Algorithm string // one of Algorithms
	Encoding  string // one of Encodings; Hex. Tokens have none
	Prefix    string // in front of the signature: "sha256="

	// Signed is what is signed, with {timestamp} {id} {method} {path} {query} {url} {body}; {body}
	// by default. It holds {body}: a signature that does not cover it proves nothing of it.
	Signed string

	SecretEncoding string // Text, Hex or Base64: how the secret of HMAC is written; Text

	// The signed time stands in a header of its own, or in a field of the list.
	TimestampHeader string
	TimestampField  string
	TimestampFormat string // one of TimestampFormats; Unix

	IDHeader string // where the id of the event stands, if it is signed

	strict bool // in the one way of the sender's documents: see form; and no spaces in a list
}

// Text is the encoding of a secret that is its bytes.
const Text = "text"

// first is the key of the first value that is set, or "".
func (d *Description) first() string {
	for _, f := range []struct{ key, value string }{
		{"header", d.Header}, {"field", d.Field}, {"algorithm", d.Algorithm}, {"encoding", d.Encoding},
		{"prefix", d.Prefix}, {"signed", d.Signed}, {"secret_encoding", d.SecretEncoding},
		{"timestamp_header", d.TimestampHeader}, {"timestamp_field", d.TimestampField},
		{"timestamp_format", d.TimestampFormat}, {"id_header", d.IDHeader},
	} {
		if f.value != "" {
			return f.key
		}
	}
	return ""
}

func (d *Description) timed() bool { return d.TimestampHeader != "" || d.TimestampField != "" }

func (d *Description) signs(p part) bool { return strings.Contains(d.Signed, placeholders[p]) }

// part is a piece of what is signed.
type part uint8

const (
	partText part = iota
	partTimestamp
	partID
	partMethod
	partPath
	partQuery
	partURL
	partBody
	partsOfAll
)

var placeholders = [partsOfAll]string{
	partTimestamp: "{timestamp}", partID: "{id}", partMethod: "{method}", partPath: "{path}",
	partQuery: "{query}", partURL: "{url}", partBody: "{body}",
}

// piece is a placeholder, or text as it stands.
type piece struct {
	part part
	text string
}

// parse takes a template apart.
func parse(template string) ([]piece, error) {
	var pieces []piece
	for rest := template; rest != ""; {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			return append(pieces, piece{text: rest}), nil
		}
		if open > 0 {
			pieces = append(pieces, piece{text: rest[:open]})
		}
		rest = rest[open:]
		end := strings.IndexByte(rest, '}') + 1
		at := slices.Index(placeholders[1:], rest[:end]) + 1
		if at == 0 {
			return nil, wrong("signed", fmt.Sprintf("there is no placeholder at character %d: want %s",
				len(template)-len(rest)+1, strings.Join(placeholders[1:], " ")))
		}
		pieces = append(pieces, piece{part: part(at)})
		rest = rest[end:]
	}
	return pieces, nil
}

// described is a compiled description.
type described struct {
	Description
	pieces    []piece
	size      int // of a signature, in bytes
	keys      []*key
	tolerance time.Duration
	url, path string
	endOfID   string // what follows the id in the signed text
}

func compileDescription(settings Settings) (*described, error) {
	d := &described{Description: settings.Description, tolerance: settings.Tolerance,
		url: settings.URL, path: settings.Path}
	d.Encoding, d.Signed = cmp.Or(d.Encoding, Hex), cmp.Or(d.Signed, placeholders[partBody])
	d.SecretEncoding = cmp.Or(d.SecretEncoding, Text)
	d.TimestampFormat = cmp.Or(d.TimestampFormat, Unix)
	for _, name := range []*string{&d.Header, &d.TimestampHeader, &d.IDHeader} {
		*name = textproto.CanonicalMIMEHeaderKey(*name)
	}
	var err error
	if d.pieces, err = parse(d.Signed); err != nil {
		return nil, err
	}
	if err := d.validate(); err != nil {
		return nil, err
	}
	if d.signs(partURL) {
		if err := checkURL(d.url); err != nil {
			return nil, err
		}
	}
	d.size = algorithms[d.Algorithm].size
	d.keys, err = d.readKeys(settings.Secrets)
	return d, err
}

func (d *described) validate() error {
	algorithm, known := algorithms[d.Algorithm]
	switch {
	case d.Header == "":
		return wrong("header", "want the name of the header where the signature stands")
	case !known:
		return wrong("algorithm", "want one of "+strings.Join(Algorithms(), ", "))
	case !slices.Contains(Encodings(), d.Encoding):
		return wrong("encoding", "want one of "+strings.Join(Encodings(), ", "))
	case !slices.Contains([]string{Text, Hex, Base64}, d.SecretEncoding):
		return wrong("secret_encoding", "want one of text, hex, base64")
	case d.SecretEncoding != Text && algorithm.hash == nil:
		return wrong("secret_encoding", "it has no effect: only secrets of HMAC are bytes")
	case !slices.Contains(TimestampFormats(), d.TimestampFormat):
		return wrong("timestamp_format", "want one of "+strings.Join(TimestampFormats(), ", "))
	}
	if d.Algorithm == Token {
		return d.validateToken()
	}
	return d.validateCover()
}

func (d *described) validateToken() error {
	switch {
	case d.Signed != placeholders[partBody]:
		return wrong("signed", "it has no effect: a token signs nothing")
	case d.timed() || d.IDHeader != "":
		return wrong("algorithm", "a token signs neither a time nor an id: leave them out")
	case d.Field != "" || d.Encoding != Hex:
		return wrong("algorithm", "a token is the whole value: leave field and encoding out")
	}
	return nil
}

// validateCover sees to it that nothing is believed that is not signed.
func (d *described) validateCover() error {
	switch {
	case !d.signs(partBody):
		return wrong("signed", "want {body} in it: else the signature holds for any body")
	case d.TimestampHeader != "" && d.TimestampField != "":
		return wrong("timestamp_header", "want this or timestamp_field, not both")
	case d.TimestampField != "" && d.Field == "":
		return wrong("timestamp_field", "want field as well: that of the signature in the same list")
	case d.timed() && !d.signs(partTimestamp):
		return wrong("signed", "want {timestamp} in it: else anybody can set the time")
	case !d.timed() && d.signs(partTimestamp):
		return wrong("timestamp_header", "want this or timestamp_field, for {timestamp}")
	case d.IDHeader != "" && !d.signs(partID):
		return wrong("signed", "want {id} in it: else anybody can set the id")
	case d.IDHeader == "" && d.signs(partID):
		return wrong("id_header", "want the header of {id}")
	}
	return d.validateID()
}

// validateID sees to it that one signed text can't be read as two, with another id.
func (d *described) validateID() error {
	for i, p := range d.pieces {
		if p.part != partID {
			continue
		}
		if i > 0 && d.pieces[i-1].text == "" || i == len(d.pieces)-1 || d.pieces[i+1].text == "" {
			return wrong("signed", "want text around {id}, such as dots, and {body} behind it")
		}
		if slices.ContainsFunc(d.pieces[:i], func(before piece) bool {
			return before.part != partText && before.part != partTimestamp
		}) {
			return wrong("signed", "want nothing but text and {timestamp} before {id}")
		}
		d.endOfID = d.pieces[i+1].text
	}
	return nil
}

func (d *described) readKeys(secrets []string) ([]*key, error) {
	keys := make([]*key, 0, len(secrets))
	for i, secret := range secrets {
		var k *key
		var err error
		switch d.Algorithm {
		case Ed25519:
			k, err = readPublic(secret)
		case Token:
			k, err = newToken(secret), checkToken(secret)
		default:
			var bytes []byte
			bytes, err = readSecret(d.SecretEncoding, secret)
			k = newMAC(algorithms[d.Algorithm].hash, bytes)
		}
		if err != nil {
			return nil, wrong(fmt.Sprintf("secrets[%d]", i), err.Error())
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func readSecret(encoding, secret string) ([]byte, error) {
	if err := checkChosen(secret); err != nil {
		return nil, err
	}
	switch encoding {
	case Hex:
		bytes, err := hex.DecodeString(secret)
		if err != nil {
			return nil, errorText("want hexadecimal digits, as secret_encoding says")
		}
		return bytes, nil
	case Base64:
		bytes, err := base64.StdEncoding.DecodeString(secret)
		if err != nil {
			return nil, errorText("want base64, as secret_encoding says")
		}
		return bytes, nil
	}
	return []byte(secret), nil
}

func (d *described) verify(r *Request, at time.Time) (Verified, error) {
	value, err := one(r.Header, d.Header)
	if err != nil {
		return Verified{}, err
	}
	if d.Algorithm == Token {
		return Verified{}, d.verifyToken(value)
	}
	var found candidates
	timestamp, err := d.read(r, value, &found)
	if err != nil {
		return Verified{}, err
	}
	var id string
	if d.IDHeader != "" {
		if id, err = one(r.Header, d.IDHeader); err != nil {
			return Verified{}, err
		}
		if err := checkID(id, d.endOfID); err != nil {
			return Verified{}, err
		}
	}
	var signed time.Time
	if d.timed() {
		if signed, err = readTime(d.TimestampFormat, timestamp); err != nil {
			return Verified{}, err
		}
	}
	if !d.matches(r, timestamp, id, &found) {
		return Verified{}, Mismatch
	}
	if d.timed() {
		if err := near(signed, at, d.tolerance); err != nil {
			return Verified{}, err
		}
	}
	return Verified{ID: id, Time: signed}, nil
}

func (d *described) verifyToken(value string) error {
	token, ok := strings.CutPrefix(value, d.Prefix)
	if !ok {
		return Malformed
	}
	for _, k := range d.keys {
		if k.isToken(token) {
			return nil
		}
	}
	return Mismatch
}

// read takes the header of the signature apart, and finds the time.
func (d *described) read(r *Request, value string, found *candidates) (
	timestamp string, err error) {
	if d.Field == "" {
		if err := d.add(value, found); err != nil {
			return "", err
		}
	} else if timestamp, err = d.readList(value, found); err != nil {
		return "", err
	}
	if found.n == 0 {
		return "", Malformed
	}
	if d.TimestampHeader != "" {
		return one(r.Header, d.TimestampHeader)
	}
	return timestamp, nil
}

// readList reads name=value, separated by , or ;. Unknown names are of other versions.
func (d *described) readList(list string, found *candidates) (timestamp string, err error) {
	fields := 0
	for rest := list; rest != ""; {
		item := rest
		if at := strings.IndexAny(rest, ",;"); at >= 0 {
			item, rest = rest[:at], rest[at+1:]
		} else {
			rest = ""
		}
		if fields++; fields > MaxSignatures+1 { // and the time
			return "", Malformed
		}
		if !d.strict {
			item = strings.Trim(item, " ")
		}
		name, value, ok := strings.Cut(item, "=")
		switch {
		case !ok:
			return "", Malformed
		case name == d.TimestampField && d.TimestampField != "":
			if timestamp != "" || value == "" {
				return "", Malformed
			}
			timestamp = value
		case name == d.Field:
			if found.n == MaxSignatures {
				return "", Malformed
			}
			_ = d.add(value, found) // another may match
		}
	}
	if d.TimestampField != "" && timestamp == "" {
		return "", Missing
	}
	return timestamp, nil
}

func (d *described) add(value string, found *candidates) error {
	text, ok := strings.CutPrefix(value, d.Prefix)
	if !ok {
		return Malformed
	}
	found.add(d.size, form{d.Encoding, d.strict}, text)
	return nil
}

func (d *described) matches(r *Request, timestamp, id string, found *candidates) bool {
	for _, k := range d.keys {
		s := k.get()
		for _, p := range d.pieces {
			switch p.part {
			case partText:
				s.text = append(s.text, p.text...)
			case partTimestamp:
				s.text = append(s.text, timestamp...)
			case partID:
				s.text = append(s.text, id...)
			case partMethod:
				s.text = append(s.text, r.Method...)
			case partPath:
				s.text = append(s.text, r.Path...)
			case partQuery:
				s.text = append(s.text, r.Query...)
			case partURL:
				s.text = appendURL(s.text, d.url, d.path, r)
			case partBody:
				s.write(r.Body)
			}
		}
		matches := k.matches(s, found)
		k.put(s)
		if matches {
			return true
		}
	}
	return false
}

// headers are those that the description reads.
func (d *described) headers() (all, bearers []string) {
	for _, name := range []string{d.Header, d.TimestampHeader, d.IDHeader} {
		if name != "" {
			all = append(all, name)
		}
	}
	if d.Algorithm == Token {
		bearers = []string{d.Header}
	}
	return all, bearers
}
