//go:build pillarbox_accept || pillarbox_deliver || !pillarbox_deadletter

package main

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	s3engine "pillarbox/internal/engine/s3"
	sqsengine "pillarbox/internal/engine/sqs"
)

// openQueue makes the queue. It makes no call.
func openQueue(s settings, out output) (*sqsengine.Queue, error) {
	client := sqs.NewFromConfig(s.aws.config(out.tracer),
		func(o *sqs.Options) { o.BaseEndpoint = s.aws.endpoint("SQS") })
	options := sqsengine.Options{DeadLetterURL: s.deadLetterURL, Logger: out.logger, Trace: ownTrace}
	if s.bodiesBucket != "" {
		options.Bodies = s3engine.NewBodies(openS3(s, out), s.bodiesBucket, s.bodiesPrefix)
	}
	queue, err := sqsengine.Open(client, s.queueURL, options)
	if err != nil {
		return nil, fmt.Errorf("PILLARBOX_SQS_QUEUE_URL: %w", err)
	}
	return queue, nil
}
