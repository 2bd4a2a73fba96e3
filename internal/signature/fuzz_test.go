package signature_test

import (
	"errors"
	"strings"
	"testing"

	"pillarbox/internal/signature"
)

// FuzzVerify sends anything to every scheme. Nothing is verified but what a vector has: the secrets
// are not in the corpus. Whatever is refused has a reason.
func FuzzVerify(f *testing.F) {
	all := vectors()
	verifiers := make([]*signature.Verifier, len(all))
	for i, v := range all {
		verifiers[i] = compile(f, v.settings)
		var header strings.Builder
		for _, field := range v.request.Header {
			header.WriteString(field.Name + ": " + field.Value + "\n")
		}
		f.Add(header.String(), v.request.Query, v.request.Body)
	}
	f.Add("Stripe-Signature: t=1,v1=;v1\nX-Hub-Signature-256: sha256=\nContent-Type: a/b;", "bodySHA256=", []byte(`{"value":[{}]}`))
	f.Fuzz(func(t *testing.T, lines, query string, body []byte) {
		r := signature.Request{Method: "POST", Path: "/myapp.php", Query: query, Body: body}
		for line := range strings.SplitSeq(lines, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			r.Header = append(r.Header, header(name, value)...)
		}
		for i, verifier := range verifiers {
			_, err := verifier.Verify(&r, all[i].time())
			var reason signature.Reason
			switch {
			case err != nil && !errors.As(err, &reason):
				t.Errorf("%s refuses without a reason: %v", all[i].name, err)
			case err == nil && !genuine(verifier, all, body):
				t.Errorf("%s takes a body that nobody has signed: %q", all[i].name, body)
			}
		}
	})
}

// genuine reports whether the scheme signs no body, or one of its vectors has this one. The fields
// of a form are signed, and not the bytes.
func genuine(verifier *signature.Verifier, all []vector, body []byte) bool {
	if verifier.Scheme() == "twilio" || verifier.Scheme() == "microsoft-graph" || len(verifier.Bearers()) > 0 {
		return true
	}
	for _, v := range all {
		if string(v.request.Body) == string(body) {
			return true
		}
	}
	return false
}
