// Package otlp sends spans and metrics to a receiver of OpenTelemetry's protocol, over HTTP or gRPC.
//
// It promises that nobody who makes a span or counts something ever waits for the receiver, that what
// is not sent is counted and told, and that nothing but its arguments decides what it sends where: of
// the environment, the SDK hears OTEL_RESOURCE_ATTRIBUTES alone. It stands apart from package telemetry so that
// programs that send nothing, such as the functions on AWS, don't link OpenTelemetry's SDK.
package otlp
