//go:build pillarbox_accept || !(pillarbox_deliver || pillarbox_deadletter)

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	awslambda "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"pillarbox/internal/apikey"
	"pillarbox/internal/config"
	dynamodbengine "pillarbox/internal/engine/dynamodb"
	s3engine "pillarbox/internal/engine/s3"
	"pillarbox/internal/ingest"
	"pillarbox/internal/intake"
	"pillarbox/internal/jwt"
	"pillarbox/internal/lambda"
	"pillarbox/internal/lambda/door"
	"pillarbox/internal/source"
	"pillarbox/internal/sqsrules"
)

// newAccept makes the function that accepts.
func newAccept(s settings, out output) (awslambda.Handler, error) {
	queue, err := openQueue(s, out)
	if err != nil {
		return nil, err
	}
	var known ingest.Options
	keys, err := openIdempotency(s, out)
	if err != nil {
		return nil, err
	}
	if keys != nil {
		known.Keys = keys
	}
	sources, refresh, err := openSources(s, out, keys)
	if err != nil {
		return nil, err
	}
	handler := intake.New(intake.Options{
		Acceptor: lambda.NewAcceptor(ingest.New(queue, known)), Sources: sources,
		NoSource: "there is no source at this path",
	})
	return lambda.NewAccept(handler, sources, lambda.AcceptOptions{Name: s.source, Refresh: refresh,
		Logger: out.logger, Metrics: out.metrics}), nil
}

// openIdempotency makes the table of idempotency keys; nil for none. It makes no call.
func openIdempotency(s settings, out output) (*dynamodbengine.Keys, error) {
	if s.idempotencyTable == "" {
		return nil, nil
	}
	client := dynamodb.NewFromConfig(s.aws.config(out.tracer),
		func(o *dynamodb.Options) { o.BaseEndpoint = s.aws.endpoint("DYNAMODB") })
	keys, err := dynamodbengine.OpenKeys(client, s.idempotencyTable, dynamodbengine.KeysOptions{})
	if err != nil {
		return nil, fmt.Errorf("PILLARBOX_IDEMPOTENCY_TABLE: %w", err)
	}
	return keys, nil
}

// openSources makes the sources: those of the file, or the one of the variables. refresh is nil where
// nothing of them changes.
func openSources(s settings, out output, keys *dynamodbengine.Keys) (sources *source.Sources,
	refresh func(context.Context) error, err error) {
	options := source.Options{Logger: out.logger}
	if s.sourcesFile == "" {
		table, err := source.Compile([]source.Settings{{Name: s.source, Path: s.sourcePath,
			MaxBody: s.maxBody}}, options)
		if err != nil {
			return nil, nil, err
		}
		return source.NewSources(table), nil, nil
	}
	path := s.sourcesFile
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.taskRoot, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("PILLARBOX_SOURCES_FILE: %w", err)
	}
	if len(text) > config.MaxFileBytes {
		return nil, nil, fmt.Errorf("PILLARBOX_SOURCES_FILE: %s has %d bytes, and may have %d", path,
			len(text), config.MaxFileBytes)
	}
	opts := door.Options{Path: path, Text: text, Env: os.LookupEnv, Source: options,
		Issuers: jwt.New(jwt.Options{Logger: out.logger})}
	if s.bodiesBucket == "" {
		opts.MaxBody = sqsrules.MaxMessageBytes
	}
	if s.secrets != "" {
		opts.Secrets = openSecrets(s, out).read
	}
	if s.keysBucket != "" {
		file, err := s3engine.NewFile(openS3(s, out), s.keysBucket, s.keysObject, apikey.MaxFileBytes)
		if err != nil {
			return nil, nil, fmt.Errorf("PILLARBOX_API_KEYS_BUCKET: %w", err)
		}
		opts.Keys = file.Read
	}
	if keys != nil {
		opts.Window = keys.SetWindow
	}
	opened, err := door.Open(opts)
	if err != nil {
		return nil, nil, err
	}
	if opened.AsksForTokens() {
		// it ends with the process, and stands still with it: keys are fetched while requests are answered
		go func() { _ = opts.Issuers.Run(context.Background()) }() // returns with that context alone
	}
	return opened.Sources(), opened.Refresh, nil
}
