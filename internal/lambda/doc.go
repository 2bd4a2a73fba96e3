// Package lambda turns the events of AWS into calls of ingest and deliver, and what comes of them into the answers that
// AWS expects. Each of its three handlers is one function: Accept answers requests that API Gateway or a function URL
// hands over, Deliver takes batches of a queue to a destination, DeadLetter keeps what was given up.
//
// It promises: a 2xx to a POST is sent only after the append was durable, and neither a panic nor a bad event makes
// one; a message is reported as done only if its event is stored, or its dead letter or its successor is in a queue;
// everything else is named in the response one by one, and named right, because a response that is empty or names a
// stranger means something else to AWS. It knows no engine and makes no call to AWS: it declares what it calls.
package lambda
