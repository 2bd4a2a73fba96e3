package signature

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"mime"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	twilioHeader   = "X-Twilio-Signature"
	twilioSettings = "X-Twilio-Webhooks-Signature-Settings"

	// bodyDigest is the parameter of the query with the digest of a body that is no form.
	bodyDigest = "bodySHA256"

	// maxParameters bounds the fields of a form that are sorted.
	maxParameters = 1000

	typeForm = "application/x-www-form-urlencoded"
)

// twilio verifies webhooks of Twilio: HMAC over the URL and the sorted fields of the form, or over
// the URL with the digest of another body in it. SHA-1 is what an auth token signs with; a shared
// key signs with SHA-256, and a header says so.
//
// What is signed has no separators: whoever has a signed form can move letters from the end of a
// name to the front of its value. That is Twilio's scheme.
type twilio struct {
	keys []twilioKey
	urls []string // the public URL with and without the port: Twilio signs either
	path string
}

type twilioKey struct{ sha1, sha256 *key }

func compileTwilio(settings Settings) (checker, []string, []string, error) {
	if err := checkURL(settings.URL); err != nil {
		return nil, nil, nil, err
	}
	if err := checkEach(settings.Secrets, checkText); err != nil {
		return nil, nil, nil, err
	}
	t := &twilio{path: settings.Path, urls: withAndWithoutPort(settings.URL)}
	for _, secret := range settings.Secrets {
		t.keys = append(t.keys, twilioKey{newMAC(sha1.New, []byte(secret)),
			newMAC(sha256.New, []byte(secret))})
	}
	return t, []string{twilioHeader, twilioSettings}, nil, nil
}

func withAndWithoutPort(public string) []string {
	parsed, err := url.Parse(public)
	if err != nil {
		return []string{public} // checked before
	}
	scheme, rest, _ := strings.Cut(public, "://")
	host := rest[:len(parsed.Host)]
	path := rest[len(host):]
	if port := parsed.Port(); port != "" {
		return []string{public, scheme + "://" + strings.TrimSuffix(host, ":"+port) + path}
	}
	port := ":443"
	if strings.EqualFold(scheme, "http") {
		port = ":80"
	}
	return []string{public, scheme + "://" + host + port + path}
}

func (t *twilio) verify(r *Request, _ time.Time) (Verified, error) {
	text, err := one(r.Header, twilioHeader)
	if err != nil {
		return Verified{}, err
	}
	strong, err := signsStrong(r)
	if err != nil {
		return Verified{}, err
	}
	var found candidates
	size := sha1.Size
	if strong {
		size = sha256.Size
	}
	if found.add(size, form{Base64, true}, text); found.n == 0 {
		return Verified{}, Malformed
	}
	fields, err := signedFields(r)
	if err != nil {
		return Verified{}, err
	}
	for _, k := range t.keys {
		by := k.sha1
		if strong {
			by = k.sha256
		}
		for _, public := range t.urls {
			s := by.get()
			s.text = appendURL(s.text, public, t.path, r)
			for _, f := range fields {
				s.text = append(append(s.text, f.name...), f.value...)
			}
			matches := by.matches(s, &found)
			by.put(s)
			if matches {
				return Verified{}, nil
			}
		}
	}
	return Verified{}, Mismatch
}

// signsStrong reads key=KY…,algorithm=HMAC_SHA256.
func signsStrong(r *Request) (bool, error) {
	if !has(r.Header, twilioSettings) {
		return false, nil
	}
	value, err := one(r.Header, twilioSettings)
	if err != nil {
		return false, Malformed
	}
	for item := range strings.SplitSeq(value, ",") {
		switch name, algorithm, _ := strings.Cut(strings.Trim(item, " "), "="); {
		case name != "algorithm":
		case algorithm == "HMAC_SHA256":
			return true, nil
		case algorithm == "HMAC_SHA1":
			return false, nil
		}
	}
	return false, Malformed
}

type field struct{ name, value string }

// signedFields returns the fields of the form, sorted. A body that is no form must be the one of
// the digest in the query, which the URL covers; else nothing would prove it.
func signedFields(r *Request) ([]field, error) {
	contentType, err := one(r.Header, "Content-Type")
	if errors.Is(err, Malformed) {
		return nil, err
	}
	if media, _, err := mime.ParseMediaType(contentType); err == nil && media == typeForm {
		return formFields(string(r.Body))
	}
	want, found := "", 0
	for parameter := range strings.SplitSeq(r.Query, "&") {
		if name, value, _ := strings.Cut(parameter, "="); name == bodyDigest {
			want, found = value, found+1
		}
	}
	if found == 0 && len(r.Body) == 0 {
		return nil, nil // all that there is, is in the URL
	}
	if found != 1 {
		return nil, Malformed
	}
	sum := sha256.Sum256(r.Body)
	var sent [sha256.Size]byte
	if len(want) != hex.EncodedLen(len(sent)) {
		return nil, Malformed
	}
	if _, err := hex.Decode(sent[:], []byte(want)); err != nil {
		return nil, Malformed
	}
	if !hmac.Equal(sum[:], sent[:]) {
		return nil, Mismatch
	}
	return nil, nil
}

// formFields takes a form apart. Each value of a name counts once, as in the libraries of Twilio.
func formFields(body string) ([]field, error) {
	if strings.Count(body, "&") >= maxParameters {
		return nil, Malformed
	}
	var fields []field
	for parameter := range strings.SplitSeq(body, "&") {
		if parameter == "" {
			continue
		}
		name, value, _ := strings.Cut(parameter, "=")
		decodedName, err1 := url.QueryUnescape(name)
		decodedValue, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return nil, Malformed
		}
		fields = append(fields, field{decodedName, decodedValue})
	}
	slices.SortFunc(fields, func(a, b field) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value))
	})
	return slices.Compact(fields), nil
}
