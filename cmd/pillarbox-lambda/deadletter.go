//go:build pillarbox_deadletter || !(pillarbox_accept || pillarbox_deliver)

package main

import (
	"context"
	"fmt"

	awslambda "github.com/aws/aws-lambda-go/lambda"

	"pillarbox"
	s3engine "pillarbox/internal/engine/s3"
	"pillarbox/internal/lambda"
	"pillarbox/internal/sqsrules"
)

// newDeadLetter makes the function that keeps dead letters.
func newDeadLetter(s settings, out output) (awslambda.Handler, error) {
	client := openS3(s, out)
	var from restorer
	if s.bodiesBucket != "" {
		from.bodies = s3engine.NewBodies(client, s.bodiesBucket, s.bodiesPrefix)
	}
	letters := s3engine.NewWriter(client, s.deadLetterBucket, s.deadLetterPrefix)
	return lambda.NewDeadLetter(letters, from, lambda.DeadLetterOptions{
		Source: s.source, Destination: s.destination, Logger: out.logger, Metrics: out.metrics,
	}), nil
}

// restorer brings bodies back where there is no queue to do it.
type restorer struct{ bodies pillarbox.Bodies }

// Restore implements sqsrules.Restorer.
func (r restorer) Restore(ctx context.Context, message *pillarbox.Message) error {
	if message.Claim != nil && r.bodies == nil {
		return fmt.Errorf("the body of event %s is kept elsewhere, and PILLARBOX_BODIES_BUCKET does not say where: %w",
			message.Event.RequestID, pillarbox.ErrUnavailable)
	}
	return sqsrules.RestoreBody(ctx, r.bodies, message)
}
