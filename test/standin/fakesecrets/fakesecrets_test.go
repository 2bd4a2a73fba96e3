package fakesecrets_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"pillarbox/test/standin/awsjson"
	"pillarbox/test/standin/fakesecrets"
)

// TestTheLastValueIsHandedOut, by name and by ARN, and none before there is one.
func TestTheLastValueIsHandedOut(t *testing.T) {
	url := fakesecrets.New().Start(t)
	client := secretsmanager.New(secretsmanager.Options{
		BaseEndpoint: &url, Region: "us-east-1", Retryer: aws.NopRetryer{}, HTTPClient: awsjson.Client(t),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	get := func(id string) (*secretsmanager.GetSecretValueOutput, error) {
		return client.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &id})
	}
	refused := func(err error) {
		t.Helper()
		var known smithy.APIError
		if !errors.As(err, &known) || known.ErrorCode() != "ResourceNotFoundException" {
			t.Errorf("got %v", err)
		}
	}
	_, err := get("s")
	refused(err)
	made, err := client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("s")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = get("s")
	refused(err)
	versions := map[string]bool{}
	for _, value := range []string{"one", "two"} {
		if _, err := client.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: made.ARN, SecretString: &value}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"s", *made.ARN} {
			out, err := get(id)
			if err != nil || *out.SecretString != value {
				t.Fatalf("%s: %v", id, err)
			}
			versions[*out.VersionId] = true
		}
	}
	if len(versions) != 2 {
		t.Errorf("versions %v", versions)
	}
}
