// Package fakelambda is a stand-in for AWS Lambda and for what calls it, for tests: a real binary
// for the runtime provided.al2023 runs behind it, and does not notice.
//
// Function is one execution environment: it speaks the Runtime API, starts the binary when it is
// first called and again after it ended, hands over one invocation at a time, and kills it when its
// time is up. Gateway is API Gateway in its two kinds, and the function URL. Mapping polls a queue,
// and deletes what the function did not report as failed.
//
// It is kinder than AWS where that does not matter to a function: there is one environment only, an
// environment is never frozen, and calls are not tried again but by the queue.
package fakelambda
