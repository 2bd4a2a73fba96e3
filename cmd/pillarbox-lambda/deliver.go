//go:build pillarbox_deliver || !(pillarbox_accept || pillarbox_deadletter)

package main

import (
	"context"
	"fmt"

	awslambda "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	dynamodbengine "pillarbox/internal/engine/dynamodb"
	s3engine "pillarbox/internal/engine/s3"
	"pillarbox/internal/lambda"
)

// newDeliver makes the function that delivers.
func newDeliver(s settings, out output) (awslambda.Handler, error) {
	queue, err := openQueue(s, out)
	if err != nil {
		return nil, err
	}
	table, err := openTable(s, out)
	if err != nil {
		return nil, err
	}
	return lambda.NewDeliver(table, queue, lambda.DeliverOptions{
		Source: s.source, Destination: s.destination, MaxReceives: s.maxReceives, MaxRetryWait: s.maxRetryWait, MaxAge: s.maxAge,
		Logger: out.logger, Metrics: out.metrics,
	}), nil
}

// openTable makes the destination. It makes no call.
func openTable(s settings, out output) (*dynamodbengine.Store, error) {
	client := dynamodb.NewFromConfig(s.aws.config(out.tracer),
		func(o *dynamodb.Options) { o.BaseEndpoint = s.aws.endpoint("DYNAMODB") })
	options := dynamodbengine.Options{Index: s.timeIndex, Shards: s.timeShards, Logger: out.logger}
	if s.bodiesBucket != "" {
		options.Bodies = s3engine.NewBodies(openS3(s, out), s.bodiesBucket, s.bodiesPrefix)
	}
	table, err := dynamodbengine.Open(context.Background(), client, s.table, options)
	if err != nil {
		return nil, fmt.Errorf("PILLARBOX_DYNAMODB_TABLE: %w", err)
	}
	return table, nil
}
