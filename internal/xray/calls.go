package xray

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Instrument has each call of the clients that are made with the configuration become a subsegment:
// one with all its tries.
func (t *Tracer) Instrument(config *aws.Config) {
	if t == nil {
		return
	}
	config.APIOptions = append(slices.Clip(config.APIOptions), func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("XRaySubsegment", t.call),
			middleware.After)
	})
}

func (t *Tracer) call(ctx context.Context, in middleware.InitializeInput,
	next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	i := t.current.Load()
	if i == nil || !i.call() {
		return next.HandleInitialize(ctx, in)
	}
	d := t.begin(awsmiddleware.GetServiceID(ctx), i.TraceID, i.ID)
	d.Namespace = "aws"
	d.AWS = map[string]any{"operation": awsmiddleware.GetOperationName(ctx),
		"region": awsmiddleware.GetRegion(ctx)}
	describe(in.Parameters, d.AWS)
	out, metadata, err := next.HandleInitialize(ctx, in)
	if id, ok := awsmiddleware.GetRequestIDMetadata(metadata); ok {
		d.AWS["request_id"] = id
	}
	if tries, ok := retry.GetAttemptResults(metadata); ok && len(tries.Results) > 1 {
		d.AWS["retries"] = len(tries.Results) - 1
	}
	t.judge(&d, metadata, err)
	t.end(&d)
	return out, metadata, err
}

// judge says how a call ended.
func (t *Tracer) judge(d *document, metadata middleware.Metadata, err error) {
	status := 0
	if response, ok := awsmiddleware.GetRawResponse(metadata).(*smithyhttp.Response); ok &&
		response != nil && response.Response != nil {
		status = response.StatusCode
	}
	var answered *smithyhttp.ResponseError
	if errors.As(err, &answered) && answered.Response != nil {
		status = answered.HTTPStatusCode()
	}
	if status != 0 {
		d.HTTP = &exchange{}
		d.HTTP.Response.Status = status
	}
	if err == nil {
		return
	}
	code := "NoAnswer"
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	_, throttle := retry.DefaultThrottleErrorCodes[code]
	d.Throttle = throttle || status == http.StatusTooManyRequests
	d.Error = d.Throttle || status >= 400 && status < 500
	d.Fault = !d.Error
	d.Cause = &cause{Exceptions: []exception{{ID: t.id(), Type: code}}}
}

// resources are the fields of parameters that say what a call is about, and what X-Ray calls them.
var resources = map[string]string{"QueueUrl": "queue_url", "TableName": "table_name",
	"Bucket": "bucket_name"}

// describe adds what a call is about. A batch for tables names them as keys.
func describe(parameters any, to map[string]any) {
	in := reflect.Indirect(reflect.ValueOf(parameters))
	if in.Kind() != reflect.Struct {
		return
	}
	for field, name := range resources {
		if value := in.FieldByName(field); value.IsValid() {
			if text, ok := value.Interface().(*string); ok && text != nil {
				to[name] = *text
			}
		}
	}
	if tables := in.FieldByName("RequestItems"); tables.IsValid() && tables.Kind() == reflect.Map {
		names := make([]string, 0, tables.Len())
		for _, key := range tables.MapKeys() {
			names = append(names, key.String())
		}
		slices.Sort(names)
		to["table_names"] = names
	}
}
