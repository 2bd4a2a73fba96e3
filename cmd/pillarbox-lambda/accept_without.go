//go:build !pillarbox_accept && (pillarbox_deliver || pillarbox_deadletter)

package main

import awslambda "github.com/aws/aws-lambda-go/lambda"

// newAccept is left out by a tag.
var newAccept func(settings, output) (awslambda.Handler, error)
