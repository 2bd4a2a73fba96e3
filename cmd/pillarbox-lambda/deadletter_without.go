//go:build !pillarbox_deadletter && (pillarbox_accept || pillarbox_deliver)

package main

import awslambda "github.com/aws/aws-lambda-go/lambda"

// newDeadLetter is left out by a tag.
var newDeadLetter func(settings, output) (awslambda.Handler, error)
