package signature_test

import (
	"strings"
	"testing"
)

// BenchmarkVerify is the cost of one request of 200 bytes.
func BenchmarkVerify(b *testing.B) {
	for _, v := range vectors() {
		b.Run(strings.ReplaceAll(v.name, " ", "-"), func(b *testing.B) {
			verifier, at := compile(b, v.settings), v.time()
			b.ReportAllocs()
			b.SetBytes(int64(len(v.request.Body)))
			for b.Loop() {
				if _, err := verifier.Verify(&v.request, at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestVerifyingAllocatesNothing holds for what is verified on the event loop: the schemes that are
// data, and Standard Webhooks. A refusal by ed25519 makes an error of its own.
func TestVerifyingAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools")
	}
	for _, v := range vectors() {
		if v.settings.Scheme == "twilio" || v.settings.Scheme == "microsoft-graph" {
			continue // they sort a form, and read JSON
		}
		verifier := compile(t, v.settings)
		if n := testing.AllocsPerRun(100, func() { _, _ = verifier.Verify(&v.request, v.time()) }); n >= 1 {
			t.Errorf("%s allocates %v times", v.name, n)
		}
	}
}
