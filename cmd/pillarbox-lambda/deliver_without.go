//go:build !pillarbox_deliver && (pillarbox_accept || pillarbox_deadletter)

package main

import awslambda "github.com/aws/aws-lambda-go/lambda"

// newDeliver is left out by a tag.
var newDeliver func(settings, output) (awslambda.Handler, error)
