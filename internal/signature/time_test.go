package signature_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// inVariableTime matches comparisons that end at the first byte that differs.
var inVariableTime = regexp.MustCompile(`bytes\.(Equal|Compare|HasPrefix)\(|slices\.(Equal|Compare)\(|` +
	`reflect\.DeepEqual|string\((sum|signature)|[!=]= (k\.token|sum|token)\b`)

// TestSecretsAreComparedInConstantTime reads the package: what is compared with a secret, or with a
// MAC by one, is compared by crypto/hmac, crypto/subtle or crypto/ed25519.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found += strings.Count(string(text), "hmac.Equal(") + strings.Count(string(text), "ConstantTimeCompare(") +
			strings.Count(string(text), "ed25519.Verify(")
		for number, line := range strings.Split(string(text), "\n") {
			if compared := inVariableTime.FindString(line); compared != "" {
				t.Errorf("%s:%d compares in variable time: %s", file, number+1, strings.TrimSpace(line))
			}
		}
	}
	if found != 4 {
		t.Errorf("there are %d comparisons in constant time, and 4 are known: look at the others", found)
	}
}
