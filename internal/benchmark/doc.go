// Package benchmark compares servers that take POST requests: pillarbox in several roles, a bare
// handler, and whatever else a caller names. Each contender runs as processes of its own on
// loopback, in a fresh directory, and all take turns, several rounds long and in alternating order,
// so that a machine that grows slower or faster does not favour one of them. What counts is the
// median of the rounds, and the ratio to the bare handler of the same run.
//
// A contender says what its acknowledgement means, because a fast answer that promises nothing is
// another product. The processor time of a server is taken from the system's account of its
// processes, not from the generator. What was asked of pillarbox is compared with its ledger: an
// answer that is not in the account is a failure.
//
// The package talks to its contenders over HTTP and knows no engine. It measures and judges; it
// draws nothing.
package benchmark
