package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
)

// credentialsTime bounds the search for credentials: the last place to look is the metadata of a
// machine on AWS, which is nowhere else.
const credentialsTime = 10 * time.Second

// needCredentials looks for credentials for AWS where Terraform will: in the environment, in the
// files of the SDK, and at the machine. Without any, minutes would go into what can't be applied.
// It asks nobody whether they are still good.
func needCredentials(ctx context.Context) error {
	looking, cancel := context.WithTimeout(ctx, credentialsTime)
	defer cancel()
	found, err := config.LoadDefaultConfig(looking)
	if err == nil && found.Credentials != nil {
		_, err = found.Credentials.Retrieve(looking)
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	why := ""
	if profile := os.Getenv("AWS_PROFILE"); profile != "" { // else the reasons of all places are none
		why = fmt.Sprintf(" for AWS_PROFILE=%s (%s)", profile, oneLine(err))
	}
	return usageError{fmt.Errorf("no credentials for AWS are found%s; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in (\"aws sso login\"), and try again; nothing was changed", why)}
}

// oneLine is the innermost cause of an error, on one line.
func oneLine(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}
