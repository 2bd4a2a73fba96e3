// Package lambda turns the events of AWS into calls of ingest and deliver, and what comes of them
// into the answers that AWS expects. Each of its three handlers is one function: Accept answers
// requests that API Gateway or a function URL hands over, by the HTTP handler that a server has too;
// Deliver takes batches of a queue to a destination, DeadLetter keeps what was given up.
//
// It promises: a 2xx to a POST is sent only after the append was durable, and neither a panic nor a
// bad event makes one; a message is reported as done only if its event is stored, or its dead
// letter or its successor is in a queue; everything else is named in the response one by one, and
// named right, because a response that is empty or names a stranger means something else to AWS. It
// knows no engine and makes no call to AWS: it declares what it calls.
//
// # What SQS counts
//
// The attempts of an event are the receives of its message: nothing else outlives a function. SQS
// counts a receive also where the destination was down and nothing was tried, or where the function
// never ran, and moves the message to the dead-letter queue after the last. Three things keep an
// outage from making dead letters. The waits double from RetryInitial up to LongestWait, so that 20
// receives last for more than two days. One write finds out that the destination is down, and the
// rest of the batch is given back without a try. And an event that comes near its last receive
// without having been refused is sent again, as a new message with all receives before it, before
// the old one is deleted; a crash in between makes two messages of one event, which is stored once.
// A body that is kept elsewhere stays there, and a dead letter that was put back stays one.
//
// What is counted is not always a refusal, so that an event which was received in vain for most of
// its receives may be given up after few refusals; its letter says how often it was received. An
// event older than DeliverOptions.MaxAge is given up in any case; for a dead letter that was put
// back, the time counts from then.
//
// # What it does not do
//
// It has no breaker between invocations: each batch finds out by itself, with one write and one
// probe, that the destination is down. It keeps no state, and starts no goroutine that outlives a
// call.
package lambda
