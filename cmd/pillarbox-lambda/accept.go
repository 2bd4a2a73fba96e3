//go:build pillarbox_accept || !(pillarbox_deliver || pillarbox_deadletter)

package main

import (
	awslambda "github.com/aws/aws-lambda-go/lambda"

	"pillarbox/internal/ingest"
	"pillarbox/internal/intake"
	"pillarbox/internal/lambda"
	"pillarbox/internal/source"
)

// newAccept makes the function that accepts.
func newAccept(s settings, out output) (awslambda.Handler, error) {
	queue, err := openQueue(s, out)
	if err != nil {
		return nil, err
	}
	table, err := source.Compile([]source.Settings{{Name: s.source, Path: s.sourcePath,
		MaxBody: s.maxBody}}, source.Options{Logger: out.logger})
	if err != nil {
		return nil, err
	}
	sources := source.NewSources(table)
	handler := intake.New(intake.Options{
		Acceptor: lambda.NewAcceptor(ingest.New(queue, ingest.Options{})), Sources: sources,
		NoSource: "there is no source at this path",
	})
	return lambda.NewAccept(handler, sources,
		lambda.AcceptOptions{Name: s.source, Logger: out.logger, Metrics: out.metrics}), nil
}
