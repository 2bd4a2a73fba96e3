package catalog_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/aws/aws-sdk-go-v2/config"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/atrest/atresttest"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/vfs/faultfs"
	"pillarbox/test/standin/fakekms"
)

func writeKey(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// ageIdentities are of both kinds that age-keygen makes.
func ageIdentities(t *testing.T) (plain, hybrid string) {
	t.Helper()
	one, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	two, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return one.String(), two.String()
}

// useKMS points the SDK at a stand-in, and makes a key.
func useKMS(t *testing.T) (*fakekms.Server, string) {
	t.Helper()
	kms := fakekms.New(time.Now)
	t.Setenv("AWS_ENDPOINT_URL_KMS", kms.Start(t))
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	client, err := config.LoadDefaultConfig(context.Background(), config.WithRegion("us-east-1"))
	if err != nil {
		t.Fatal(err)
	}
	made, err := awskms.NewFromConfig(client).CreateKey(context.Background(), &awskms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	return kms, *made.KeyMetadata.Arn
}

// TestEveryKindOfKeyWraps a data key that the same one opens in another life, and no other one does.
func TestEveryKindOfKeyWraps(t *testing.T) {
	plain, hybrid := ageIdentities(t)
	_, arn := useKMS(t)
	t.Setenv("AT_REST_KEY", atresttest.Text)
	other, _ := ageIdentities(t)
	for _, url := range []string{
		"file:" + writeKey(t, atresttest.Text+"\n"), "env:AT_REST_KEY", "awskms:" + arn,
		"age:" + writeKey(t, "# created: today\n"+plain+"\n"), "age:" + writeKey(t, hybrid),
	} {
		scheme, _, _ := strings.Cut(url, ":")
		t.Run(scheme, func(t *testing.T) {
			disk := faultfs.New(faultfs.Options{})
			var box []byte
			for life := range 2 {
				key, err := catalog.OpenKeyEncryption("encryption.key", url)
				if err != nil {
					t.Fatal(err)
				}
				keys, err := atrest.Open(context.Background(), disk, atrest.Options{Key: key})
				if err != nil {
					t.Fatal(err)
				}
				if life == 0 {
					if box, err = keys.Seal(nil, []byte("sealed"), atrest.Record); err != nil {
						t.Fatal(err)
					}
				}
				text, err := keys.Open(nil, box, atrest.Record)
				if err != nil || string(text) != "sealed" {
					t.Errorf("life %d: %q, %v", life, text, err)
				}
				if _, err := key.Unwrap(context.Background(), []byte("what nobody has wrapped")); !errors.Is(err, pillarbox.ErrCorrupt) {
					t.Errorf("what nobody has wrapped: %v", err)
				}
			}
			key, err := catalog.OpenKeyEncryption("encryption.key", "age:"+writeKey(t, other))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := atrest.Open(context.Background(), disk, atrest.Options{Key: key}); !errors.Is(err, pillarbox.ErrInvalid) {
				t.Errorf("with another key: %v", err)
			}
		})
	}
}

// TestKMSThatIsAway is an outage, and no damage.
func TestKMSThatIsAway(t *testing.T) {
	kms, arn := useKMS(t)
	key, err := catalog.OpenKeyEncryption("encryption.key", "awskms:"+arn)
	if err != nil {
		t.Fatal(err)
	}
	kms.Throttle(2)
	_, wrap := key.Wrap(context.Background(), []byte("key"))
	_, unwrap := key.Unwrap(context.Background(), []byte("key"))
	for _, err := range []error{wrap, unwrap} {
		if !errors.Is(err, pillarbox.ErrUnavailable) || errors.Is(err, pillarbox.ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	}
}

func TestKeysThatAreNone(t *testing.T) {
	plain, hybrid := ageIdentities(t)
	for url, want := range map[string]string{
		"file:":                                  "names no key",
		"file:at-rest.key":                       "no absolute path",
		"age:identity":                           "no absolute path",
		"vault:secret":                           "possible here",
		"secret":                                 "possible here",
		"env:NO_SUCH_VARIABLE":                   "no variable NO_SUCH_VARIABLE",
		"file:/no/such/file":                     "no such file",
		"file:" + t.TempDir():                    "is no file",
		"file:" + writeKey(t, "short"):           "new-key",
		"age:" + writeKey(t, plain+"\n"+hybrid):  "one identity",
		"age:" + writeKey(t, "AGE-SECRET-KEY-1"): "one identity",
		"awskms:arn:aws:s3:eu-central-1:000000000000:bucket/thing": "ARN of no key",
	} {
		_, err := catalog.OpenKeyEncryption("encryption.key", url)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "encryption.key: ") {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
	}
}
