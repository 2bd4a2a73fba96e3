//go:build pillarbox_accept || !(pillarbox_deliver || pillarbox_deadletter)

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"pillarbox"
)

// secrets is one secret of Secrets Manager: a JSON object of texts by name.
type secrets struct {
	client *secretsmanager.Client
	id     string // name or ARN
}

// openSecrets makes no call.
func openSecrets(s settings, out output) *secrets {
	client := secretsmanager.NewFromConfig(s.aws.config(out.tracer),
		func(o *secretsmanager.Options) { o.BaseEndpoint = s.aws.endpoint("SECRETS_MANAGER") })
	return &secrets{client: client, id: s.secrets}
}

// read is door.Options.Secrets. No error holds a part of the secret.
func (s *secrets) read(ctx context.Context, known string) (map[string]string, string, error) {
	out, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.id})
	if err != nil {
		return nil, "", fmt.Errorf("read the secret %s: %w: %w", s.id, pillarbox.ErrUnavailable, err)
	}
	version := aws.ToString(out.VersionId)
	if version == known && known != "" {
		return nil, known, nil
	}
	var values map[string]string
	if json.Unmarshal([]byte(aws.ToString(out.SecretString)), &values) != nil || values == nil {
		return nil, "", fmt.Errorf("the secret %s: %w", s.id, errSecret)
	}
	return values, version, nil
}

var errSecret = errors.New(`it is no JSON object of texts, as {"SHOP_SECRET":"..."}; put another value: aws secretsmanager put-secret-value`)
