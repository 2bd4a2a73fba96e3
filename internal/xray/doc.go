// Package xray adds to the traces of AWS what only the process knows: a subsegment for the work on
// one invocation, and one below it for each call to AWS.
//
// Lambda makes a segment for each invocation whose trace is sampled, and runs a daemon beside the
// process that takes documents by UDP and sends them to X-Ray (xray-api-sendingdata.html and
// xray-api-segmentdocuments.html of X-Ray's developer guide). A Tracer sends it each subsegment
// when its work is done.
//
// It promises: the trace is Lambda's own, whatever headers a client has sent; what is not sampled
// sends nothing; where there is no daemon, nothing is made at all; no error of tracing becomes one
// of an event; and no document holds anything of a body, a header or a message, but the id of the
// event and the trace context that its client sent.
//
// An environment of Lambda has one invocation at a time. So a Tracer has one as well, and what is
// called while it lasts belongs to it, also in goroutines that know nothing of it.
package xray
