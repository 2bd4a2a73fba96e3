package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"pillarbox"
)

// failed says to whom an error of a call belongs: to the caller's context, to the items, or to
// DynamoDB, which is what all are that are not known to be another's.
func (s *Store) failed(ctx context.Context, doing string, err error) error {
	what := fmt.Sprintf("%s table %s", doing, s.table)
	switch {
	case errors.Is(err, pillarbox.ErrClosed), errors.Is(err, pillarbox.ErrNotFound), errors.Is(err,
		pillarbox.ErrCorrupt):
		return fmt.Errorf("%s: %w", what, err)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", what, ctx.Err())
	case errors.Is(err, pillarbox.ErrUnavailable):
		return fmt.Errorf("%s: %w", what, err)
	case isRefusal(err):
		return fmt.Errorf("%s: %w", what, err)
	}
	err = fmt.Errorf("%s: %w: %s: %w", what, pillarbox.ErrUnavailable, advice(err), err)
	if after := retryAfter(err); after > 0 {
		return &pillarbox.RetryAfterError{After: after, Err: err}
	}
	return err
}

// joined is errors.Join for calls that were made in parallel, with one of those that say the same:
// all of them fail alike where the table can't be reached.
func joined(errs []error) error {
	var different []error
	said := map[string]bool{}
	for _, err := range errs {
		if err != nil && !said[err.Error()] {
			said[err.Error()] = true
			different = append(different, err)
		}
	}
	return errors.Join(different...)
}

// code returns DynamoDB's own name of the error.
func code(err error) string {
	var known smithy.APIError
	if errors.As(err, &known) {
		return known.ErrorCode()
	}
	return ""
}

// isRefusal reports whether DynamoDB refused what is in the call.
func isRefusal(err error) bool {
	switch code(err) {
	case "ValidationException":
		return !isOtherTable(err)
	case "ItemCollectionSizeLimitExceededException", "SerializationException":
		return true
	}
	var answer *smithyhttp.ResponseError // one that is too large comes back without a name
	return errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusRequestEntityTooLarge
}

// isOtherTable reports whether the call was refused because the table has other keys or lacks the
// index, which no event is to blame for. DynamoDB has no code of its own for that, only words.
func isOtherTable(err error) bool {
	var known smithy.APIError
	if !errors.As(err, &known) || known.ErrorCode() != "ValidationException" {
		return false
	}
	for _, words := range []string{
		"Missing the key", "does not match the schema", "Type mismatch for key", "Type mismatch for Index Key",
		"missed key schema element", "does not have the specified index",
	} {
		if strings.Contains(known.ErrorMessage(), words) {
			return true
		}
	}
	return false
}

// isPermanent reports whether DynamoDB will refuse the item again. A collection of items that is
// full may be emptied.
func isPermanent(err error) bool { return code(err) != "ItemCollectionSizeLimitExceededException" }

// advice says what a person can do about the error.
func advice(err error) string {
	switch code(err) {
	case "ResourceNotFoundException":
		return "there is no such table or index here, create it or correct the region and the name"
	case "ValidationException":
		return "the table has other keys, or lacks the index: the key is Timestamp and RequestId, both of the type S"
	case "AccessDeniedException", "KMSAccessDeniedException":
		return "allow the operation on the table, its index and its key"
	case "UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException", "MissingAuthenticationTokenException", "IncompleteSignatureException":
		return "check the credentials and the clock"
	case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded":
		return "it throttles, raise its capacity"
	case "":
		return "check the network and the credentials"
	}
	return "check the table"
}

// retryAfter returns how long the answer asked to be left alone, which DynamoDB rarely says.
func retryAfter(err error) time.Duration {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil || answer.Response.Response == nil {
		return 0
	}
	seconds, err := strconv.Atoi(answer.Response.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
