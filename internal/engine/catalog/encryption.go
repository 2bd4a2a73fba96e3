package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"pillarbox"
	"pillarbox/internal/atrest"
)

// keyEncryptions opens each kind of key that data keys are wrapped by. key is that of the
// configuration.
var keyEncryptions = map[string]func(key, rest string) (atrest.KeyEncryption, error){
	"file":   openKeyFile,
	"env":    openKeyVariable,
	"age":    openAge,
	"awskms": openKMS,
}

// CheckKeyEncryption reports a URL that OpenKeyEncryption refuses whatever is in the file, the
// environment or the service. Errors: ErrInvalid.
func CheckKeyEncryption(key, url string) error {
	scheme, rest, _ := strings.Cut(url, ":")
	if _, _, err := lookup(key, url, keyEncryptions); err != nil {
		return err
	}
	switch {
	case rest == "":
		return pillarbox.Invalid("%s: %q names no key; want for example file:/etc/pillarbox/encryption.key", key, url)
	case (scheme == "file" || scheme == "age") && !filepath.IsAbs(rest):
		return pillarbox.Invalid("%s: %q is no absolute path: the key is not to lie beside the data", key, rest)
	}
	return nil
}

// OpenKeyEncryption opens the key that a URL names, for the key of the configuration that it is the
// value of. No service is asked. Errors: ErrInvalid; ErrUnavailable where a file can't be read.
func OpenKeyEncryption(key, url string) (atrest.KeyEncryption, error) {
	if err := CheckKeyEncryption(key, url); err != nil {
		return nil, err
	}
	rest, open, err := lookup(key, url, keyEncryptions)
	if err != nil {
		return nil, err
	}
	return open(key, rest)
}

// maxKeyFile bounds what is read of a file with a key, in bytes.
const maxKeyFile = 64 << 10

// readKeyFile reads a small file, for whose reader alone it is to be.
func readKeyFile(key, name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w: %w", key, err, pillarbox.ErrUnavailable)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(pillarbox.Invalid("%s: %s is no file", key, name), err)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile))
	if err != nil {
		return "", fmt.Errorf("%s: %w: %w", key, err, pillarbox.ErrUnavailable)
	}
	return string(text), nil
}

func openKeyFile(key, rest string) (atrest.KeyEncryption, error) {
	text, err := readKeyFile(key, rest)
	if err != nil {
		return nil, err
	}
	return atrest.NewSecretKey(key+": "+rest, text)
}

func openKeyVariable(key, rest string) (atrest.KeyEncryption, error) {
	text, set := os.LookupEnv(rest)
	if !set {
		return nil, pillarbox.Invalid("%s: the environment has no variable %s", key, rest)
	}
	return atrest.NewSecretKey(key+": the variable "+rest, text)
}

// ageKey wraps with an identity of age (https://age-encryption.org).
type ageKey struct {
	name      string
	identity  age.Identity
	recipient age.Recipient
}

func openAge(key, rest string) (atrest.KeyEncryption, error) {
	text, err := readKeyFile(key, rest)
	if err != nil {
		return nil, err
	}
	identities, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil || len(identities) != 1 {
		return nil, pillarbox.Invalid("%s: %s is to hold one identity of age, as age-keygen writes it; put others into encryption.old_keys", key, rest)
	}
	switch one := identities[0].(type) {
	case *age.X25519Identity:
		return &ageKey{"age:" + one.Recipient().String(), one, one.Recipient()}, nil
	case *age.HybridIdentity:
		return &ageKey{"age:" + one.Recipient().String(), one, one.Recipient()}, nil
	}
	return nil, pillarbox.Invalid("%s: %s holds an identity of a kind that is not supported; want one that age-keygen writes", key, rest)
}

func (a *ageKey) Name() string { return a.name }

func (a *ageKey) Wrap(_ context.Context, key []byte) ([]byte, error) {
	var wrapped bytes.Buffer
	w, err := age.Encrypt(&wrapped, a.recipient)
	if err == nil {
		_, err = w.Write(key)
	}
	if err == nil {
		err = w.Close()
	}
	return wrapped.Bytes(), err
}

// maxUnwrapped bounds what is read of a wrapped key: a data key has 32 bytes.
const maxUnwrapped = 1 << 10

func (a *ageKey) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(wrapped), a.identity)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, pillarbox.ErrCorrupt)
	}
	key, err := io.ReadAll(io.LimitReader(r, maxUnwrapped))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, pillarbox.ErrCorrupt)
	}
	return key, nil
}

// kmsKey wraps with a symmetric key of AWS KMS.
type kmsKey struct {
	id     string // ARN, id, or alias
	client *awskms.Client
}

// kmsContext is what a wrapped key is bound to, and what KMS writes into its own trail.
var kmsContext = map[string]string{"pillarbox": "data key"}

func openKMS(key, rest string) (atrest.KeyEncryption, error) {
	region := ""
	if parsed, err := arn.Parse(rest); err == nil {
		if parsed.Service != "kms" || parsed.Region == "" {
			return nil, pillarbox.Invalid("%s: %s is the ARN of no key", key, rest)
		}
		region = parsed.Region
	}
	settings, err := awsConfig(key, region, requestTimeout)
	if err != nil {
		return nil, err
	}
	return &kmsKey{rest, awskms.NewFromConfig(settings)}, nil
}

func (k *kmsKey) Name() string { return "awskms:" + k.id }

func (k *kmsKey) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	answer, err := k.client.Encrypt(ctx, &awskms.EncryptInput{KeyId: aws.String(k.id), Plaintext: key,
		EncryptionContext: kmsContext})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, pillarbox.ErrUnavailable)
	}
	return answer.CiphertextBlob, nil
}

func (k *kmsKey) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	answer, err := k.client.Decrypt(ctx, &awskms.DecryptInput{KeyId: aws.String(k.id),
		CiphertextBlob: wrapped, EncryptionContext: kmsContext})
	var other *types.InvalidCiphertextException
	if errors.As(err, &other) {
		return nil, fmt.Errorf("%w: %w", err, pillarbox.ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, pillarbox.ErrUnavailable)
	}
	return answer.Plaintext, nil
}
