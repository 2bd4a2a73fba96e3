package dynamodb

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// The waits before unprocessed items are sent again. Their sum is below a second.
const (
	maxTries    = 5
	firstWait   = 50 * time.Millisecond
	longestWait = 400 * time.Millisecond
)

// put writes the rows of one call, and sets the error of each that is not stored. It returns an
// error where the call was refused as a whole; then nothing is known of its rows.
func (s *Store) put(ctx context.Context, rows []*row) error {
	for try := range maxTries {
		if try > 0 {
			if err := s.pause(ctx, s.waitBefore(try)); err != nil {
				setErrors(rows, s.failed(ctx, "write to", err))
				return nil
			}
		}
		out, err := s.client.BatchWriteItem(ctx, s.writeInput(rows), onceAgainOnBrokenConnections)
		if err == nil {
			rows, err = s.unprocessed(rows, out.UnprocessedItems)
		}
		switch {
		case err != nil:
			return s.refuse(ctx, rows, err)
		case len(rows) == 0:
			return nil
		}
	}
	setErrors(rows, fmt.Errorf("write to table %s: %d items were not processed, though sent %d times: it throttles: %w",
		s.table, len(rows), maxTries, pillarbox.ErrUnavailable))
	return nil
}

// waitBefore is exponential backoff with full jitter.
func (s *Store) waitBefore(try int) time.Duration {
	return s.chance(min(firstWait<<(try-1), longestWait))
}

func (s *Store) writeInput(rows []*row) *dynamodb.BatchWriteItemInput {
	writes := make([]types.WriteRequest, len(rows))
	for i, r := range rows {
		writes[i] = types.WriteRequest{PutRequest: &types.PutRequest{Item: r.item}}
	}
	return &dynamodb.BatchWriteItemInput{
		RequestItems: map[string][]types.WriteRequest{s.table: writes}}
}

// refuse sets the errors of the rows of a call that failed. Several rows that DynamoDB refused
// together are not named: the caller finds out which is to blame.
func (s *Store) refuse(ctx context.Context, rows []*row, err error) error {
	refused := ctx.Err() == nil && isRefusal(err)
	permanent := isPermanent(err)
	err = s.failed(ctx, "write to", err)
	switch {
	case refused && len(rows) > 1:
		return err
	case refused && permanent:
		err = pillarbox.Permanent(err)
	}
	setErrors(rows, err)
	return nil
}

func setErrors(rows []*row, err error) {
	for _, r := range rows {
		r.err = err
	}
}

// unprocessed returns the rows that DynamoDB handed back. An answer that names something else is no
// answer.
func (s *Store) unprocessed(rows []*row, back map[string][]types.WriteRequest) ([]*row, error) {
	if len(back) == 0 {
		return nil, nil
	}
	sent := make(map[pillarbox.Key]*row, len(rows))
	for _, r := range rows {
		sent[r.event.Key()] = r
	}
	var left []*row
	for _, writes := range back { // there is one table; its name may come back as its ARN
		for _, write := range writes {
			var r *row
			if write.PutRequest != nil {
				if key, err := decodeKey(write.PutRequest.Item); err == nil {
					r = sent[key]
				}
			}
			if r == nil {
				return rows, fmt.Errorf("the answer hands back an item that was not sent: %w",
					pillarbox.ErrUnavailable)
			}
			left = append(left, r)
		}
	}
	s.options.Logger.Debug("items were not processed", telemetry.KeyTable, s.table,
		telemetry.KeyItems, len(left))
	return left, nil
}

// onceAgainOnBrokenConnections takes the place of the client's own retries: those above decide what
// is tried again, and when. Only a connection that broke, which it does to a function that was
// frozen, says nothing about DynamoDB.
func onceAgainOnBrokenConnections(o *dynamodb.Options) { o.Retryer = brokenConnections }

var brokenConnections = retry.NewStandard(func(o *retry.StandardOptions) {
	o.MaxAttempts = 2
	o.MaxBackoff = firstWait
	o.RateLimiter = ratelimit.None
	o.Retryables = []retry.IsErrorRetryable{retry.NoRetryCanceledError{},
		retry.RetryableConnectionError{}}
})
