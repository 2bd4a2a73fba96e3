//go:build pillarbox_accept || !(pillarbox_deliver || pillarbox_deadletter)

package main

import (
	awslambda "github.com/aws/aws-lambda-go/lambda"

	"pillarbox/internal/ingest"
	"pillarbox/internal/lambda"
	"pillarbox/internal/source"
)

// newAccept makes the function that accepts.
func newAccept(s settings, out output) (awslambda.Handler, error) {
	queue, err := openQueue(s, out)
	if err != nil {
		return nil, err
	}
	acceptor := ingest.New(queue, ingest.Options{})
	return lambda.NewAccept(acceptor, lambda.AcceptOptions{
		Source: source.Settings{Name: s.source, Path: s.sourcePath,
			MaxBody: s.maxBody}, Logger: out.logger, Metrics: out.metrics,
	}), nil
}
