package fakekms_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"pillarbox/test/standin/awsjson"
	"pillarbox/test/standin/fakekms"
)

func start(t *testing.T) (*fakekms.Server, *kms.Client) {
	server := fakekms.New(nil)
	url := server.Start(t)
	return server, kms.New(kms.Options{
		BaseEndpoint: &url, Region: "us-east-1", Retryer: aws.NopRetryer{}, HTTPClient: awsjson.Client(t),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}

func create(t *testing.T, client *kms.Client) *string {
	t.Helper()
	out, err := client.CreateKey(t.Context(),
		&kms.CreateKeyInput{Description: aws.String("for a test")})
	if err != nil {
		t.Fatal(err)
	}
	return out.KeyMetadata.Arn
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var known smithy.APIError
	if !errors.As(err, &known) || known.ErrorCode() != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

// What was encrypted comes back with the same key and context, and with no other.
func TestEncryptDecrypt(t *testing.T) {
	_, client := start(t)
	key, other := create(t, client), create(t, client)
	where := map[string]string{"queue": "in", "table": "events"}
	sealed, err := client.Encrypt(t.Context(),
		&kms.EncryptInput{KeyId: key, Plaintext: []byte("secret"), EncryptionContext: where})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed.CiphertextBlob, []byte("secret")) {
		t.Error("it is not encrypted")
	}
	opened, err := client.Decrypt(t.Context(),
		&kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: where, KeyId: key})
	if err != nil || string(opened.Plaintext) != "secret" || *opened.KeyId != *key {
		t.Errorf("got %+v, %v", opened, err)
	}
	_, err = client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
	wantCode(t, err, "InvalidCiphertextException")
	_, err = client.Decrypt(t.Context(),
		&kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: where, KeyId: other})
	wantCode(t, err, "IncorrectKeyException")
	for at := range sealed.CiphertextBlob {
		broken := bytes.Clone(sealed.CiphertextBlob)
		broken[at] ^= 1
		_, err = client.Decrypt(t.Context(),
			&kms.DecryptInput{CiphertextBlob: broken, EncryptionContext: where})
		wantCode(t, err, "InvalidCiphertextException")
	}
	_, err = client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key, Plaintext: make([]byte, 4097)})
	wantCode(t, err, "ValidationException")
}

func TestDataKeys(t *testing.T) {
	_, client := start(t)
	key := create(t, client)
	first, err := client.GenerateDataKey(t.Context(),
		&kms.GenerateDataKeyInput{KeyId: key, KeySpec: types.DataKeySpecAes256})
	if err != nil || len(first.Plaintext) != 32 {
		t.Fatalf("got %+v, %v", first, err)
	}
	second, err := client.GenerateDataKey(t.Context(),
		&kms.GenerateDataKeyInput{KeyId: key, NumberOfBytes: aws.Int32(64)})
	if err != nil || len(second.Plaintext) != 64 {
		t.Fatalf("got %+v, %v", second, err)
	}
	opened, err := client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: first.CiphertextBlob})
	if err != nil || !bytes.Equal(opened.Plaintext, first.Plaintext) {
		t.Errorf("got %+v, %v", opened, err)
	}
	_, err = client.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key})
	wantCode(t, err, "ValidationException")
}

// A key is found by its id, its ARN and its alias, and can be disabled.
func TestKeys(t *testing.T) {
	server, client := start(t)
	key := create(t, client)
	if _, err := client.CreateAlias(t.Context(),
		&kms.CreateAliasInput{AliasName: aws.String("alias/mine"), TargetKeyId: key}); err != nil {
		t.Fatal(err)
	}
	described, err := client.DescribeKey(t.Context(),
		&kms.DescribeKeyInput{KeyId: aws.String("alias/mine")})
	if err != nil || *described.KeyMetadata.Arn != *key ||
		described.KeyMetadata.KeyState != types.KeyStateEnabled {
		t.Errorf("got %+v, %v", described, err)
	}
	if _, err := client.DisableKey(t.Context(),
		&kms.DisableKeyInput{KeyId: described.KeyMetadata.KeyId}); err != nil {
		t.Fatal(err)
	}
	_, err = client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})
	wantCode(t, err, "DisabledException")
	_, err = client.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("nowhere")})
	wantCode(t, err, "NotFoundException")
	server.Throttle(1)
	_, err = client.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key})
	wantCode(t, err, "ThrottlingException")
}
